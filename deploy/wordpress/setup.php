<?php
// Makes the sample site's database and fills it.
$root = mysqli_connect( 'localhost', 'root', '', '', 0, getenv( 'SITE_FOLDER' ) . '/db.sock' );
mysqli_query( $root, 'CREATE DATABASE IF NOT EXISTS wordpress CHARACTER SET utf8mb4' );
define( 'WP_INSTALLING', true );
$_SERVER['HTTP_HOST'] = 'www.example.test'; // stands in what it writes
$_SERVER['REMOTE_ADDR'] = '127.0.0.1';
require getenv( 'WORDPRESS_HOME' ) . '/usr/share/wordpress/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install( 'Sample', 'admin', 'admin@example.test', true, '', 'Secret-1234!' );
