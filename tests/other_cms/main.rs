//! The gate before a real MediaWiki and a real WordPress, by the worked examples in `deploy/dialogues`. `deploy/test` starts them
//! (`deploy/mediawiki`, `deploy/wordpress`) and runs this.
//!
//! Each test makes its own users, so any order will do.
#![allow(unreachable_pub, reason = "it is a program of several files, as support is")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod mediawiki;
mod sample;
mod wordpress;
