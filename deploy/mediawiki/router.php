<?php
// The addresses of the sample wiki, for PHP's own server: /w/… are its files, /wiki/… its pages, and /make/NAME makes a user.
$path = urldecode( parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) ?: '/' );
$home = getenv( 'MEDIAWIKI_HOME' ) . '/usr/share/mediawiki';
if ( preg_match( '#^/w/((index|api|load|rest)\.php)(/|$)#', $path, $found ) ) {
	$script = "$home/$found[1]";
	$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = "/w/$found[1]";
} elseif ( preg_match( '#^/w/(resources|skins)/.*\.(css|gif|ico|jpg|js|png|svg)$#', $path ) ) {
	return false; // what the document root has
} elseif ( preg_match( '#^/make/([^/]+)$#', $path, $found ) ) {
	$script = __DIR__ . '/make.php';
	$make = $found[1];
} else {
	$script = "$home/index.php";
	$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = '/w/index.php';
}
$_SERVER['SCRIPT_FILENAME'] = $script;
chdir( $home );
require $script;
