//! Fields of forms, in queries and in bodies, by which Zope would let somebody in past the gate, or answer with another page
//! than the one that was judged. Every spelling that was found in its readers (ZPublisher with `cgi` and with `multipart`)
//! is a row; nothing of what they are in may reach the backend whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::gate::{Gate, HOST};
use support::raw::{Backend, Message, ask, connect, get, ok, post, sign_in};

const RULES: &str = r#"access.rules = [
  { path = "/", access = "public" },
  { path = "/public/**", access = "public" },
  { path = "/manage**", networks = ["10.0.0.0/8"], access = "signed-in" },
]"#;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const PARTS: &str = "Content-Type: multipart/form-data; boundary=b\r\n";

struct House {
    backend: Backend,
    gate: Gate,
    session: String,
}

impl House {
    fn open() -> Self {
        let backend = Backend::answering(|_| ok("from the backend"));
        let gate = Gate::with(&backend.url(), RULES);
        let session = sign_in(gate.address);
        backend.take();
        Self { backend, gate, session }
    }

    /// Sends it and says the status, and whether all of it reached the backend.
    fn send(&self, request: impl AsRef<[u8]>) -> (u16, bool) {
        let answer: Message = ask(self.gate.address, request);
        (answer.status(), self.backend.take().iter().any(|request| request.whole))
    }

    /// Posts a body of this kind as a stranger and as a member; neither may get it through.
    fn refuses(&self, name: &str, kind: &str, body: impl AsRef<[u8]>) {
        for (who, path, cookie) in [("stranger", "/public/a", ""), ("member", "/docs", &*self.session)] {
            let known = self.send(post(path, &format!("{kind}{cookie}"), body.as_ref()));
            assert_eq!(known, (403, false), "{who}: {name}");
        }
        let head =
            format!("POST /public/a HTTP/1.1\r\nHost: {HOST}\r\n{kind}Transfer-Encoding: chunked\r\n\r\n");
        let body = body.as_ref();
        let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
        assert_eq!(self.send([head.as_bytes(), &chunk].concat()), (403, false), "of unknown length: {name}");
    }

    fn takes(&self, name: &str, kind: &str, body: impl AsRef<[u8]>) {
        let sent = self.send(post("/docs", &format!("{kind}{}", self.session), body));
        assert_eq!(sent, (200, true), "{name}");
    }
}

/// A part with this head, and a field before and after it.
fn parts(head: &[u8]) -> Vec<u8> {
    let before = b"--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nA title\r\n--b\r\n";
    let after =
        b"\r\n\r\nvalue\r\n--b\r\nContent-Disposition: form-data; name=\"last\"\r\n\r\nx\r\n--b--\r\n";
    [&before[..], head, after].concat()
}

/// A part whose disposition has this behind `form-data;`.
fn named(parameters: &[u8]) -> Vec<u8> {
    parts(&[b"Content-Disposition: form-data; ", parameters].concat())
}

#[test]
fn no_query_signs_in_or_chooses_another_page() {
    let house = House::open();
    let padded = format!("{}mail_password:method=1", "./".repeat(3000));
    for query in [
        "__ac_name=admin&__ac_password=x",
        "a=b&__ac_password=x",
        "a=b;__ac_name=admin",
        "%5F%5fac_name=admin",
        "__ac_name:string=admin",
        "__ac_name:utf8:ustring=admin",
        "__ac_name:foo%0A=admin",
        "__ac_name:foo%0A:bar%0A=admin",
        "__ac_name.x=admin",
        // The cookie, which Zope looks for among the fields as well: a guess at a password in every request.
        "__ac=NmE2NDZmNjU6NTM2NTYz",
        "a=b&%5F_ac:string=NmE2NDZmNjU6NTM2NTYz",
        // What plone.restapi takes for the body, even of a GET.
        "BODY=%7B%22login%22:%22admin%22,%22password%22:%22x%22%7D",
        "BODY:string=%7B%22login%22:%22admin%22,%22password%22:%22x%22%7D",
        "mail_password:method=1",
        "mail_password:action=1",
        "mail%5Fpassword%3Amethod=1",
        "mail_password:method:foo%0a=1",
        ":method=mail_password",
        ":default_method=@@mail_password",
        ":method:utf-7=%2BAG0-ail_password",
        ":method:utf_16=m%00a%00i%00l%00",
        "docs/mail_password:method=1",
        "portal_registration/mailPassword:method=1",
        "login_form:method=1",
        &padded,
        // The rules hold for the page that answers, too.
        "../../manage_main:method=1",
        "../manage_main:method=1",
        "x/../../manage_main:method=1",
        "./manage_main/../../manage_main:method=1",
        ":method=../../manage_main",
        ":method=..%252f..%252fmanage_main",
        "../../../../../manage_main:method=1",
        "VirtualHostBase/http/evil.example:80/VirtualHostRoot/x:method=1",
        "_vh_x:method=1",
        "..\\..\\manage_main:method=1",
    ] {
        for (who, path, cookie) in [("stranger", "/public/a", ""), ("member", "/docs/a", &*house.session)] {
            let (status, reached) = house.send(get(&format!("{path}?{query}"), cookie));
            assert!(!reached && matches!(status, 302 | 403), "{who}: {query}: {status}");
        }
    }
    for (name, path, cookie, reaches) in [
        ("a page nobody else may see, at the root", "/?manage_main:method=1", &*house.session, false),
        ("the same by its value", "/?:action=manage_main", &*house.session, false),
        ("a stranger beside a public page", "/?docs:method=1", "", false),
        ("a stranger below a public page", "/public/a?view:method=1", "", true),
        ("a page half in the path", "/@users?jane/reset-password:method=1", &*house.session, false),
        ("the same by its value", "/@users/jane?:action=reset-password", &*house.session, false),
        ("a member", "/docs?folder_delete:method=1", &*house.session, true),
        ("a member, by its value", "/docs?:method=folder_delete", &*house.session, true),
        (
            "a field that only sounds like it",
            "/public/a?title=mail_password&login=1&name=__ac_name",
            "",
            true,
        ),
        ("no page at all", "/public/a?time=12:30&ratio:16:9=login", "", true),
    ] {
        assert_eq!(house.send(get(path, cookie)).1, reaches, "{name}");
    }
}

#[test]
fn no_body_signs_in_or_chooses_another_page() {
    let house = House::open();
    let (dots, types) = ("./".repeat(3000), ":int".repeat(2000));
    for body in [
        "__ac_name=admin&__ac_password=x",
        "title=x&__ac_password=x",
        "title=x;__ac_name=x",
        "%5F%5Fac_name=x",
        "__ac_name:string=x",
        "__ac_name:foo%0A=x",
        "__ac_name:foo\n=x",
        "__ac_name",
        "__ac=NmE2NDZmNjU6NTM2NTYz",
        "title=x&%5f_ac:tuple=NmE2NDZmNjU6NTM2NTYz",
        "mail_password:method=1",
        "title=x&mail_password%3amethod=1",
        "mail_password:method:foo%0a=1",
        ":method=mail_password",
        ":method:utf-7=%2BAG0-ail_password",
        "../manage_main:method=1",
        "../../manage_main:method=1",
        ":action=../../manage_main",
        "VirtualHostBase/http/evil.example:80/VirtualHostRoot/x:method=1",
        &format!("{dots}mail_password:method=1"),
        &format!("title=x&{dots}mail_password:method"),
        &format!(":method={dots}mail_password"),
        &format!("__ac_name{types}=x"),
    ] {
        let shown = body.get(..40).unwrap_or(body);
        for kind in [
            FORM,
            "",
            "Content-Type:\r\n",
            "Content-Type: APPLICATION/X-WWW-FORM-URLENCODED ; charset=\"UTF-8\"\r\n",
            "Content-Type: application/x-url-encoded\r\n",
        ] {
            house.refuses(&format!("{shown} as {kind:?}"), kind, body);
        }
    }
}

/// Each field that names a page is judged by the rules: a body full of them took a thread of the gate for minutes.
#[test]
fn no_body_names_more_pages_than_a_form_does() {
    let house = House::open();
    let fields = |count: usize| vec!["a:method"; count].join("&");
    house.takes("as a form does", FORM, fields(8));
    house.refuses("a hundred", FORM, fields(100));
    house.refuses("a head full of names", PARTS, named("name=\"\\\"".repeat(100).as_bytes()));
}

/// plone.restapi: `@copy` and `@move` take what the body names to the path of the request.
#[test]
fn no_json_takes_a_page_out_of_a_closed_place() {
    let house = House::open();
    let json = "Content-Type: application/json\r\n";
    for source in [
        r#""/manage_main""#,
        r#"["/docs", "/docs/../manage_main"]"#,
        r#""http://localhost:8080/Plone/manage_main""#,
        &format!("\"http://{HOST}/man\\u0061ge\""),
    ] {
        house.refuses(source, json, format!("{{\"source\": {source}}}"));
    }
    for source in [r#""/docs/a""#, r#"["1234abcd", "/docs"]"#, &format!("\"http://{HOST}/docs\"")] {
        house.takes(source, json, format!("{{\"source\": {source}}}"));
    }
    // A stranger takes nothing from where only members go.
    let sent = house.send(post("/public/a", json, r#"{"source": "/docs/a"}"#));
    assert_eq!(sent, (403, false));
}

/// plone.restapi (all versions): whatever page an object with a name and a password is posted to, it signs that request in.
#[test]
fn no_json_signs_in() {
    let house = House::open();
    let object = r#"{"title":"x","\u006cogin":"admin","password":"x"}"#;
    for kind in
        ["application/json", "application/json;charset=utf-8", "text/plain", "application/x-foo", "*/*"]
    {
        house.refuses(kind, &format!("Content-Type: {kind}\r\n"), object);
    }
    let json = "Content-Type: application/json\r\n";
    house.refuses("compressed", &format!("{json}Content-Encoding: gzip\r\n"), "\x1f\u{8b}");
    house.takes(
        "of somebody",
        json,
        r#"{"username":"jdoe","password":"x","roles":["Member"],"login_time":1}"#,
    );
    house.takes("none", json, "[1, 2]");
    let cookie = "Cookie: BODY={\"login\":\"admin\",\"password\":\"x\"}\r\n";
    ask(house.gate.address, get("/public/a", &format!("{json}{cookie}")));
    let reached = house.backend.take();
    assert!(
        reached.iter().all(|request| request.field("cookie").is_none()),
        "a cookie in the place of a body"
    );
}

#[test]
fn no_charset_hides_a_fields_name() {
    // Zope 5 reads the names of fields in the charset that the client names.
    let house = House::open();
    let utf_7 = "%2BAF8-%2BAF8-ac_name=admin&%2BAF8-%2BAF8-ac_password=x";
    let utf_16 = "%00_%00_%00a%00c%00_%00n%00a%00m%00e=admin";
    for (charset, body) in [
        ("charset=utf-7", utf_7),
        ("charset=\"UTF-7\"", utf_7),
        ("CHARSET = utf7", utf_7),
        ("charset=utf-8; charset=utf-7", utf_7),
        ("charset=utf-7; charset=utf-8", utf_7),
        ("x=y;charset=unicode-1-1-utf-7", utf_7),
        ("charset=utf-16-be", utf_16),
        ("charset=utf-32", "a=b"),
        ("charset=cp037", "%6D%6D%81%83%6D%95%81%94%85=x"),
        ("charset=punycode", "a=b"),
        ("charset=idna", "a=b"),
        ("charset=", utf_7),
    ] {
        let kind = format!("Content-Type: application/x-www-form-urlencoded; {charset}\r\n");
        house.refuses(charset, &kind, body);
    }
    for charset in ["utf-8", "UTF8", "\"iso-8859-15\"", "windows-1252", "us-ascii", "latin1"] {
        let kind = format!("Content-Type: application/x-www-form-urlencoded; charset={charset}\r\n");
        house.takes(charset, &kind, "title=caf%E9");
    }
}

#[test]
fn no_part_signs_in_or_chooses_another_page() {
    let house = House::open();
    let dots = "./".repeat(3000);
    let rows: &[&[u8]] = &[
        b"name=\"__ac_name\"",
        b"name=\"__ac\"",
        b"name=__ac_name",
        b"NAME=\"__ac_name\"",
        b"name =\t\"__ac_name\"",
        b"name=\"__ac_name\"; filename=\"x\"",
        b"filename=\"x; name=y\"; name=\"__ac_name\"",
        b"filename=\"x\\\"; name=\\\"y\"; name=\"__ac_name\"",
        b"name=__ac_name; x",
        b"name=__ac_name ;x",
        b"name=__ac_name, x",
        b"name=__ac_name(x)",
        b"name=\x0b\"__ac_name\"",
        b"name=\xa0\"__ac_name\"",
        b"name=\x85\"__ac_name\"",
        b"name=\x1f\"__ac_name\"",
        b"name=\"__ac_name\"\x0b",
        b"name=\"C:\\__ac_name\"",
        b"name=\"\\\\host\\__ac_name\"",
        b"name=\"__ac_name:string\"",
        b"name=\"__ac\r\n _name\"",
        b"na\r\n\tme=\"__ac_name\"",
        b"\r\n name=\"__ac_name\"",
        b"name=\r\n \"__ac_name\"",
        b"name=\"mail_password:method\"",
        b"name=\":method\"",
        b"name=\"x\\\"/../mail_password:method\"",
        b"name=\"x\"/../mail_password:method\"",
        b"name=\"x\\\\\"/../mail_password:method\"",
        b"name=\"x;y\"/../mail_password:method\"",
        b"name=x\"/../mail_password:method",
        b"name=\"../manage_main:method\"",
    ];
    for row in rows {
        house.refuses(&String::from_utf8_lossy(row), PARTS, named(row));
    }
    for end in ["\"", ""] {
        house.refuses(
            "a long name",
            PARTS,
            named(format!("name={end}{dots}mail_password:method{end}").as_bytes()),
        );
    }
    for head in [
        "content-disposition: form-data; name=\"__ac_name\"",
        "CONTENT-DISPOSITION:form-data;name=\"__ac_name\"",
        "Content-Disposition : form-data; name=\"__ac_name\"",
        " Content-Disposition: form-data; name=\"__ac_name\"",
        "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"__ac_name\"",
        "Content-Type: text/plain\r\n\tx\r\nContent-Disposition: form-data; name=\"__ac_name\"",
        "X: y\nContent-Disposition: form-data; name=\"__ac_name\"",
        "X: y\rContent-Disposition: form-data; name=\"__ac_name\"",
        "Content-Disposition: name=\"__ac_name\"",
    ] {
        house.refuses(head, PARTS, parts(head.as_bytes()));
    }
    let field = named(b"name=\"__ac_name\"");
    for kind in [
        "Content-Type: multipart/form-data\r\n",
        "Content-Type: multipart/form-data; boundary=other; boundary=b\r\n",
        "Content-Type: Multipart/Mixed\r\n",
        "Content-Type: multipart/form-data; charset=utf-8; boundary=\"b\"\r\n",
    ] {
        house.refuses(kind, kind, &field);
    }
}

#[test]
fn a_body_split_anywhere_is_read_as_one() {
    let house = House::open();
    for (kind, body) in [
        (FORM, b"a=b&__ac%5Fname:string=admin&c=d".to_vec()),
        (FORM, b"a=b&:method=mail%5fpassword".to_vec()),
        (PARTS, named(b"name=\"__ac\r\n _name\"; x=y")),
        (PARTS, named(b"name=\"x\\\"/../mail_password:method\"")),
    ] {
        for at in 1..body.len() {
            // A chunk each, so that the gate gets them one by one however the kernel bundles them.
            let mut request = format!(
                "POST /public/a HTTP/1.1\r\nHost: {HOST}\r\n{kind}Transfer-Encoding: chunked\r\n\r\n"
            )
            .into_bytes();
            for part in [&body[..at], &body[at..]] {
                request.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                request.extend_from_slice(&[part, b"\r\n"].concat());
            }
            request.extend_from_slice(b"0\r\n\r\n");
            assert_eq!(
                house.send(request),
                (403, false),
                "split at {at}: {}",
                String::from_utf8_lossy(&body)
            );
        }
    }
    // One that streams, in pieces as they come.
    let body = named(b"name=\"__ac_name\"");
    let mut wire = connect(house.gate.address);
    wire.send(format!(
        "POST /public/a HTTP/1.1\r\nHost: {HOST}\r\n{PARTS}Content-Length: {}\r\n\r\n",
        body.len()
    ));
    body.iter().for_each(|byte| assert!(wire.send([*byte]) || *byte > 0));
    assert_eq!(wire.response().status(), 403);
    assert!(house.backend.take().iter().all(|request| !request.whole));
}

#[test]
fn a_body_whose_type_has_two_readings_is_refused() {
    let house = House::open();
    let json = "Content-Type: application/json\r\n";
    for kind in [format!("{json}{FORM}"), format!("{FORM}{json}"), format!("{json}{PARTS}"), json.repeat(2)] {
        assert_eq!(house.send(post("/public/a", &kind, "__ac_name=x")), (400, false), "{kind}");
    }
    for kind in ["text/xml", "TEXT/XML; charset=utf-8", "application/json; x=text/xml"] {
        let call = "<methodCall><methodName>mail_password</methodName></methodCall>";
        for (path, cookie) in [("/public/a", ""), ("/docs", &*house.session)] {
            let sent = house.send(post(path, &format!("Content-Type: {kind}\r\n{cookie}"), call));
            assert_eq!(sent, (403, false), "{kind}");
        }
    }
}

#[test]
fn honest_forms_pass() {
    let house = House::open();
    let long = "x".repeat(1 << 20);
    for (name, kind, body) in [
        ("names that only sound like it", FORM, "login=1&name=__ac_name&title=mail_password%3Amethod"),
        ("types", FORM, "count:int=1&tags:list=a&tags:list=b&form.button.x=1"),
        ("a button that names the page", FORM, "ids:list=a&folder_delete:method=Delete"),
        ("a page named by its value", FORM, ":method=folder_delete"),
        ("a long value", FORM, &format!("text={long}&a=b")),
        ("text", "Content-Type: text/plain\r\n", &format!("a\nb; c: d\n{long}")),
        ("JSON", "Content-Type: application/json\r\n", r#"{"__ac_name": "x"}"#),
        ("a file", "Content-Type: text/html\r\n", "<form><input name=\"__ac_name\">\n<p>a; b & c\n"),
    ] {
        house.takes(name, kind, body);
    }
    let page = "<input name=\"__ac_name\">\r\n<input name=x class=\"y\">\r\nname=\"never closed";
    let file =
        format!("Content-Disposition: form-data; name=\"file\"; filename=\"login.html\"\r\n\r\n{page}{long}");
    house.takes("the CMS's own page as a file", PARTS, parts(file.as_bytes()));
    let words = format!(
        "Content-Disposition: form-data; name=\"text\"\r\n\r\n    indented {long}\r\n content-disposition"
    );
    house.takes("a text that speaks of forms", PARTS, parts(words.as_bytes()));
    house.takes("a button", PARTS, named(b"name=\"folder_delete:method\""));
    house.takes("a file with an odd name", PARTS, named(b"name=\"file\"; filename=\"a \\\"b\\\"; c.txt\""));
    house.takes("a folder's file", PARTS, named(b"name=\"file\"; filename=\"C:\\docs\\a.txt\""));
}

/// `multipart` from 1.0 on, which Zope 5.13 reads forms with, ends a line at CR LF alone; `cgi`, which older ones read them with,
/// at LF too. What ends for one and goes on for the other must not hide a field.
#[test]
fn a_head_that_ends_for_some_readers_only_hides_no_field() {
    let house = House::open();
    for head in [
        "X: a\n\r\nContent-Disposition: form-data; name=\"__ac_name\"\r\n\r\n",
        "X: a\n\nContent-Disposition: form-data; name=\"__ac_name\"\r\n\r\n",
        "X: a\rContent-Disposition: form-data; name=\"title\"\r\n\r\n",
    ] {
        let kind = "Content-Type: multipart/form-data; boundary=b\r\n";
        house.refuses(head, kind, format!("--b\r\n{head}admin\r\n--b--\r\n"));
    }
}
