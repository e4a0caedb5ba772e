//! Messages as CMSs and mail programs write them, damaged in ways that keep most of their structure: what must hold for all.

use mail_parser::{MessageParser, MimeHeaders as _, PartType};
use proptest::prelude::*;

use super::tests::{links, sites};
use super::{Outcome, rewrite};

const INSIDE: &str = "http://cms.internal:8080/Plone";
/// As long, and nobody's.
const ELSEWHERE: &str = "http://cms.external:8080/Other";

/// `LINK` stands for the address of a site, `B64` for a text with one, in base64.
const MESSAGES: [&str; 8] = [
    // Plone 6: a password to be set anew.
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\nTo: reader@example.com\r\nFrom: =?utf-8?q?The_site?= <site@example.org>\r\nSubject: =?utf-8?q?Password_reset_request_at_LINK?=\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-Id: <170000000.1.2@www.example.com>\r\n\r\nGr=C3=BC=C3=9Fe,\r\n\r\nThe following link: LINK/passwordreset/0123456=\r\n789abcdef0123456789abcdef?userid=3Djdoe\r\n\r\n(This link is valid for 168 hours)  =20\r\n.\r\n",
    // Plone 4: plain, in latin-1 without saying so.
    "To: reader@example.com\r\nFrom: site@example.org\r\nSubject: Your account at LINK\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSie k\u{f6}nnen sich jetzt anmelden: <LINK/login_form>\r\n-- \r\nLINK\r\n",
    // A newsletter: text and HTML, a picture.
    "From: site@example.org\r\nList-Unsubscribe: <LINK/unsubscribe?u=1>,\r\n\t<mailto:u@example.org>\r\nSubject: News\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=\"=_outer\"; type=\"multipart/alternative\"\r\n\r\nThis is MIME.\r\n--=_outer\r\nContent-Type: multipart/alternative; boundary=\"=_inner\"\r\n\r\n--=_inner\r\nContent-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\r\n\r\nSee LINK/ne \r\nws/today for more.\r\n> > quoted LINK \r\n> > and more\r\n--=_inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<!DOCTYPE html><html><head><base href=3D\"LINK/\"></head><body>\r\n<a href=3D\"LINK/news?a=3D1&amp;b=3D2\">News</a><img src=3D'cid:1'>\r\n<a href=3D\"http:&#47;/cms.example/x\">x</a>\r\n</body></html>\r\n--=_inner--\r\n\r\n--=_outer\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <1>\r\n\r\niVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9\r\nawAAAABJRU5ErkJggg==\r\n--=_outer--\r\nepilogue\r\n",
    // An invitation, in base64.
    "From: site@example.org\r\nSubject: =?utf-8?b?RWlubGFkdW5n?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nB64\r\n--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VEVENT\r\nURL:LINK/event\r\nEND:VEVENT\r\n--b--\r\n",
    // Forwarded, with a trace and a signature.
    "Received: from a by b; Tue, 14 Nov 2023 22:13:20 +0000\r\nDKIM-Signature: v=1; d=example.org;\r\n b=abc\r\nFrom: site@example.org\r\nSubject: Fwd: LINK\r\nContent-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n\r\nsee LINK\r\n--f\r\nContent-Type: message/rfc822\r\n\r\nFrom: other@example.org\r\nSubject: LINK/x\r\nContent-Type: text/html\r\n\r\n<p>LINK/y</p>\r\n--f--\r\n",
    // Signed.
    "From: site@example.org\r\nSubject: signed LINK\r\nContent-Type: multipart/signed; boundary=s; micalg=sha-256; protocol=\"application/pkcs7-signature\"\r\n\r\n--s\r\nContent-Type: text/plain\r\n\r\nLINK\r\n--s\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\nMIIB\r\n--s--\r\n",
    // An error report, far from home.
    "From: site@example.org\r\nSubject: [500] LINK/view\r\nX-Error-Url: LINK/view\r\nContent-Type: text/plain; charset=shift_jis\r\n\r\n\u{93}\u{fa}\u{96}{ LINK/view\r\nTraceback (most recent call last):\r\n",
    "\r\nno fields: LINK\r\n",
];

/// A message about the site at `link`, as bytes: its characters are latin-1.
fn message(number: usize, link: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text = format!("Hallo,\r\n{link}/event/1\r\n");
    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
    let message = MESSAGES[number % MESSAGES.len()].replace("LINK", link).replace("B64", &encoded);
    message.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// What is done to a message; places are parts of its length.
#[derive(Clone, Debug)]
enum Damage {
    DropLine(prop::sample::Index),
    RepeatLine(prop::sample::Index),
    SwapLines(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
    CutOut(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(&'static str, &'static str),
    Splice(usize, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    use prop::sample::select;
    let at = any::<prop::sample::Index>;
    let token = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..4),
        select(vec![
            "\r\n",
            "\r\n\r\n",
            "\n",
            " ",
            "\t",
            "=",
            "=\r\n",
            "=3D",
            "=?utf-8?q?",
            "?=",
            "--",
            "--=_inner\r\n",
            "--b--\r\n",
            "<",
            ">",
            "\"",
            "'",
            "<!--",
            "<script>",
            "</",
            "&",
            ";",
            ":",
            "\u{0}",
            "=C3",
            "\r\nContent-Type: multipart/mixed; boundary=\"=_inner\"\r\n",
            "\r\nContent-Transfer-Encoding: base64\r\n",
        ])
        .prop_map(|token| token.as_bytes().to_vec()),
    ];
    let exchange = select(vec![
        ("quoted-printable", "base64"),
        ("quoted-printable", "7bit"),
        ("base64", "quoted-printable"),
        ("base64", "8bit"),
        ("utf-8", "utf-7"),
        ("utf-8", "iso-2022-jp"),
        ("utf-8", "x-unknown"),
        ("iso-8859-1", "utf-8"),
        ("shift_jis", "gb18030"),
        ("text/plain", "text/html"),
        ("text/html", "text/plain"),
        ("text/plain", "message/rfc822"),
        ("message/rfc822", "text/plain"),
        ("text/plain", "application/octet-stream"),
        ("multipart/related", "multipart/encrypted"),
        ("multipart/signed", "multipart/mixed"),
        ("multipart/mixed", "text/plain"),
        ("boundary=", "boundary*0="),
        ("boundary=\"=_inner\"", "boundary=\"=_outer\""),
        ("\r\n", "\n"),
        ("Content-", "content-"),
        ("Content-Type", "X-Type"),
        ("delsp=yes", "delsp=no"),
        ("?q?", "?b?"),
        ("Subject", "Comments"),
    ]);
    prop_oneof![
        1 => at().prop_map(Damage::DropLine),
        1 => at().prop_map(Damage::RepeatLine),
        1 => (at(), at()).prop_map(|(one, two)| Damage::SwapLines(one, two)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), 1..40_usize).prop_map(|(at, length)| Damage::CutOut(at, length)),
        3 => (at(), token).prop_map(|(at, token)| Damage::Insert(at, token)),
        3 => exchange.prop_map(|(from, to)| Damage::Replace(from, to)),
        1 => (0..MESSAGES.len(), at()).prop_map(|(number, at)| Damage::Splice(number, at)),
    ]
}

fn damaged(mut message: Vec<u8>, damages: &[Damage], link: &str) -> Vec<u8> {
    for damage in damages {
        if message.is_empty() {
            break;
        }
        let mut lines: Vec<Vec<u8>> =
            message.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        match damage {
            Damage::DropLine(at) => drop(lines.remove(at.index(lines.len()))),
            Damage::RepeatLine(at) => {
                let at = at.index(lines.len());
                lines.insert(at, lines[at].clone());
            }
            Damage::SwapLines(one, two) => {
                let (one, two) = (one.index(lines.len()), two.index(lines.len()));
                lines.swap(one, two);
            }
            Damage::Cut(at) => lines = vec![message[..at.index(message.len())].to_vec()],
            Damage::CutOut(at, length) => {
                let at = at.index(message.len());
                let end = message.len().min(at + length);
                lines = vec![message[..at].to_vec(), message[end..].to_vec()];
            }
            Damage::Insert(at, token) => {
                let at = at.index(message.len());
                lines = vec![message[..at].to_vec(), token.clone(), message[at..].to_vec()];
            }
            Damage::Replace(from, to) => {
                let text: String = message.iter().map(|byte| char::from(*byte)).collect();
                let text = text.replace(from, to);
                lines = vec![text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()];
            }
            Damage::Splice(number, at) => {
                let at = at.index(message.len());
                lines = vec![message[..at].to_vec(), self::message(*number, link), message[at..].to_vec()];
            }
        }
        message = lines.concat();
    }
    message
}

fn done(message: &[u8]) -> Outcome {
    // A pile of containers is refused, and so changes nothing.
    rewrite(&sites(), &links(), message).unwrap_or_default()
}

/// Everything in a message that a mail program would show, by a reading that is not ours: text parts and subjects.
fn shown(raw: &[u8]) -> Vec<String> {
    let mut shown = Vec::new();
    let Some(message) = MessageParser::default().parse(raw) else { return shown };
    let mut todo = vec![&message];
    while let Some(message) = todo.pop() {
        shown.extend(message.subject().map(str::to_owned));
        for part in &message.parts {
            let is_sealed = part
                .content_type()
                .is_some_and(|kind| kind.subtype().is_some_and(|kind| kind.contains("pkcs7")));
            match &part.body {
                PartType::Text(text) | PartType::Html(text) if !is_sealed => shown.push(text.to_string()),
                PartType::Message(message) => todo.push(message),
                _ => {}
            }
        }
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_shown_names_nothing_internal_or_it_is_said_to(
        number in 0..MESSAGES.len(), damages in prop::collection::vec(damage(), 0..5)
    ) {
        let before = damaged(message(number, INSIDE), &damages, INSIDE);
        let outcome = done(&before);
        let after = outcome.message.as_deref().unwrap_or(&before);
        let reported = outcome.remaining > 0 || outcome.signed > 0 || outcome.unreadable > 0;
        for text in shown(after) {
            prop_assert!(
                reported || !text.contains("//cms.internal:8080/"),
                "{text:?}\n--- of\n{}\n--- from\n{}", String::from_utf8_lossy(after), String::from_utf8_lossy(&before)
            );
        }
        // And what is done is done.
        let again = done(after);
        prop_assert_eq!(again.message.as_deref().map(String::from_utf8_lossy), None);
    }

    #[test]
    fn what_names_nothing_internal_comes_out_as_it_came(
        number in 0..MESSAGES.len(), damages in prop::collection::vec(damage(), 0..6)
    ) {
        let before = damaged(message(number, ELSEWHERE), &damages, ELSEWHERE);
        let outcome = done(&before);
        prop_assert_eq!((outcome.message, outcome.replaced, outcome.unsigned), (None, 0, 0));
    }
}

#[test]
fn undamaged_each_message_is_rewritten_whole() {
    for number in 0..MESSAGES.len() {
        let outcome = done(&message(number, INSIDE));
        let after = String::from_utf8_lossy(outcome.message.as_deref().unwrap()).into_owned();
        let left = if after.contains("multipart/signed") { 1 } else { 0 };
        assert_eq!((outcome.signed, outcome.unreadable, outcome.remaining), (left, 0, 0), "{after}");
        assert_eq!(after.matches("cms.internal").count(), left, "{after}");
    }
}
