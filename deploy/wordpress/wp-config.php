<?php
// A WordPress for the gate to stand before. SITE_FOLDER is where its database is; its address is the one that it is asked by.
define( 'DB_NAME', 'wordpress' );
define( 'DB_USER', 'root' );
define( 'DB_PASSWORD', '' );
define( 'DB_HOST', 'localhost:' . getenv( 'SITE_FOLDER' ) . '/db.sock' );
define( 'DB_CHARSET', 'utf8mb4' );
$table_prefix = 'wp_';
foreach ( [ 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE' ] as $for ) {
	define( "{$for}_KEY", "$for: only for a site that lives as long as a test" );
	define( "{$for}_SALT", "$for: no more than that" );
}
define( 'WP_HOME', 'http://' . $_SERVER['HTTP_HOST'] );
define( 'WP_SITEURL', WP_HOME );
// It must believe the gate about whose request it is: else its mails say that the gate asked for them.
if ( $_SERVER['REMOTE_ADDR'] === '127.0.0.1' && isset( $_SERVER['HTTP_X_FORWARDED_FOR'] ) ) {
	$_SERVER['REMOTE_ADDR'] = $_SERVER['HTTP_X_FORWARDED_FOR'];
}
// It asks nobody for news and starts no work of its own.
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
define( 'DISABLE_WP_CRON', true );
require_once ABSPATH . 'wp-settings.php';
