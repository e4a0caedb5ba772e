//! The classes of bug that products like this one have shipped, C1 to C14, a file each, as tables of named rows.
//!
//! What stands here is what no other file proves; `SECURITY.md` names, class by class, all the tests there are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod c1;
mod c10;
mod c11;
mod c12;
mod c13;
mod c14;
mod c2;
mod c3;
mod c4;
mod c5;
mod c6;
mod c7;
mod c9;

use support::browser::{Answer, Browser};
use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, ask, connect, get, login, ok, post, sign_in};
use support::standin::{Canned, StandIn};

/// A browser that has signed in.
async fn member(gate: &Gate) -> Browser {
    let mut browser = Browser::new(gate.address, HOST);
    assert_eq!(browser.sign_in("jdoe", "Secret1234!").await.status, 303);
    browser
}

/// The value of a field of a page's form.
fn hidden(page: &Answer, name: &str) -> String {
    page.form().into_iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
}
