<?php
// Makes the user $make with a confirmed mail address, or sets the usual password again. Answers with the user's number.
define( 'MW_ENTRY_POINT', 'index' );
require getcwd() . '/includes/WebStart.php';
$user = User::newFromName( $make );
if ( !$user->isRegistered() ) {
	$user->addToDatabase();
	$user->setEmail( str_replace( ' ', '.', strtolower( $user->getName() ) ) . '@example.test' );
	$user->confirmEmail();
	$user->saveSettings();
}
$password = 'Secret-1234!';
$done = $user->changeAuthenticationData(
	[ 'username' => $user->getName(), 'password' => $password, 'retype' => $password ]
);
header( 'Content-Type: application/json' );
echo json_encode( [ 'id' => $user->getId(), 'good' => $done->isGood() ] );
( new MediaWiki )->doPostOutputShutdown();
