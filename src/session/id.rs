//! The name of a session, which whoever holds it is signed in by.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::random::{self, Random};
use crate::secret::Secret;
use crate::store::SessionKey;

const BYTES: usize = 32;
const TEXT: usize = 43;

/// 256 random bits; 43 characters of base64url (RFC 4648, section 5) in the cookie, a hash in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(Zeroizing<[u8; BYTES]>);

impl SessionId {
    /// A new one.
    pub fn random(random: &dyn Random) -> Self {
        Self(Zeroizing::new(random::bytes(random)))
    }

    /// Reads a cookie's value. There is exactly one spelling of an id; everything else is `None`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != TEXT {
            return None;
        }
        // The decoder asks for room by its own, rounded estimate.
        let mut room = Zeroizing::new([0; BYTES + 1]);
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut *room).ok()?;
        let bytes = room.get(..length)?.try_into().ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// What goes into the cookie.
    pub fn text(&self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// What the session is stored under. No salt is needed: nobody can try 256 random bits.
    pub fn key(&self) -> SessionKey {
        SessionKey(Sha256::digest(self.0.as_slice()).into())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[session id]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use proptest::prelude::*;

    #[test]
    fn only_the_one_spelling_of_an_id_is_read() {
        let id = SessionId::random(&SystemRandom);
        let text = id.text().expose().to_owned();
        assert_eq!(SessionId::parse(text.as_bytes()), Some(id));
        // The last character carries two bits that must be zero, as they are in A, E, I, M and so on.
        let other_end = format!("{}B", &text[..42]);
        for (name, value) in [
            ("empty", String::new()),
            ("short", text[..42].to_owned()),
            ("long", format!("{text}A")),
            ("padded", format!("{text}=")),
            ("quoted", format!("\"{text}\"")),
            ("spaces", format!(" {text}")),
            ("stray bits at the end", other_end),
            ("other alphabet", "+".repeat(43)),
            ("no ASCII", "é".repeat(21) + "x"),
            ("huge", "A".repeat(1_000_000)),
        ] {
            assert_eq!(SessionId::parse(value.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn an_id_is_never_printed_and_its_key_is_its_hash() {
        let id = SessionId::parse("A".repeat(43).as_bytes()).unwrap();
        assert_eq!(format!("{id:?} {:?}", id.text()), "[session id] [secret]");
        // SHA-256 of 32 zero bytes.
        assert_eq!(id.key().to_string(), "66687aadf862bd77");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_are_the_one_spelling(text: Vec<u8>) {
            if let Some(id) = SessionId::parse(&text) {
                let written = id.text();
                prop_assert_eq!(written.expose().as_bytes(), &text);
            }
        }

        #[test]
        fn every_accepted_spelling_writes_back_the_same(text in "[A-Za-z0-9_-]{43}") {
            if let Some(id) = SessionId::parse(text.as_bytes()) {
                let written = id.text();
                prop_assert_eq!(written.expose(), &text);
            }
        }
    }
}
