//! Lychgate: an authenticating reverse proxy in front of a legacy CMS.
#![doc = ""]
pub mod admit;
pub mod account;
pub mod clock;
pub mod cms;
pub mod config;
pub mod forward;
pub mod pages;
pub mod csrf;
pub mod limits;
pub mod random;
pub mod seal;
pub mod rewrite;
pub mod secret;
pub mod session;
pub mod store;
