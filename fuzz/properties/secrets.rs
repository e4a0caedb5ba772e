//! What only the gate can make, and what passwords are stored as.

use super::shown;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use lychgate::clock::Timestamp;
use lychgate::csrf::{self, FormCookie};
use lychgate::held::LastUser;
use lychgate::password::{Costs, Hash, Verified, read_htpasswd};
use lychgate::random::Random;
use lychgate::seal::Sealer;
use lychgate::secret::Secret;
use lychgate::session::SessionId;
use lychgate::session::cookie::Names;
use std::sync::{Arc, LazyLock};

/// The same every time, so that a finding can be had again.
struct Same(u8);

impl Random for Same {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

static OURS: LazyLock<Sealer> = LazyLock::new(|| sealer("a secret of at least thirty-two characters"));
static THEIRS: LazyLock<Sealer> = LazyLock::new(|| sealer("another secret, which is just as long as it"));

fn sealer(secret: &str) -> Sealer {
    Sealer::new(&Secret::new(secret), &[], Arc::new(Same(7)))
}

/// Sealed values and the cookies and tokens made of them: no byte can be changed, added or left out, and none opens in another
/// place. The input says what is sealed, and how it is spoiled.
pub fn sealed(data: &[u8]) {
    // The fuzzer copies what it sees below; so it may be ours, but then to the byte.
    let opened = OURS.open("p", b"c", data);
    assert!(opened.is_none_or(|plain| OURS.seal("p", b"c", &plain) == data), "opened what was never sealed");
    let Some(([how, high, low, byte], plain)) = data.split_first_chunk::<4>() else { return };
    let at = usize::from(*high) * 256 + usize::from(*low);
    let spoil = |good: &[u8]| spoiled(good, *how, at, *byte);

    let good = OURS.seal("p", b"c", plain);
    assert_eq!(OURS.open("p", b"c", &good).expect("it is ours").as_slice(), plain);
    let bad = spoil(&good);
    assert_eq!(OURS.open("p", b"c", &bad).is_some(), bad == good, "{}", shown(&bad));
    assert!(OURS.open("q", b"c", &good).is_none() && OURS.open("p", b"d", &good).is_none());
    assert!(THEIRS.open("p", b"c", &good).is_none(), "opened with another secret");
    let code = OURS.mac("p", plain);
    let bad = spoil(&code);
    assert_eq!(OURS.verify_mac("p", plain, &bad), bad == code);
    assert_eq!(OURS.verify_mac("p", &spoil(plain), &code), spoil(plain) == plain);

    let (browser, other) = (FormCookie::random(&Same(1)), FormCookie::random(&Same(2)));
    let now = Timestamp::from_millis(1_700_000_000_000);
    let token = csrf::token(&OURS, &browser, "login", now);
    assert_eq!(csrf::check(&OURS, &browser, "login", &token, now), Ok(()));
    assert!(csrf::check(&OURS, &other, "login", &token, now).is_err(), "another browser's");
    assert!(csrf::check(&THEIRS, &browser, "login", &token, now).is_err(), "another gate's");
    if let Ok(bad) = String::from_utf8(spoil(token.as_bytes())) {
        let is_good = csrf::check(&OURS, &browser, "login", &bad, now).is_ok();
        assert_eq!(is_good, bad == token, "{bad} and not {token}");
    }
    if let Some(millis) = plain.first_chunk() {
        let (then, age) = (Timestamp::from_millis(i64::from_le_bytes(*millis)), csrf::MAX_AGE.as_millis());
        let apart = (i128::from(then.as_millis()) - i128::from(now.as_millis())).unsigned_abs();
        assert_eq!(csrf::check(&OURS, &browser, "login", &token, then).is_ok(), apart <= age, "{then:?}");
    }

    let id = SessionId::random(&Same(3));
    let text = id.text();
    let bad = spoil(text.expose().as_bytes());
    assert!(
        SessionId::parse(&bad).is_none_or(|read| read.text().expose().as_bytes() == bad),
        "two spellings"
    );
    let last = LastUser::seal(&OURS, id.key(), "site", "jane").expect("a short name");
    let names = Names::new(true, None);
    let find = |site: &str, last: &[u8]| {
        let start = format!("__Host-lychgate={}; __Host-lychgate-last=", text.expose());
        let value = HeaderValue::from_bytes(&[start.as_bytes(), last].concat()).ok()?;
        LastUser::find(&OURS, site, &HeaderMap::from_iter([(COOKIE, value)]), &names)
    };
    assert_eq!(find("site", last.as_bytes()).as_deref(), Some("jane"));
    assert_eq!(find("other", last.as_bytes()), None);
    let bad = spoil(last.as_bytes());
    let is_cut = bad.contains(&b';') || bad.trim_ascii() == last.as_bytes();
    assert!(is_cut || find("site", &bad).is_none(), "{} and not {last}", shown(&bad));
}

fn spoiled(good: &[u8], how: u8, at: usize, byte: u8) -> Vec<u8> {
    let mut bad = good.to_vec();
    let at = at % (bad.len() + 1);
    match how % 5 {
        0 => bad.get_mut(at).into_iter().for_each(|place| *place ^= byte),
        1 => bad.get_mut(at).into_iter().for_each(|place| *place = byte),
        2 => bad.insert(at, byte),
        3 => bad.truncate(at),
        _ => drop(bad.drain(at..bad.len().min(at + usize::from(byte)))),
    }
    bad
}

/// htpasswd files and hashes: each line is taken over or refused, no hash is told, what is read of one reads the same again; and a
/// password fits its own hash and no other.
pub fn password(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (entries, refused) = read_htpasswd(text);
    let lines: Vec<&str> = text.lines().collect();
    let told = lines.iter().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).count();
    assert_eq!(entries.len() + refused.len(), told, "a line is lost");
    for refused in &refused {
        let line = lines[refused.line - 1];
        let (name, hash) = line.split_once(':').unwrap_or(("", line));
        let hash = hash.split(':').next().unwrap_or_default().trim();
        let says_something = hash.len() >= 12 && !hash.contains(' ') && !name.contains(hash);
        assert!(!says_something || !refused.what.contains(hash), "{}", refused.what);
        assert!(!refused.what.chars().any(char::is_control), "{:?}", refused.what);
    }
    for hash in entries.into_iter().map(|entry| entry.hash).chain(Hash::parse(text)) {
        assert_eq!(Hash::parse(hash.text().expose()).as_ref(), Some(&hash), "twice is not once");
        assert!(!format!("{hash:?}").contains(hash.text().expose()), "a hash is told");
    }
    let costs = Costs::new(8, 1, 1).expect("cheap");
    let secret = Secret::new(text);
    let hash = costs.hash(&secret, &Same(5)).expect("there is memory for it");
    assert_eq!(hash.verify(&secret, &costs), Verified::Yes);
    for other in [format!("{text}x"), format!("x{text}")] {
        assert_eq!(hash.verify(&Secret::new(other), &costs), Verified::No);
    }
    assert_eq!(Hash::parse(hash.text().expose()), Some(hash));
}
