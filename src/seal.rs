//! Sealing: what the gate writes down or hands out so that only the gate can read or make it.
//!
//! [`Sealer::seal`] encrypts (the CMS's cookies in the store, a reset token in a browser's cookie);
//! [`Sealer::mac`] authenticates (form tokens). Both work with keys derived from the secret of
//! `[store]`, one key for each purpose, so that what was sealed for one purpose opens for no other.
//!
//! Defends against: a stolen database (without the secret its cookies stay closed), a row or a cookie
//! moved to another place (the associated data no longer fits), and a secret that has to be changed
//! (several may be given: the first seals, all open, and nobody is signed out).
//! Does not defend against someone who reads both the database and the secret.

mod load;

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::random::{self, Random};
use crate::secret::Secret;

pub use self::load::{SecretError, Secrets};

/// The first byte of everything sealed, so that the form can change later.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// Bytes that sealing adds: version, key id, nonce and tag.
pub const OVERHEAD: usize = 1 + KEY_ID_LEN + NONCE_LEN + TAG_LEN;

/// Seals and opens; cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<Keys>,
    random: Arc<dyn Random>,
}

impl Sealer {
    /// A sealer that seals with `first` and also opens what any of `older` sealed.
    pub fn new(first: &Secret, older: &[Secret], random: Arc<dyn Random>) -> Self {
        let keys = Keys { first: Key::derive(first), older: older.iter().map(Key::derive).collect() };
        Self { keys: Arc::new(keys), random }
    }

    /// Encrypts `plain` for `purpose` (XChaCha20-Poly1305). `context` is not stored: the same bytes must
    /// be given to [`Self::open`], which ties the result to its place (a session, a site).
    ///
    /// The result is [`OVERHEAD`] bytes longer than `plain`.
    pub fn seal(&self, purpose: &str, context: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = &self.keys.first;
        let nonce = random::bytes::<NONCE_LEN>(&*self.random);
        let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        let bound = bind(&sealed, context);
        sealed.extend_from_slice(&nonce);
        // Fails only for messages of 256 GiB; an empty result then opens for nobody.
        let payload = Payload { msg: plain, aad: &bound };
        match key.cipher(purpose).encrypt(&XNonce::from(nonce), payload) {
            Ok(body) => sealed.extend_from_slice(&body),
            Err(_) => sealed.clear(),
        }
        sealed
    }

    /// Decrypts what [`Self::seal`] made for the same purpose and context; `None` for anything else,
    /// whatever is wrong with it.
    pub fn open(&self, purpose: &str, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (header, rest) = sealed.split_at_checked(1 + KEY_ID_LEN)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (version, id) = header.split_first()?;
        if *version != VERSION {
            return None;
        }
        let bound = bind(header, context);
        // Two secrets may share an id by accident, so a key that does not open it is not the end.
        self.keys.iter().filter(|key| key.id == id).find_map(|key| {
            let payload = Payload { msg: body, aad: &bound };
            key.cipher(purpose).decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
        })
    }

    /// Whether the first secret sealed this, as far as its mark tells.
    pub fn is_newest(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=KEY_ID_LEN) == Some(&self.keys.first.id)
    }

    /// An authentication code over `data` for `purpose` (HMAC-SHA256, with the first secret's key).
    pub fn mac(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        self.keys.first.hmac(purpose, data).finalize().into_bytes().into()
    }

    /// What [`Self::mac`] gives now, and gave while any of the older secrets was the first.
    pub fn macs(&self, purpose: &str, data: &[u8]) -> Vec<[u8; 32]> {
        self.keys.iter().map(|key| key.hmac(purpose, data).finalize().into_bytes().into()).collect()
    }

    /// Whether `code` is what [`Self::mac`] gives for `data`, with any of the secrets; in constant time.
    pub fn verify_mac(&self, purpose: &str, data: &[u8], code: &[u8]) -> bool {
        self.keys.iter().any(|key| key.hmac(purpose, data).verify_slice(code).is_ok())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", 1 + self.keys.older.len())
    }
}

/// What authenticates the header too, so that no byte of what is sealed can be changed.
fn bind(header: &[u8], context: &[u8]) -> Vec<u8> {
    [header, context].concat()
}

struct Keys {
    first: Key,
    older: Vec<Key>,
}

impl Keys {
    fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.older)
    }
}

/// One secret, extracted (RFC 5869, section 2.2); keys for purposes are expanded from it.
struct Key {
    id: [u8; KEY_ID_LEN],
    root: Zeroizing<[u8; 32]>,
}

impl Key {
    fn derive(secret: &Secret) -> Self {
        let (root, _) = Hkdf::<Sha256>::extract(Some(b"lychgate"), secret.expose().as_bytes());
        let mut key = Self { id: [0; KEY_ID_LEN], root: Zeroizing::new(root.into()) };
        let id = key.expand("id", "");
        if let Some(id) = id.first_chunk() {
            key.id = *id;
        }
        key
    }

    fn cipher(&self, purpose: &str) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.expand("seal", purpose)).into())
    }

    #[expect(clippy::expect_used)] // RFC 2104: a key of any length will do.
    fn hmac(&self, purpose: &str, data: &[u8]) -> Hmac<Sha256> {
        let key = self.expand("mac", purpose);
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*key).expect("any key fits").chain_update(data)
    }

    // Both lengths are right by type: the root is one hash long, and so is what is expanded.
    #[expect(clippy::expect_used)]
    fn expand(&self, kind: &str, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        let hkdf = Hkdf::<Sha256>::from_prk(&*self.root).expect("a root is 32 bytes");
        let info = [b"lychgate 1 ", kind.as_bytes(), b" ", purpose.as_bytes()];
        hkdf.expand_multi_info(&info, &mut *bytes).expect("32 bytes can be expanded");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn sealer(secrets: &[&str]) -> Sealer {
        let secrets: Vec<_> = secrets.iter().copied().map(Secret::new).collect();
        Sealer::new(&secrets[0], &secrets[1..], Arc::new(SystemRandom))
    }

    fn open(sealer: &Sealer, sealed: &[u8]) -> Option<Vec<u8>> {
        sealer.open("jar", b"alice", sealed).map(|plain| plain.to_vec())
    }

    #[test]
    fn what_was_sealed_opens_and_is_not_readable() {
        let sealer = sealer(&["one"]);
        for plain in [&b""[..], b"__ac=abc", &[7; 5000]] {
            let sealed = sealer.seal("jar", b"alice", plain);
            assert_eq!(sealed.len(), plain.len() + OVERHEAD);
            assert!(plain.is_empty() || !sealed.windows(plain.len()).any(|part| part == plain));
            assert_eq!(open(&sealer, &sealed).as_deref(), Some(plain));
        }
        assert_ne!(sealer.seal("jar", b"", b"x"), sealer.seal("jar", b"", b"x"), "nonces differ");
    }

    #[test]
    fn no_single_bit_can_be_changed() {
        let sealer = sealer(&["one"]);
        let sealed = sealer.seal("jar", b"alice", b"__ac=abc");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(open(&sealer, &changed), None, "byte {at}, bit {bit}");
            }
        }
        for len in 0..sealed.len() {
            assert_eq!(open(&sealer, &sealed[..len]), None, "cut to {len}");
        }
    }

    #[test]
    fn another_purpose_place_or_secret_opens_nothing() {
        let ours = sealer(&["one"]);
        let sealed = ours.seal("jar", b"alice", b"x");
        assert!(ours.open("reset", b"alice", &sealed).is_none(), "purpose");
        assert!(ours.open("jar", b"bob", &sealed).is_none(), "place");
        assert_eq!(open(&sealer(&["two"]), &sealed), None, "secret");
    }

    #[test]
    fn secrets_rotate_and_what_was_sealed_before_still_opens() {
        let (old, new) = (sealer(&["old"]), sealer(&["new", "old"]));
        assert_eq!(open(&new, &old.seal("jar", b"alice", b"x")).as_deref(), Some(&b"x"[..]));
        assert_eq!(open(&old, &new.seal("jar", b"alice", b"x")), None, "the first secret seals");
        let code = old.mac("form", b"data");
        assert!(new.verify_mac("form", b"data", &code));
        assert_ne!(new.mac("form", b"data"), code);
    }

    #[test]
    fn codes_fit_their_data_and_purpose_only() {
        let sealer = sealer(&["one"]);
        let code = sealer.mac("form", b"data");
        assert!(sealer.verify_mac("form", b"data", &code));
        for (name, purpose, data, code) in [
            ("other data", "form", &b"date"[..], &code[..]),
            ("other purpose", "link", b"data", &code),
            ("cut short", "form", b"data", &code[..31]),
            ("empty", "form", b"data", &[]),
        ] {
            assert!(!sealer.verify_mac(purpose, data, code), "{name}");
        }
    }

    #[test]
    fn printing_a_sealer_shows_no_key() {
        assert_eq!(format!("{:?}", sealer(&["one", "two"])), "Sealer(2 keys)");
    }
}
