//! Lychgate: an authenticating reverse proxy in front of a legacy CMS.
#![doc = ""]
pub mod admit;
pub mod clock;
pub mod cms;
pub mod config;
pub mod forward;
pub mod pages;
pub mod random;
pub mod secret;
