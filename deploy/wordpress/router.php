<?php
// The addresses of the sample site, for PHP's own server: its own, and /make/NAME, which makes a user with a mail address or sets
// the usual password again, and answers with the user's number.
$path = urldecode( parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) ?: '/' );
if ( !preg_match( '#^/make/([^/]+)$#', $path, $made ) ) {
	return false;
}
require getenv( 'WORDPRESS_HOME' ) . '/usr/share/wordpress/wp-load.php';
$password = 'Secret-1234!';
$user = get_user_by( 'login', $made[1] );
if ( $user ) {
	wp_set_password( $password, $user->ID );
	$id = $user->ID;
} else {
	$id = wp_create_user( $made[1], $password, str_replace( ' ', '.', strtolower( $made[1] ) ) . '@example.test' );
}
header( 'Content-Type: application/json' );
echo json_encode( [ 'id' => $id ] );
