//! The gate before a real Plone 6, classic interface. `deploy/test` starts the Plone and runs this.
//!
//! Each test makes its own users, so any order will do. Only the test of a mail server that refuses would disturb others:
//! run them one after another (`--test-threads=1`).
#![allow(unreachable_pub, reason = "it is a program of several files, as support is")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod content;
mod crawl;
mod journey;
mod links;
mod mails;
mod plone;
mod relay;
mod sessions;
mod signing_in;
mod spellings;
