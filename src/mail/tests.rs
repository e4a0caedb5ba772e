//! Messages in, messages out: a table over encodings and structures, and what must hold for every message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::{Links, Outcome};
use crate::rewrite::{Mode, Origins, Sites};

/// A site on `cms.internal:8080/Plone`, which is `https://www.example.org` outside.
pub(super) fn sites() -> Sites {
    let (backend, public) = ("http://cms.internal:8080/Plone", "https://www.example.org");
    let names = ["plone.lan".to_owned(), "vm".to_owned()];
    Sites::new([
        &Origins::new(&backend.parse().unwrap(), &public.parse().unwrap(), &names, Mode::Full).unwrap()
    ])
}

/// Its path, for links.
pub(super) fn links() -> Links {
    let toml = "name = \"www\"\npublic_url = \"https://www.example.org\"\nbackend_url = \"http://cms.internal:8080/Plone\"";
    let intranet = "name = \"intranet\"\npublic_url = \"https://www.example.org/in\"\nbackend_url = \"http://cms.internal:8080/Plone/Intranet\"";
    Links::new(&[toml::from_str(toml).unwrap(), toml::from_str(intranet).unwrap()])
}

fn rewrite(sites: &Sites, message: &[u8]) -> Result<Outcome, super::TooDeep> {
    super::rewrite(sites, &links(), message)
}

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn done(message: &[u8]) -> Outcome {
    rewrite(&sites(), message).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// The message after, with plain line ends.
fn after(message: &str) -> String {
    let message = crlf(message);
    let done = done(&message).message;
    text(done.as_deref().unwrap_or(&message))
}

const LINK: &str = "http://cms.internal:8080/Plone/passwordreset/0123456789abcdef0123456789abcdef";
const PUBLIC: &str = "https://www.example.org/passwordreset/0123456789abcdef0123456789abcdef";

#[test]
fn links_are_public_in_every_encoding_and_structure() {
    for (row, input, want) in [
        (
            "7bit",
            "Subject: a\n\nSee <http://cms.internal:8080/Plone/x>.\n",
            "Subject: a\n\nSee <https://www.example.org/x>.\n",
        ),
        (
            "Plone's own: quoted-printable, the link over two lines",
            "Subject: =?utf-8?q?Password_reset_request?=\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\nThe following link: http://cms.internal:8080/Plone/passwordreset/01=\n23456789abcdef0123456789abcdef\n(This link is valid for 168 hours)  =20\n",
            "Subject: =?utf-8?q?Password_reset_request?=\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe\nThe following link: https://www.example.org/passwordreset/0123456789abcdef0=\n123456789abcdef\n(This link is valid for 168 hours)  =20\n",
        ),
        (
            "quoted-printable, the name itself over two lines, spelled",
            "Content-Type: text/html\nContent-Transfer-Encoding: Quoted-Printable\n\n<a href=3D\"http:=2F/cms.inte=\nrnal:8080/Plone/x?a=3Db\">\n=3D\n",
            "Content-Type: text/html\nContent-Transfer-Encoding: Quoted-Printable\n\n<a href=3D\"https://www.example.org/x?a=3Db\">\n=3D\n",
        ),
        (
            "subject, Q and B, over words",
            "Subject: =?utf-8?q?Site_http=3A//cms=2Eint?=\n =?utf-8?q?ernal=3A8080/Plone/x?= and =?iso-8859-1?B?aHR0cDovL2Ntcy5pbnRlcm5hbDo4MDgwL1Bsb25lL/w=?=\n\n",
            "Subject: =?utf-8?q?Site_https=3A//www=2Eexample=2Eorg/x?= and =?iso-8859-1?b?aA==?=\n =?iso-8859-1?b?dHRwczovL3d3dy5leGFtcGxlLm9yZy/8?=\n\n",
        ),
        (
            "subject that is cut within a character, or says so in no charset",
            "Subject: =?utf-8?q?=C3_http=3A//cms=2Einternal=3A8080/Plone?=\nComments: =?x-none?q?=C3_http=3A//cms=2Einternal=3A8080/Plone?=\n\n",
            "Subject: =?utf-8?q?=EF=BF=BD_https=3A//www=2Eexample=2Eorg?=\nComments: =?x-none?q?=C3_http=3A//cms=2Einternal=3A8080/Plone?=\n\n",
        ),
        (
            "what says that it is a message and is none",
            "Content-Type: message/rfc822\n\nhttp://cms.internal:8080/Plone/x\n",
            "Content-Type: message/rfc822\n\nhttps://www.example.org/x\n",
        ),
        (
            "fields",
            "List-Unsubscribe: <http://cms.internal:8080/Plone/u>\nMessage-ID: <1@plone.lan>\nFrom: <a@plone.lan>\nX-Url: http://cms.internal:8080/Plone\n\n",
            "List-Unsubscribe: <https://www.example.org/u>\nMessage-ID: <1@www.example.org>\nFrom: <a@plone.lan>\nX-Url: https://www.example.org\n\n",
        ),
        (
            "alternative in mixed, with an attached message; preamble and the rest exact",
            "Content-Type: multipart/mixed; boundary=o\n\npreamble\n--o\nContent-Type: multipart/alternative; boundary=\"i i\"\n\n--i i\n\nhttp://cms.internal:8080/Plone/a\n--i i\nContent-Type: text/html\n\n<a href='http://cms.internal:8080/Plone/b'>\n\n--i i--\n--o\nContent-Type: message/rfc822\n\nSubject: http://cms.internal:8080/Plone/c\n\nhttp://cms.internal:8080/Plone/d\n--o\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\naHR0cDov\n--o\nContent-Type: text/calendar\n\nURL:http://cms.internal:8080/Plone/e\n--o--\nend\n",
            "Content-Type: multipart/mixed; boundary=o\n\npreamble\n--o\nContent-Type: multipart/alternative; boundary=\"i i\"\n\n--i i\n\nhttps://www.example.org/a\n--i i\nContent-Type: text/html\n\n<a href='https://www.example.org/b'>\n\n--i i--\n--o\nContent-Type: message/rfc822\n\nSubject: https://www.example.org/c\n\nhttps://www.example.org/d\n--o\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\naHR0cDov\n--o\nContent-Type: text/calendar\n\nURL:https://www.example.org/e\n--o--\nend\n",
        ),
        (
            "flowed, joined lines, quoted",
            "Content-Type: text/plain; format=flowed; DelSp=yes\n\nSee http://cms.inte \nrnal:8080/Plo \nne/x\n> also http: \n> //cms.internal:8080/Plone\n-- \nme \n",
            "Content-Type: text/plain; format=flowed; DelSp=yes\n\nSee https://www.example.org/x\n> also https://www.example.org\n-- \nme \n",
        ),
        (
            "a calendar, in which a line is folded inside the name",
            "Content-Type: text/calendar; charset=utf-8\n\nBEGIN:VCALENDAR\nURL:http://cms.inte\n rnal:8080/Plone/x\nX:folded\n  as before\n",
            "Content-Type: text/calendar; charset=utf-8\n\nBEGIN:VCALENDAR\nURL:https://www.example.org/x\nX:folded\n  as before\n",
        ),
        (
            "a mail address that is hidden from harvesters",
            "Content-Type: text/html\n\n<a href=\"&#109;ailto&#58;a&#64;&#99;&#109;&#115;&#46;&#105;&#110;&#116;&#101;&#114;&#110;&#97;&#108;\">\n",
            "Content-Type: text/html\n\n<a href=\"&#109;ailto&#58;a&#64;www&#46;example&#46;org\">\n",
        ),
        (
            "flowed without joined lines",
            "Content-Type: text/plain; format=flowed\n\nSee \nhttp://cms.internal:8080/Plone/x \nnow\n",
            "Content-Type: text/plain; format=flowed\n\nSee \nhttps://www.example.org/x \nnow\n",
        ),
        (
            "windows-1252 and an unknown charset",
            "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n=80 http://cms.internal:8080/Plone =80\n--o\nContent-Type: text/plain; charset=x-none\n\nhttp://cms.internal:8080/Plone\n--o--\n",
            "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n=80 https://www.example.org =80\n--o\nContent-Type: text/plain; charset=x-none\n\nhttps://www.example.org\n--o--\n",
        ),
        (
            "HTML: links that begin at the root, and what only looks like one",
            "Content-Type: text/html; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n<a class=3Dx HREF=3D'/Plone/n=E4=\nws?a=3D1'>/Plone</a> <img src=3D/Plone srcset=3D\"/Plone/1 1x, /Plone/2 2x\">\n<a href=3D\" /Plone/Intranet#x\">x</a> <a href=3D\"/Plone2/x\" title=3D\"/Plone/x\"> <a href=3D\"/x\"> <!-- <a href=3D\"/Plone\"> -->\n<input value=3D\"/Plone/x\"> <a href=3D\"//Plone/x\"> <a href=3D\"http://other.example/Plone\">\n",
            "Content-Type: text/html; charset=windows-1252\nContent-Transfer-Encoding: quoted-printable\n\n<a class=3Dx HREF=3D'https://www.example.org/n=E4ws?a=3D1'>/Plone</a> <img =\nsrc=3Dhttps://www.example.org srcset=3D\"https://www.example.org/1 1x, https=\n://www.example.org/2 2x\">\n<a href=3D\" https://www.example.org/in#x\">x</a> <a href=3D\"/Plone2/x\" title=\n=3D\"/Plone/x\"> <a href=3D\"/x\"> <!-- <a href=3D\"/Plone\"> -->\n<input value=3D\"/Plone/x\"> <a href=3D\"//Plone/x\"> <a href=3D\"http://other.example/Plone\">\n",
        ),
        (
            "text: a path is no link",
            "Content-Type: text/plain\n\n<a href=\"/Plone/x\">\n",
            "Content-Type: text/plain\n\n<a href=\"/Plone/x\">\n",
        ),
        ("no fields", "\nhttp://cms.internal:8080/Plone\n", "\nhttps://www.example.org\n"),
        (
            "a multipart without parts",
            "Content-Type: multipart/mixed; boundary=o\n\nhttp://cms.internal:8080/Plone\n",
            "Content-Type: multipart/mixed; boundary=o\n\nhttps://www.example.org\n",
        ),
        (
            "identifiers, and words that look like their host",
            "Message-Id: <1.2@vm>\nReferences: <a@b.example> <c@VM>\n <d@vm.example>\nContent-ID: <e@vm>\nSubject: vm@vm\n\nvm\n",
            "Message-Id: <1.2@www.example.org>\nReferences: <a@b.example> <c@www.example.org>\n <d@vm.example>\nContent-ID: <e@vm>\nSubject: vm@vm\n\nvm\n",
        ),
        (
            "never closed",
            "Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhttp://cms.internal:8080/Plone\n",
            "Content-Type: multipart/mixed; boundary=o\n\n--o\n\nhttps://www.example.org\n",
        ),
    ] {
        assert_eq!(after(input), want, "{row}");
    }
}

fn base64_mail(charset: &str, body: &[u8]) -> String {
    let body = STANDARD.encode(body);
    let lines: Vec<&str> =
        body.as_bytes().chunks(60).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: base64\n\n{}\n",
        lines.join("\n")
    )
}

#[test]
fn base64_is_rewritten_in_every_charset_and_keeps_the_width_of_its_lines() {
    for charset in [
        "utf-8",
        "iso-8859-15",
        "windows-1252",
        "shift_jis",
        "gb18030",
        "iso-2022-jp",
        "utf-16le",
        "utf-16be",
    ] {
        let encode = |text: &str| {
            super::text::encoded(text, encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap())
        };
        let native = if charset.starts_with(['s', 'g', 'u']) || charset.contains("jp") {
            "日本 "
        } else {
            "Grüße "
        };
        let body = |link: &str| encode(&format!("{native}{link}{native}\r\n{native}")).unwrap();
        let got = after(&base64_mail(charset, &body(&format!("{LINK} "))));
        assert_eq!(got, base64_mail(charset, &body(&format!("{PUBLIC} "))), "{charset}");
    }
}

#[test]
fn what_is_signed_or_encrypted_is_left_alone_and_said_to_be() {
    for (row, message) in [
        (
            "S/MIME",
            format!(
                "Content-Type: multipart/signed; boundary=o\n\n--o\n\n{LINK}\n--o\nContent-Type: application/pkcs7-signature\n\nx\n--o--\n"
            ),
        ),
        ("PGP/MIME", format!("Content-Type: multipart/encrypted; boundary=o\n\n--o\n\n{LINK}\n--o--\n")),
        ("opaque", format!("Content-Type: application/pkcs7-mime\n\n{LINK}\n")),
        (
            "inline",
            format!("\n-----BEGIN PGP SIGNED MESSAGE-----\n\n{LINK}\n").replacen('\n', "Subject: a\n\n", 1),
        ),
        (
            "within",
            format!(
                "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/signed; boundary=o\n\n--o\n\n{LINK}\n--o--\n--m--\n"
            ),
        ),
    ] {
        let done = done(&crlf(&message));
        assert_eq!((done.message, done.signed), (None, 1), "{row}");
    }
    let beside =
        format!("Subject: {LINK}\nContent-Type: multipart/signed; boundary=o\n\n--o\n\n{LINK}\n--o--\n");
    let got = after(&beside);
    assert_eq!(got, beside.replacen(LINK, PUBLIC, 1), "the signature does not cover the subject");
}

#[test]
fn signatures_of_the_message_go_only_if_they_are_broken() {
    let message = |link: &str| format!("DKIM-Signature: v=1; a=rsa-sha256;\n b=abc\nSubject: a\n\n{link}\n");
    assert_eq!(after(&message(LINK)), format!("Subject: a\n\n{PUBLIC}\n"));
    assert_eq!(done(&crlf(&message("nothing"))), Outcome::default());
}

#[test]
fn a_line_that_becomes_too_long_makes_the_part_quoted_printable() {
    let line = |link: &str| format!("{}{link}", "word ".repeat(191).trim_start());
    let internal = "http://cms.internal:8080/Plone/0123456789";
    assert!(line(internal).len() <= 998 + 15);
    // The public name is the longer one here.
    let origins = Origins::new(
        &"http://cms:80/P".parse().unwrap(),
        &"https://a-rather-long-name.for-a-site.example.org/with/a/path".parse().unwrap(),
        &[],
        Mode::Safety,
    );
    let sites = Sites::new([&origins.unwrap()]);
    for (fields, want) in [
        (
            "Subject: a\nContent-Transfer-Encoding: 7bit\n",
            "Subject: a\nContent-Transfer-Encoding: quoted-printable\n",
        ),
        ("Subject: a\n", "Content-Transfer-Encoding: quoted-printable\nSubject: a\n"),
    ] {
        let message = crlf(&format!("{fields}\n{}\nend =\n", line("http://cms/P")));
        let done = rewrite(&sites, &message).unwrap().message.unwrap();
        let (head, body) = text(&done)
            .split_once("\n\n")
            .map(|(head, body)| (format!("{head}\n"), body.to_owned()))
            .unwrap();
        assert_eq!(head, want);
        assert!(body.lines().all(|line| line.len() <= 76), "{body}");
        let decoded = quoted_printable::decode(crlf(&body), quoted_printable::ParseMode::Strict).unwrap();
        let public = "https://a-rather-long-name.for-a-site.example.org/with/a/path";
        assert_eq!(text(&decoded), format!("{}\nend =\n", line(public)));
    }
}

#[test]
fn too_many_parts_in_parts_are_refused_and_a_deep_message_harms_nobody() {
    let nested = |times: usize| "Content-Type: message/rfc822\n\n".repeat(times) + "\n" + LINK;
    assert!(rewrite(&sites(), &crlf(&nested(100_000))).is_err());
    assert_eq!(after(&nested(199)).matches(PUBLIC).count(), 1);
}

/// Messages made of what matters: fields, boundaries, encodings, links, and anything.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "[ -~]{0,30}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        2 => Just(LINK.as_bytes().to_vec()),
        1 => Just(b"plone.lan".to_vec()),
        1 => Just(b"Message-ID: <a@vm>\r\n".to_vec()),
        4 => prop::sample::select(vec![
            "\r\n", "\r\n\r\n", "\n", "\r", "--o\r\n", "--o--\r\n", "--i\r\n", "--i--", " \r\n", "=\r\n", "=3D", "=?utf-8?q?", "?=",
            "=?utf-8?q?http=3A//cms=2Einternal=3A8080/Plone?=", "aHR0cDovL2Ntcy5pbnRlcm5hbDo4MDgwL1Bsb25lL/w=", "Subject: ",
            "\r\nContent-Type: multipart/mixed; boundary=o\r\n", "\r\nContent-Type: multipart/alternative; boundary=i\r\n",
            "\r\nContent-Type: message/rfc822\r\n\r\n", "\r\nContent-Type: text/html; charset=utf-16le\r\n",
            "\r\nContent-Type: text/plain; charset=iso-2022-jp; format=flowed; delsp=yes\r\n",
            "\r\nContent-Transfer-Encoding: quoted-printable\r\n", "\r\nContent-Transfer-Encoding: base64\r\n",
            "DKIM-Signature: a\r\n b\r\n", "\u{1b}$B", "> ",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_it_panic_and_rewriting_again_changes_nothing(message in messages()) {
        let once = done(&message);
        if let Some(rewritten) = once.message {
            let twice = done(&rewritten);
            prop_assert_eq!(twice.message.as_deref().map(text), None, "{}", text(&rewritten));
        } else {
            prop_assert_eq!(once.unsigned, 0);
        }
    }

    #[test]
    fn without_an_internal_name_nothing_changes(message in messages()) {
        let other = Origins::new(
            &"http://qqqqqq.zzz:1234/Plone".parse().unwrap(), &"https://www.example.org".parse().unwrap(), &[], Mode::Safety,
        ).unwrap();
        prop_assert_eq!(rewrite(&Sites::new([&other]), &message).unwrap().message, None);
    }

    #[test]
    fn no_line_becomes_longer_than_mail_may_have(
        before in "[a-z ]{0,990}", encoding in prop::sample::select(vec!["7bit", "quoted-printable"]), subject in "[a-z ]{0,960}"
    ) {
        let message = crlf(&format!("Subject: {subject} {LINK}\nContent-Transfer-Encoding: {encoding}\n\n{before}\n{LINK} x\n"));
        let longest = super::part::longest_line(&message).max(998);
        let done = done(&message).message.unwrap();
        prop_assert!(super::part::longest_line(&done) <= longest);
        prop_assert!(!text(&done).contains("cms.internal"));
    }
}
