//! Internal → public in everything that comes back from the backend, and public → internal in what a request carries
//! where the backend can't be told its public address.
//!
//! Called by `forward` for every answer: [`plan`] reads the headers, [`response_headers`] puts them right, and
//! [`RewriteBody`] maps the body while it passes. [`Origins`] is built once per site, from its addresses.
//!
//! It defends against the one thing a gate must not do: tell the internet what is behind it. Which bytes are an internal
//! address is said in one place, `grammar`, `authority` and `prefix`, on top of `spelling`, which knows how a character travels (JSON, percent
//! encoding, entities, and these in each other); `map` finds them fast, `stream` does so in pieces. Only for paths, which are
//! links in some attributes and data in others, the tags of HTML are found (`html`, `markup`) and looked into (`links`), and
//! not before such a path is seen (`lazy`).
//!
//! The way in, [`Translation`] and the `…_to_internal` of [`Origins`], is in `inward`, `form` and `multipart`; it undoes what the way out did
//! to what a form, an editor or a script was shown. Not undone are: an `integrity` that went; a body of a type that is no
//! text, or in a coding that isn't known, which is stored as it comes; and what the way out makes alike, as `/Plone` and `/Plone/`.
//!
//! Which bodies are text, and of which kind, is decided in `plan`. Encoded bodies are decoded, rewritten and encoded again (`coding`). Text in
//! UTF-16 is narrowed and widened again (`wide`); calendars and address cards are looked at across the folds of their lines (`folds`). What it
//! does not do: look into binary files, into the frames of a WebSocket, or into text in a coding it doesn't know, which it says ([`is_sealed`]).
//!
//! Two rules concern what vouches for bytes. Headers that do (`Content-MD5`, `Digest`, a strong `ETag`) are dropped or weakened where a body
//! is rewritten (`tags`). `integrity` attributes of the site's own scripts and style sheets go in [`Mode::Full`] and [`Mode::Forwarded`], where any of them may
//! change; in [`Mode::Safety`] they stay, and a browser refuses a resource in which somebody wrote an internal address: better than telling it.
//!
//! What no rule maps although it names the inside is counted: [`RewriteBody::on_leak`] and [`response_headers`] say how often, and a body can
//! be made to break off there ([`RewriteBody::blocking`]).

mod authority;
mod body;
mod coding;
mod cookies;
mod folds;
mod form;
mod grammar;
mod headers;
mod html;
mod inward;
mod lazy;
mod links;
mod map;
mod markup;
mod multipart;
mod origins;
mod paths;
mod plan;
mod prefix;
mod rewriter;
mod settings;
mod sites;
mod spelling;
mod stream;
mod tags;
#[cfg(test)]
mod tests;
mod wide;

pub use body::{BoxError, RewriteBody};
pub use coding::Coding;
pub use cookies::set_cookie;
pub(crate) use folds::{folded_lines, joined_line};
pub use headers::response_headers;
pub use inward::Translation;
pub use map::Map;
pub use origins::{Mode, Origins, OriginsError};
pub use plan::{Plan, is_folded, is_sealed, is_text, is_textual, plan};
pub use settings::{Leaks, Settings};
pub use sites::{Rewritten, Sites};
pub use stream::Stream;
pub use tags::{tag_of_rewritten, tags_to_internal};
