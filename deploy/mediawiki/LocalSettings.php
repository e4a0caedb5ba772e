<?php
// A wiki for the gate to stand before: what its installation wrote, and what differs behind a gate. Its address is the one that
// it is asked by.
require getenv( 'SITE_FOLDER' ) . '/LocalSettings.php';
$wgServer = WebRequest::detectServer();
$wgArticlePath = '/wiki/$1';
$wgPasswordSender = 'wiki@example.test';
$wgMainCacheType = CACHE_DB; // where it counts what is tried too often

// It must believe the gate about whose request it is: else all its visitors share one address, and that address's five mails
// with a new password an hour.
$wgUsePrivateIPs = true;
$wgCdnServersNoPurge = [ '127.0.0.1' ];
$wgMainWANCache = CACHE_NONE; // a user just changed is looked up, not remembered
