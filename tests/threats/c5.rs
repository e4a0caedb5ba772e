//! Cookies that are none.

use super::*;

#[test]
fn no_cookie_but_a_live_one_is_a_session_and_none_does_harm() {
    let backend = Backend::polite();
    let gate = Gate::to_the_street(&backend.url(), "");
    let other = Gate::to_the_street(&backend.url(), "");
    let (real, foreign) = (sign_in(gate.address), sign_in(other.address));
    let live = real.trim().split("lychgate=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    backend.take();
    let mut flipped = live.clone().into_bytes();
    flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let line = |value: String| format!("Cookie: {value}\r\n");
    for (name, lines) in [
        ("none", String::new()),
        ("an empty field", line(String::new())),
        ("garbage", line("lychgate=garbage".to_owned())),
        ("no name", line("=x; =; ;;".to_owned())),
        ("no equals sign", line("lychgate".to_owned())),
        ("bytes beyond ASCII", line("lychgate=\u{e9}\u{20ac}".to_owned())),
        ("CVE-2024-24814: a count of chunks", line("lychgate_chunks=1000000; lychgate=1000000".to_owned())),
        ("chunks", line(format!("lychgate_0={}; lychgate_1={}", &live[..20], &live[20..]))),
        ("one letter changed", line(format!("lychgate={flipped}"))),
        ("cut", line(format!("lychgate={}", &live[..42]))),
        ("in capitals", line(format!("LYCHGATE={live}"))),
        ("with a prefix", line(format!("__Host-lychgate={live}"))),
        ("with another prefix", line(format!("__Secure-lychgate={live}"))),
        ("in another's value", line(format!("a=\"; lychgate={live}x"))),
        ("of another gate", foreign.clone()),
        ("of a form", line(format!("lychgate_form={live}"))),
        ("oversize", line(format!("lychgate={}", "A".repeat(50_000)))),
        ("thirty thousand", line("a=b;".repeat(15_000))),
        ("five of that name, one live", line(format!("{}lychgate={live}", "lychgate=x; ".repeat(5)))),
        ("ninety fields", line("lychgate=x".to_owned()).repeat(90)),
        ("a list", line(format!("lychgate={flipped},lychgate={live}"))),
    ] {
        let answer = ask(gate.address, get("/docs", &lines));
        assert_eq!(answer.status(), 302, "{name}: {}", answer.line);
        assert_eq!(backend.take().len(), 0, "{name}");
    }
    for (name, lines) in [
        ("as it is", real.clone()),
        ("tossed by a sibling host, first", line(format!("lychgate=planted; lychgate={live}"))),
        ("tossed by a sibling host, last", line(format!("lychgate={live}; lychgate=planted"))),
        ("twice the same", line(format!("lychgate={live}; lychgate={live}"))),
    ] {
        assert_eq!(ask(gate.address, get("/docs", &lines)).status(), 200, "{name}");
    }
}
