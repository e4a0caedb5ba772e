//! Lychgate: an authenticating reverse proxy in front of a legacy CMS.
#![doc = ""]
pub mod clock;
pub mod config;
pub mod random;
pub mod rewrite;
pub mod secret;
