<?php
// The addresses of the sample site, for PHP's own server: its own, and two for tests. /make/NAME makes a user with a mail address or
// sets the usual password again, and answers with the user's number; /age/NAME makes the user's reset link two days older.
$path = urldecode( parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) ?: '/' );
if ( !preg_match( '#^/(make|age)/([^/]+)$#', $path, $found ) ) {
	return false;
}
require getenv( 'WORDPRESS_HOME' ) . '/usr/share/wordpress/wp-load.php';
[ , $what, $name ] = $found;
$password = 'Secret-1234!';
$user = get_user_by( 'login', $name );
$id = $user ? $user->ID : wp_create_user( $name, $password, str_replace( ' ', '.', strtolower( $name ) ) . '@example.test' );
if ( $what === 'age' ) {
	[ $made, $key ] = explode( ':', $user->user_activation_key, 2 );
	$wpdb->update( $wpdb->users, [ 'user_activation_key' => $made - 2 * DAY_IN_SECONDS . ":$key" ], [ 'ID' => $id ] );
	clean_user_cache( $id );
} elseif ( $user ) {
	wp_set_password( $password, $id );
}
header( 'Content-Type: application/json' );
echo json_encode( [ 'id' => $id ] );
