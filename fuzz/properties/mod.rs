//! What must hold for any bytes from outside, one property a parser. libFuzzer tries them (`deploy/fuzz`, `fuzz/fuzz_targets`),
//! and `cargo test` tries all seeds (`tests/seeds.rs`). A property that does not hold panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(missing_docs, unreachable_pub, reason = "a crate of its own under libFuzzer, a module without")]

mod answers;
mod fields;
mod inward;
mod mails;
mod outward;
mod requests;
mod secrets;
mod smtp;
mod wire;

pub use answers::{answer, config, dialogue, kept};
pub use fields::{client, conditions, inspect, language};
pub use inward::{form, multipart};
pub use mails::mail;
pub use outward::{coded, headers, html, spelled, styles, text};
pub use requests::{cookie, host, next, path};
pub use secrets::{password, sealed};
pub use smtp::smtp;
pub use wire::{frames, http1, proxy};

use lychgate::rewrite::{Mode, Origins};
use std::sync::{Arc, LazyLock};

/// Panics if it does not hold for these bytes.
pub type Property = fn(&[u8]);

/// Every property and its name, which is also that of its target and of its folder of seeds.
pub const ALL: &[(&str, Property)] = &[
    ("text", text),
    ("html", html),
    ("styles", styles),
    ("spelled", spelled),
    ("coded", coded),
    ("headers", headers),
    ("form", form),
    ("multipart", multipart),
    ("mail", mail),
    ("path", path),
    ("next", next),
    ("host", host),
    ("cookie", cookie),
    ("http1", http1),
    ("frames", frames),
    ("proxy", proxy),
    ("client", client),
    ("language", language),
    ("conditions", conditions),
    ("inspect", inspect),
    ("smtp", smtp),
    ("answer", answer),
    ("kept", kept),
    ("dialogue", dialogue),
    ("config", config),
    ("sealed", sealed),
    ("password", password),
];

/// A name that must never get out and stands in no public address.
pub const SECRET: &str = "plone.internal";

struct Site {
    backend: &'static str,
    public: &'static str,
    names: &'static [&'static str],
}

/// A loopback backend, as in every first installation; names that are secret; a public address below a path. To all of them
/// [`SECRET`] is internal.
const SITES: [Site; 3] = [
    Site {
        backend: "http://localhost:8088/Plone",
        public: "https://public.example.org",
        names: &["plone.internal"],
    },
    Site {
        backend: "http://plone.internal:8080/Plone",
        public: "https://www.example.org",
        names: &["10.0.0.5", "cms"],
    },
    Site {
        backend: "http://[::1]:8088/Plone",
        public: "https://public.example.org:8443/intranet",
        names: &["plone.internal", "db.example.org"],
    },
];

fn origins(mode: Mode) -> &'static [Arc<Origins>] {
    static ALL: LazyLock<[Vec<Arc<Origins>>; 3]> = LazyLock::new(|| {
        [Mode::Safety, Mode::Forwarded, Mode::Full].map(|mode| {
            let made = SITES.iter().map(|site| {
                let names: Vec<String> = site.names.iter().map(|name| (*name).to_owned()).collect();
                let (backend, public) = (site.backend.parse().unwrap(), site.public.parse().unwrap());
                Arc::new(Origins::new(&backend, &public, &names, mode).unwrap())
            });
            made.collect()
        })
    });
    &ALL[mode as usize]
}

/// Sizes of pieces to cut a text in: bytes, small pieces, halves, and all of it.
fn sizes(data: &[u8]) -> [usize; 4] {
    [1, 7, data.len() / 2 + 1, data.len().max(1)]
}

/// Bytes as a person can compare them.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
