//! What the black-box tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file is a program of its own and uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

pub mod browser;
pub mod frames;
pub mod gate;
pub mod journey;
pub mod local;
pub mod mailer;
pub mod mailsink;
pub mod pebble;
pub mod pki;
pub mod raw;
pub mod secure;
pub mod standin;
pub mod wire;
