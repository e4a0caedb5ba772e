use proptest::prelude::*;

use super::*;

fn headers(lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

fn stripped(lines: &[&[u8]]) -> Option<String> {
    strip(&headers(lines), |name| name == b"__ac")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[test]
fn set_cookies_carry_what_their_site_needs() {
    let day = Some(Duration::from_secs(86_400));
    let (https, http) = (Names::new(true, None), Names::new(false, None));
    let intra = Names::new(true, Some("intra"));
    for (name, header, expected) in [
        (
            "https, until the browser closes",
            set(Name::Session, &https, "abc", None),
            "__Host-lychgate=abc; HttpOnly; SameSite=Lax; Secure; Path=/",
        ),
        (
            "http, remembered",
            set(Name::Session, &http, "abc", day),
            "lychgate=abc; HttpOnly; SameSite=Lax; Path=/; Max-Age=86400",
        ),
        (
            "forgotten",
            clear(Name::Reset, &https),
            "__Host-lychgate-reset=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0",
        ),
        (
            "one of several sites on its host",
            set(Name::Form, &intra, "abc", None),
            "__Host-lychgate-form.intra=abc; HttpOnly; SameSite=Lax; Secure; Path=/",
        ),
        (
            "a value that would break out",
            set(Name::Reset, &http, "fr; Path=/x\r\n\"é\\,%", None),
            "lychgate-reset=fr%3B%20Path=/x%0D%0A%22%C3%A9%5C%2C%25; HttpOnly; SameSite=Lax; Path=/",
        ),
    ] {
        assert_eq!(header.to_str().unwrap(), expected, "{name}");
        assert_eq!(format!("{header:?}"), "Sensitive", "{name}");
    }
}

#[test]
fn pairs_are_read_as_browsers_write_them_and_garbage_does_no_harm() {
    let read = |lines: &[&[u8]]| -> Vec<String> {
        pairs(&headers(lines))
            .map(|(name, value)| format!("{}|{}", name.escape_ascii(), value.escape_ascii()))
            .collect()
    };
    for (name, line, expected) in [
        ("two", &b"a=1; b=2"[..], vec!["a|1", "b|2"]),
        ("no spaces", b"a=1;b=2", vec!["a|1", "b|2"]),
        ("equals in the value", b"a=b=c==", vec!["a|b=c=="]),
        ("no name", b"=x; y", vec!["|x", "|y"]),
        ("empty pieces", b";; a=;", vec!["|", "|", "a|", "|"]),
        ("not UTF-8", b"a=\xff\xfe", vec!["a|\\xff\\xfe"]),
        ("spaces around", b" a = 1 ", vec!["a|1"]),
        ("quotes are part of the value", b"a=\"1;2\"", vec!["a|\\\"1", "|2\\\""]),
    ] {
        assert_eq!(read(&[line]), expected, "{name}");
    }
    assert_eq!(read(&[b"a=1", b"b=2"]), ["a|1", "b|2"]);
    assert!(read(&[]).is_empty());
    let headers = headers(&[b"a=1; A=2; a=3", b"a=4"]);
    let found: Vec<_> = values(&headers, "a").collect();
    assert_eq!(found, [b"1", b"3", b"4"]);
}

#[test]
fn the_backend_gets_its_own_cookies_byte_for_byte_and_no_others() {
    for (name, lines, left) in [
        ("nothing to take", &[&b"a=1;  b=\"x y\" ;c"[..]][..], Some("a=1;  b=\"x y\" ;c")),
        ("no cookies", &[], None),
        ("the gate's only", &[b"lychgate=x; __Host-lychgate=y"], None),
        (
            "all of the gate's",
            &[b"lychgate-form=1; a=1; __Host-lychgate-lang=fr; lychgate-reset=2"],
            Some("a=1"),
        ),
        (
            "those of other sites on the host",
            &[b"lychgate.intra=1; __Host-lychgate-form.x=2; a=1; lychgate.=3"],
            Some("a=1"),
        ),
        ("first", &[b"lychgate=x; a=1; b=2"], Some("a=1; b=2")),
        ("middle", &[b"a=1;lychgate=x;b=2"], Some("a=1;b=2")),
        ("last", &[b"a=1; b=2; lychgate=x"], Some("a=1; b=2")),
        ("the CMS's credential", &[b"a=1; __ac=stolen; b=2"], Some("a=1; b=2")),
        (
            "names that only begin alike",
            &[b"lychgates=1; __acx=2; x__ac=3"],
            Some("lychgates=1; __acx=2; x__ac=3"),
        ),
        ("several lines", &[b"a=1; lychgate=x", b"b=2", b"lychgate=y"], Some("a=1; b=2")),
        ("other case", &[b"LychGate=1; __HOST-LYCHGATE-FORM=2; a=1"], Some("a=1")),
        ("not UTF-8", &[b"a=\xff; lychgate=x"], Some("a=\u{fffd}")),
        ("values that only mention it", &[b"a=__ac; b=lychgate"], Some("a=__ac; b=lychgate")),
        // Zope splits at commas, and needs nothing between a quoted value and the next name.
        ("after a comma", &[b"a=1,__ac=stolen; b=2"], Some("b=2")),
        ("after a quoted value", &[b"a=\"1\"__ac=stolen; b=2"], Some("b=2")),
        ("within quotes", &[b"a=\"x; __ac=stolen\"; b=2"], Some("a=\"x; b=2")),
        ("after a control byte's stand-in", &[b"a=1\t__ac=stolen; b=2"], Some("b=2")),
        // Django trims what Latin-1 calls spaces.
        ("after a no-break space", &[b"\xa0__ac=stolen; b=2"], Some("b=2")),
        ("before a space", &[b"__ac =stolen; b=2"], Some("b=2")),
    ] {
        assert_eq!(stripped(lines).as_deref(), left, "{name}");
    }
}

#[test]
fn a_million_pieces_are_read_in_one_go() {
    let line = b"lychgate=x;=;".repeat(1_000_000);
    let headers = headers(&[&line]);
    assert_eq!(pairs(&headers).count(), 2_000_001);
    assert_eq!(strip(&headers, |_| false).unwrap().len(), 2_000_000);
}

/// A name that may be anything a cookie is called here, and a value as browsers send them.
fn pair() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        Just("lychgate".to_owned()),
        Just("__Host-lychgate-form".to_owned()),
        Just("__ac".to_owned()),
        "[a-z_]{1,6}",
    ];
    (name, "[!#-+./0-9:<>-Z\\[\\]-~-]{0,12}")
}

proptest! {
    #[test]
    fn other_cookies_pass_byte_for_byte_in_order(pairs in prop::collection::vec(pair(), 0..8), cut in 0_usize..8) {
        let text = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
        };
        let (one, two) = pairs.split_at(cut.min(pairs.len()));
        let (one, two) = (text(one), text(two));
        let mut lines = vec![one.as_bytes(), two.as_bytes()];
        lines.retain(|line| !line.is_empty());
        let others: Vec<_> = pairs
            .iter()
            .filter(|(name, _)| name != "__ac" && !name.contains("lychgate"))
            .cloned()
            .collect();
        prop_assert_eq!(stripped(&lines).unwrap_or_default(), text(&others));
    }

    #[test]
    fn nothing_panics_nothing_of_ours_survives_and_twice_is_once(
        lines in prop::collection::vec(
            prop_oneof![
                "[ -~\\t\u{80}-\u{ff}]{0,40}".prop_map(String::into_bytes),
                "((lychgate|__Host-lychgate|__ac|a|=|;|,|\"| ){0,20})".prop_map(String::into_bytes),
            ],
            0..4,
        )
    ) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let headers = headers(&lines);
        if let Some(left) = strip(&headers, |name| name == b"__ac") {
            let mut again = HeaderMap::new();
            again.append(COOKIE, left.clone());
            for (name, _) in pairs(&again) {
                prop_assert!(name != b"__ac" && name != b"lychgate" && name != b"__Host-lychgate");
            }
            prop_assert_eq!(strip(&again, |name| name == b"__ac"), Some(left));
        }
    }
}
