//! Lychgate: an authenticating reverse proxy that stands in front of a legacy CMS.
//!
//! An internal site (Plone 3 to 6 and Zope first) becomes reachable from the internet through one public hostname.
//! Visitors sign in on the gate's own page, where the CMS's login form is the judge; who forgot the password gets the
//! CMS's reset mail and sets a new one; and nothing of the internal site shows.
//!
//! # The way of a request
//! ```text
//!  listen     accept · PROXY header · TLS · HTTP/1.1, read strictly · HTTP/2, with limits · deadlines · drain
//!    │
//!  admit      one strict reading: framing, method, Host, path, header names, client address
//!    │        → Admitted                                        else 400 · 414 · 417 · 501
//!  gate       the site (else 421), the session, and the one decision, a value
//!    ├── endpoints   the gate's own pages at work: sign in, sign out, forgot, reset, account; the same for scripts
//!    │      ├── pages      how they look: templates, catalogues, assets
//!    │      ├── identity   who vouches for a password: the CMS, or the gate for users of its own
//!    │      └── recovery   the forgotten-password process: the CMS's, or the gate's for users of its own
//!    │             └── cms   the conversation with the backend's forms: dialogues and their verdicts
//!    └── relay       hygiene of headers and cookies around
//!           ├── forward    one exchange with the backend, or one of several: choice, load, pool, retry, deadlines, tunnel
//!           └── rewrite    internal → public in headers, cookies and bodies; and back, where the CMS can't be told
//! ```
//! Beside it, on a thread of its own, [`mail`] takes the CMS's mail, makes its links public by the same maps, and passes it on;
//! and on another, [`admin`] tells operators how it goes. Above all of it stand the [`commands`], one file each: `run` starts this.
//!
//! Data flows down this page and back up the same way. A module uses what stands below it, and the ground floor: [`config`],
//! [`state`] and [`visit`] (what all requests and what one request share), [`store`], [`session`], [`held`] (forms that wait for
//! their sender to sign in), [`limits`] (how often what may be tried, what failures look like, and how many of something one client has at
//! once), [`csrf`], [`account`] (one spelling of a
//! user's name), [`password`] (of the gate's own users: policy and hashes), [`tls`], [`acme`] (certificates that the gate fetches and
//! renews by itself), [`seal`], [`observe`] (the log, the audit trail, what is counted), [`background`], [`clock`], [`random`], [`secret`].
//!
//! # Rules of the house
//! - The backend's address comes from `proxy.toml` and nowhere else; a client never chooses where a password goes.
//! - What was decided on is what is forwarded, byte for byte: [`admit::CanonicalPath`].
//! - A verdict needs positive evidence; what matches nothing is `unknown`, and is said to be.
//! - A request costs look-ups in memory, no query and no lock that is held across an await.
//! - A request goes by one configuration from its beginning to its end, and a reload closes no connection: [`state::Live`].
//! - No password, token, cookie value or query is ever logged: [`secret::Secret`] prints as `[secret]`.
//!
//! What reads bytes from outside has a property in `fuzz/properties`, which libFuzzer tries (`deploy/fuzz`) and `cargo test` tries all
//! seeds of; modules named `probe` are its doors to what is private, and nothing else's.
//!
//! # What it does not do
//! It is no firewall for the CMS behind it: who has signed in reaches what the CMS shows them. It does not sign anyone in to
//! more than one site.

pub mod account;
pub mod acme;
pub mod admin;
pub mod admit;
pub mod background;
pub mod clock;
pub mod cms;
pub mod commands;
pub mod config;
pub mod csrf;
mod endpoints;
pub mod forward;
pub mod gate;
pub mod held;
pub mod identity;
pub mod limits;
pub mod listen;
pub mod mail;
pub mod observe;
pub mod pages;
pub mod password;
pub mod random;
pub mod recovery;
pub mod rewrite;
pub mod seal;
pub mod secret;
pub mod session;
pub mod state;
pub mod store;
pub mod tls;
pub mod visit;
