//! What single fields of a request say, and the forms that it carries.

use super::{origins, shown, sizes};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use lychgate::admit::ClientIp;
use lychgate::gate::probe;
use lychgate::pages::{Pages, Settings};
use lychgate::rewrite::{Mode, tag_of_rewritten, tags_to_internal};
use std::net::IpAddr;
use std::sync::LazyLock;

/// A form that is judged as it passes: any split is judged alike, and no field passes unjudged, neither of what a browser makes of
/// the input nor of the input read as a form.
pub fn inspect(data: &[u8]) {
    for kind in ["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"] {
        drop(every_split(kind, data));
    }
    let judged = every_split("", data).expect("a form is never refused for its pieces alone");
    for field in data.split(|byte| *byte == b'&').filter(|field| (1..=2048).contains(&field.len())) {
        let (name, _) = field.split_at(field.iter().position(|byte| *byte == b'=').unwrap_or(field.len()));
        let spaces: Vec<u8> = name.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        let name: Vec<u8> = percent_encoding::percent_decode(&spaces).collect();
        assert!(judged.iter().any(|(seen, _)| *seen == name), "nobody judged {}", shown(&name));
    }
    // As browsers write it (HTML, section 4.10.22.7).
    let mut body = Vec::new();
    let names: Vec<&[u8]> = data.split(|byte| *byte == b'\n').take(8).collect();
    for name in &names {
        let name: Vec<u8> = name.iter().copied().filter(|byte| *byte != b'\r').collect();
        let name = name.iter().flat_map(|byte| match byte {
            b'"' => b"%22".to_vec(),
            byte => vec![*byte],
        });
        body.extend_from_slice(b"--b\r\nContent-Disposition: form-data; name=\"");
        body.extend(name);
        body.extend_from_slice(b"\"\r\n\r\nvalue\r\n");
    }
    body.extend_from_slice(b"--b--\r\n");
    // A name may hold the boundary itself; then it ends there. No form's names say `name` so often that the head of its part is refused.
    let says_name = data.to_ascii_lowercase().windows(4).filter(|window| window == b"name").count();
    if data.windows(3).all(|window| window != b"--b") && says_name < 32 {
        let judged = every_split("multipart/form-data; boundary=b", &body).expect("as browsers write it");
        for name in names {
            let name: Vec<u8> = name.iter().copied().filter(|byte| *byte != b'\r').collect();
            let name = shown(&name).replace("\\\"", "%22");
            assert!(judged.iter().any(|(seen, _)| shown(seen) == name), "nobody judged {name}");
        }
    }
    // What the type says may be read in one way, or not at all.
    if let Some(at) = data.iter().position(|byte| *byte == b'\n') {
        let (kind, body) = data.split_at(at);
        let whole = probe::fields(kind, std::iter::once(body));
        assert_eq!(whole.is_err(), probe::fields(kind, body.chunks(1)).is_err(), "{}", shown(kind));
    }
}

fn every_split(kind: &str, body: &[u8]) -> Result<Vec<probe::Field>, &'static str> {
    let judged =
        |size| probe::fields(kind.as_bytes(), body.chunks(size)).map(|fields| fields.expect("a form"));
    let whole = judged(body.len().max(1));
    for size in sizes(body) {
        match (&judged(size), &whole) {
            (Ok(fields), Ok(whole)) => {
                // Two ways of reading go on beside one another, so their order depends on the pieces.
                let sorted = |fields: &Vec<probe::Field>| {
                    let mut fields = fields.clone();
                    fields.sort();
                    fields
                };
                assert_eq!(sorted(fields), sorted(whole), "{kind} in pieces of {size}");
            }
            (one, other) => assert_eq!(one.is_err(), other.is_err(), "{kind} in pieces of {size}"),
        }
    }
    whole
}

/// Conditions: the backend gets its own entity tags back, however they are listed; and every resource that an `If` names by the
/// grammar is judged, and nothing else is.
pub fn conditions(data: &[u8]) {
    let inner: Vec<u8> = data.iter().copied().filter(|byte| *byte != b'"').collect();
    if let Ok(tag) = HeaderValue::from_bytes(&[b"\"", inner.as_slice(), b"\""].concat())
        && let Some(public) = tag_of_rewritten(&tag)
    {
        assert_eq!(tags_to_internal(&public).as_ref(), Some(&tag), "another tag comes back");
        let list = |tag: &HeaderValue| {
            HeaderValue::from_bytes(&[tag.as_bytes(), b", \"x\", ", tag.as_bytes()].concat())
        };
        let back = tags_to_internal(&list(&public).unwrap());
        assert_eq!(back, list(&tag).ok(), "another list comes back");
        let known = HeaderValue::from_bytes(&[b"</a> ([", public.as_bytes(), b"] <t>)"].concat()).unwrap();
        for origins in origins(Mode::Safety) {
            let condition = origins.condition_to_internal(&known).expect("there is a tag in it");
            let want = [b"</a> ([", tag.as_bytes(), b"] <t>)"].concat();
            assert_eq!(shown(condition.as_bytes()), shown(&want));
        }
    }
    let judged = probe::tags(data);
    assert!(judged.iter().all(|tag| !tag.contains(&b'>')), "two in one");
    if let Some(resources) = resources(data) {
        assert_eq!(judged, resources, "{}", shown(data));
    }
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    for origins in origins(Mode::Full) {
        if let Some(internal) = origins.condition_to_internal(&value)
            && resources(data).is_some()
        {
            let after = resources(internal.as_bytes()).expect("it is a condition still");
            assert_eq!(after.len(), judged.len(), "{}", shown(internal.as_bytes()));
        }
    }
}

/// The resources of an `If` that is one (RFC 4918, section 10.4.2).
fn resources(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    let mut rest = text.trim_ascii_start();
    let is_tagged = rest.starts_with(b"<");
    while !rest.is_empty() {
        if is_tagged {
            found.push(until(&mut rest, b"<", b'>')?);
            rest = rest.trim_ascii_start();
        }
        list(&mut rest)?;
        while rest.starts_with(b"(") {
            list(&mut rest)?;
        }
    }
    (!text.trim_ascii().is_empty()).then_some(found)
}

fn list(rest: &mut &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(b"(")?.trim_ascii_start();
    loop {
        if rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"not")) {
            *rest = rest[3..].trim_ascii_start();
        }
        if rest.starts_with(b"<") {
            until(rest, b"<", b'>')?;
        } else {
            *rest = rest.strip_prefix(b"[")?;
            *rest = rest.strip_prefix(b"W/").unwrap_or(rest);
            until(rest, b"\"", b'"')?;
            *rest = rest.strip_prefix(b"]")?;
        }
        *rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b")") {
            *rest = after.trim_ascii_start();
            return Some(());
        }
    }
}

fn until<'a>(rest: &mut &'a [u8], open: &[u8], close: u8) -> Option<&'a [u8]> {
    let inside = rest.strip_prefix(open)?;
    let end = inside.iter().position(|byte| *byte == close)?;
    *rest = &inside[end + 1..];
    Some(&inside[..end])
}

/// `X-Forwarded-For`, a line each: a stranger's word counts for nothing, and what stands left of the first address that no proxy
/// of ours has changes nothing.
pub fn client(data: &[u8]) {
    static TRUSTED: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
        ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "::1/128"].map(|net| net.parse().unwrap()).to_vec()
    });
    let is_trusted = |ip: &IpAddr| TRUSTED.iter().any(|net| net.contains(ip));
    let lines: Vec<HeaderValue> = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .take(40)
        .collect();
    let resolve = |peer: &str, lines: &[HeaderValue]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.clone());
        }
        ClientIp::resolve(peer.parse().unwrap(), &headers, &TRUSTED).ip()
    };
    let stranger: IpAddr = "198.51.100.7".parse().unwrap();
    assert_eq!(resolve("198.51.100.7", &lines), stranger, "a stranger is believed");
    assert_eq!(resolve("::ffff:198.51.100.7", &lines), stranger, "a stranger is believed");
    for peer in ["10.0.0.1", "::1", "::ffff:10.0.0.1"] {
        let client = resolve(peer, &lines);
        assert_eq!(client, client.to_canonical(), "two spellings of one address");
        if !is_trusted(&client) {
            for invented in ["203.0.113.9", "127.0.0.1", "garbage", ""] {
                let invented = HeaderValue::from_static(invented);
                let longer = [std::slice::from_ref(&invented), lines.as_slice()].concat();
                assert_eq!(resolve(peer, &longer), client, "{invented:?} before all of it");
                let joined = [invented.as_bytes(), b",", lines[0].as_bytes()].concat();
                let joined = [&[HeaderValue::from_bytes(&joined).unwrap()], &lines[1..]].concat();
                assert_eq!(resolve(peer, &joined), client, "{invented:?} at the left");
            }
        } else if lines.is_empty() {
            assert_eq!(client, peer.parse::<IpAddr>().unwrap().to_canonical());
        }
    }
}

/// What a visitor asks for, a line each: by the link, by the cookie, by the browser. It is one of the languages that there are; and
/// what none of them is called changes nothing.
pub fn language(data: &[u8]) {
    static PAGES: LazyLock<Pages> =
        LazyLock::new(|| Pages::load(&Settings::default()).expect("our own pages"));
    let text = String::from_utf8_lossy(data);
    let mut asked = text.split('\n');
    let (query, cookie, accept) = (asked.next(), asked.next(), asked.next());
    fn of(query: Option<&str>, cookie: Option<&str>, accept: Option<&str>) -> String {
        PAGES.language(query, cookie, accept).as_str().to_owned()
    }
    let known: Vec<String> = PAGES.speakers().map(|speaker| speaker.language().as_str().to_owned()).collect();
    let chosen = of(query, cookie, accept);
    assert!(known.contains(&chosen), "{chosen} is not there");
    let whole = Some(text.as_ref());
    assert_eq!(of(Some("tlh"), Some("x-none"), whole), of(None, None, whole));
    // Of a list without end only the beginning is read.
    if text.matches(',').count() < 30 {
        assert_eq!(
            of(None, None, Some(&format!("tlh, {text}"))),
            of(None, None, whole),
            "behind one that is not there"
        );
    }
    for language in &known {
        assert_eq!(&of(Some(language), cookie, accept), language, "the link is heard first");
        assert_eq!(&of(None, Some(language), accept), language, "then the cookie");
        assert_eq!(&of(None, None, Some(&format!("{language};q=1.0,{text}"))), language, "then the first");
    }
}
