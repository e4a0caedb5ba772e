//! Signs what leaves (DKIM: RFC 6376; Ed25519: RFC 8463), so that a message whose links were made public is believed again.
//!
//! Signed is a message whose author is of the configured domain, and nobody else's: the key answers for its domain. The fields
//! that say from whom, to whom, when and about what are signed once more than they are there, so that nobody can add another.
//! Header and body are canonicalised as `relaxed`: mail servers on the way fold and trim.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::MessageParser;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::message::{self, Field};
use crate::clock::Timestamp;

/// Fields that are signed and may not be added to (RFC 6376, sections 5.4 and 8.15).
const CLOSED: &[&str] = &["from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id"];
/// Fields that are signed if they are there.
const SIGNED: &[&str] = &[
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
];
/// How much of a signature stands on a line.
const LINE: usize = 68;

/// Signs for one domain.
pub(super) struct Signer {
    domain: String,
    selector: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Reads the key, a PEM file: RSA of 2048 bits and more, or Ed25519.
    ///
    /// # Errors
    /// One sentence, when there is no such key in it.
    pub(super) fn open(domain: &str, selector: &str, file: &Path) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "the key {} of [mail.relay] dkim cannot be used: {what}; make one with: openssl genrsa -out {0} 2048",
                file.display()
            )
        };
        let key = PrivateKeyDer::from_pem_file(file).map_err(|error| wrong(&error.to_string()))?;
        let key = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).map(Key::Rsa),
            PrivateKeyDer::Pkcs8(key) => {
                RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map(Key::Rsa).or_else(|error| {
                    Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der())
                        .map(Key::Ed25519)
                        .map_err(|_| error)
                })
            }
            _ => return Err(wrong("it is neither RSA nor Ed25519")),
        };
        let key = key.map_err(|error| wrong(&error.to_string()))?;
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), key })
    }

    /// The field to put before a message, with its line end; `None` if the message is not the domain's to sign.
    pub(super) fn sign(&self, raw: &[u8], now: Timestamp) -> Option<Vec<u8>> {
        if !self.is_author(raw) {
            return None;
        }
        let (fields, body) = message::split(raw)?;
        let (signed, names) = signed(&fields);
        let algorithm = match &self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let mut field = format!(
            "DKIM-Signature: v=1; a={algorithm}; c=relaxed/relaxed;\r\n\td={}; s={};\r\n\tt={}; h={names};\r\n\tbh={};\r\n\tb=",
            self.domain,
            self.selector,
            now.as_millis().div_euclid(1000),
            STANDARD.encode(Sha256::digest(relaxed_body(body))),
        );
        let signature = STANDARD.encode(self.signature(&data(&signed, &field))?);
        for (index, line) in signature.as_bytes().chunks(LINE).enumerate() {
            let fold = if index > 0 { "\r\n\t" } else { "" };
            let _ = write!(field, "{fold}{}", String::from_utf8_lossy(line));
        }
        field.push_str("\r\n");
        Some(field.into_bytes())
    }

    fn signature(&self, data: &[u8]) -> Option<Vec<u8>> {
        match &self.key {
            Key::Ed25519(key) => Some(key.sign(&Sha256::digest(data)).as_ref().to_vec()),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature).ok()?;
                Some(signature)
            }
        }
    }

    /// Whether the message says once who wrote it, and all of those are of this domain or below it.
    fn is_author(&self, raw: &[u8]) -> bool {
        let Some(message) = MessageParser::default().parse_headers(raw) else { return false };
        let froms =
            message.headers().iter().filter(|field| field.name().eq_ignore_ascii_case("from")).count();
        let of_ours = |address: &str| {
            let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
            let below = domain.strip_suffix(self.domain.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let mut authors = message.from().into_iter().flat_map(mail_parser::Address::iter).peekable();
        froms == 1 && authors.peek().is_some() && authors.all(|author| author.address().is_some_and(of_ours))
    }
}

/// The fields that are signed, as they are hashed, and their names for `h=`.
fn signed(fields: &[Field<'_>]) -> (Vec<u8>, String) {
    let (mut out, mut names) = (Vec::new(), Vec::new());
    for (name, is_closed) in
        CLOSED.iter().map(|name| (name, true)).chain(SIGNED.iter().map(|name| (name, false)))
    {
        // Of several, the last counts first (RFC 6376, section 5.4.2).
        for field in fields.iter().rev().filter(|field| field.name.eq_ignore_ascii_case(name)) {
            relaxed_field(field.name, field.value, &mut out);
            out.extend_from_slice(b"\r\n");
            names.push(*name);
        }
        if is_closed {
            names.push(name);
        }
    }
    // Folded, for a line has an end.
    let lines: Vec<String> = names.chunks(6).map(|names| names.join(":")).collect();
    (out, lines.join(":\r\n\t "))
}

/// What is signed: those fields, and the signature's own without its value.
fn data(signed: &[u8], field: &str) -> Vec<u8> {
    let mut data = signed.to_vec();
    if let Some((name, value)) = field.split_once(':') {
        relaxed_field(name, value.as_bytes(), &mut data);
    }
    data
}

/// RFC 6376, section 3.4.2, without the line end.
fn relaxed_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.trim().to_ascii_lowercase().as_bytes());
    out.push(b':');
    let words =
        value.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// RFC 6376, section 3.4.4.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut empty = 0_usize;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end =
            line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |at| at.saturating_add(1));
        let line = line.get(..end).unwrap_or_default();
        if line.is_empty() {
            empty = empty.saturating_add(1);
            continue;
        }
        out.extend(std::iter::repeat_n(b"\r\n", std::mem::take(&mut empty)).flatten());
        let mut in_space = false;
        for byte in line {
            let is_space = matches!(byte, b' ' | b'\t');
            if !is_space {
                out.push(*byte);
            } else if !in_space {
                out.push(b' ');
            }
            in_space = is_space;
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    /// The message of RFC 8463, appendix A.
    const MESSAGE: &str = "From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\nSubject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\nMessage-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n";
    const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn signer() -> Signer {
        let seed = STANDARD.decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        Signer {
            domain: "football.example.com".to_owned(),
            selector: "brisbane".to_owned(),
            key: Key::Ed25519(key),
        }
    }

    #[test]
    fn what_is_hashed_is_what_rfc_8463_hashes() {
        let field = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
        let signature =
            "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
        let (fields, body) = message::split(MESSAGE.as_bytes()).unwrap();
        assert_eq!(
            STANDARD.encode(Sha256::digest(relaxed_body(body))),
            "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
        );
        let mut signed = Vec::new();
        for field in &fields {
            relaxed_field(field.name, field.value, &mut signed);
            signed.extend_from_slice(b"\r\n");
        }
        // The same fields in the same order; each that is named twice is there once.
        let hashed = Sha256::digest(data(&signed, field));
        let key = UnparsedPublicKey::new(&ED25519, STANDARD.decode(PUBLIC).unwrap());
        key.verify(&hashed, &STANDARD.decode(signature).unwrap()).unwrap();
    }

    #[test]
    fn a_signature_covers_the_fields_that_are_there_and_closes_those_that_matter() {
        let field = signer().sign(MESSAGE.as_bytes(), Timestamp::from_millis(1_528_637_909_000)).unwrap();
        let field = String::from_utf8(field).unwrap();
        assert!(field.lines().all(|line| line.len() <= 78), "{field}");
        let plain: String = field.chars().filter(|c| !c.is_whitespace()).collect();
        for part in [
            "v=1;a=ed25519-sha256;c=relaxed/relaxed;d=football.example.com;s=brisbane;t=1528637909;",
            "h=from:from:sender:reply-to:to:to:cc:subject:subject:date:date:message-id:message-id;",
            "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;b=",
        ] {
            assert!(plain.contains(part), "{part}: {field}");
        }
    }

    #[test]
    fn keys_of_either_kind_sign_what_their_public_half_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        let open = |pem: &str| {
            std::fs::write(&file, pem).unwrap();
            Signer::open("football.example.com", "brisbane", &file)
        };
        let (pkcs8, pkcs1) = (
            include_str!("../../tests/fixtures/dkim-pkcs8.pem"),
            include_str!("../../tests/fixtures/dkim-pkcs1.pem"),
        );
        for pem in [pkcs8, pkcs1] {
            let signer = open(pem).unwrap();
            let Key::Rsa(key) = &signer.key else { panic!("an RSA key") };
            let field =
                String::from_utf8(signer.sign(MESSAGE.as_bytes(), Timestamp::from_millis(0)).unwrap())
                    .unwrap();
            let (before, signature) = field.rsplit_once("b=").unwrap();
            let signature: String = signature.chars().filter(|c| !c.is_whitespace()).collect();
            let (fields, _) = message::split(MESSAGE.as_bytes()).unwrap();
            let data = data(&signed(&fields).0, &format!("{before}b="));
            let public =
                UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, key.public().as_ref());
            public.verify(&data, &STANDARD.decode(signature).unwrap()).unwrap();
        }
        for (row, pem) in
            [("none", ""), ("no key", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
        {
            let Err(error) = open(pem) else { panic!("{row}") };
            assert!(error.contains("key.pem") && error.contains("openssl genrsa"), "{row}: {error}");
        }
    }

    #[test]
    fn nobody_elses_mail_is_signed() {
        for (row, from, signed) in [
            ("ours", "From: a@football.example.com\r\n", true),
            ("below", "From: a@mail.football.example.com\r\n", true),
            ("any case", "FROM: A <a@Football.Example.com>\r\n", true),
            ("several of ours", "From: a@football.example.com, b@football.example.com\r\n", true),
            ("above", "From: a@example.com\r\n", false),
            ("ends alike", "From: a@evilfootball.example.com\r\n", false),
            ("begins alike", "From: a@football.example.com.evil\r\n", false),
            ("in the name only", "From: \"a@football.example.com\" <a@evil>\r\n", false),
            ("one of two", "From: a@football.example.com, b@evil\r\n", false),
            ("two fields", "From: a@football.example.com\r\nFrom: b@football.example.com\r\n", false),
            ("none", "To: a@football.example.com\r\n", false),
        ] {
            let message = format!("{from}Subject: a\r\n\r\nb\r\n");
            let done = signer().sign(message.as_bytes(), Timestamp::from_millis(0));
            assert_eq!(done.is_some(), signed, "{row}");
        }
    }

    #[test]
    fn bodies_are_canonicalised_as_the_rfc_says() {
        for (body, want) in [
            ("", ""),
            ("\r\n\r\n", ""),
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("a", "a\r\n"),
            ("\r\na\r\n \r\n\t\r\nb\r\n \r\n", "\r\na\r\n\r\n\r\nb\r\n"),
        ] {
            assert_eq!(String::from_utf8(relaxed_body(body.as_bytes())).unwrap(), want, "{body:?}");
        }
    }
}
