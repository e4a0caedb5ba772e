//! The mail relay through TLS, on both sides: a CMS that says STARTTLS, and mail servers that can be trusted and that cannot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use support::gate::Gate;
use support::mailer::Cms;
use support::mailsink::{MailSink, Script, Tls};
use support::wire::Authority;

fn toml(send: &str, mail: &str, relay: &str) -> String {
    format!(
        r#"
        [server]
        listen = ["127.0.0.1:0"]
        workers = 1
        drain = "5s"
        [mail]
        send = "{send}"
        {mail}
        [mail.relay]
        listen = "127.0.0.1:0"
        {relay}
        [[site]]
        name = "www"
        public_url = "https://www.example.org"
        backend_url = "http://cms.internal:8080/Plone"
        "#
    )
}

fn gate(send: &str, mail: &str, relay: &str) -> Gate {
    Gate::from_toml(&toml(send, mail, relay))
}

/// What the relay needs to show a certificate for `www.example.org`.
fn identity(authority: &Authority) -> String {
    let folder = authority.certify("www.example.org").display().to_string();
    format!(
        "tls = {{ certificate = \"{folder}/www.example.org.pem\", key = \"{folder}/www.example.org.key\" }}"
    )
}

fn ca(authority: &Authority) -> String {
    format!("ca = \"{}\"", authority.file().display())
}

#[test]
fn the_cms_may_send_through_tls() {
    let (sink, authority) = (MailSink::start(), Authority::new());
    let gate = gate(&format!("smtp://{}", sink.address), "", &identity(&authority));
    let mut cms = Cms::connect(&gate);
    assert!(cms.says("EHLO a", "250").ends_with("250 STARTTLS"));
    cms.says("STARTTLS", "220 2.0.0");
    let mut cms = cms.secured(&authority, "www.example.org");
    // All that was said before is forgotten.
    cms.says("MAIL FROM:<a@example.org>", "503 5.5.1 Say EHLO first");
    assert!(!cms.says("EHLO a", "250").contains("STARTTLS"));
    cms.says("STARTTLS", "503");
    cms.says("MAIL FROM:<a@example.org>", "250");
    cms.says("RCPT TO:<b@example.org>", "250");
    cms.says("DATA", "354");
    cms.writes(b"Subject: a\r\n\r\nhttp://cms.internal:8080/Plone/x\r\n.\r\n");
    cms.hears("250");
    cms.says("QUIT", "221");
    let mail = String::from_utf8(sink.mails()[0].content.clone()).unwrap();
    assert!(mail.contains("\twith ESMTPS id ") && mail.ends_with("https://www.example.org/x\r\n"), "{mail}");
    // And without, if it likes.
    assert!(Cms::sends(&gate, "Subject: a\r\n\r\nb").starts_with("250"));
}

#[test]
fn commands_behind_starttls_in_clear_text_are_thrown_away() {
    let (sink, authority) = (MailSink::start(), Authority::new());
    let gate = gate(&format!("smtp://{}", sink.address), "", &identity(&authority));
    let mut cms = Cms::connect(&gate);
    cms.says("EHLO a", "250");
    cms.writes(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.org>\r\n");
    cms.hears("220");
    let mut cms = cms.secured(&authority, "www.example.org");
    cms.says("NOOP", "250 2.0.0 Ok");
    cms.says("RCPT TO:<b@example.org>", "503");
    cms.says("MAIL FROM:<a@example.org>", "503");
    assert_eq!(sink.commands(), Vec::<String>::new());
}

#[test]
fn where_tls_is_required_nothing_is_taken_without() {
    let (sink, authority) = (MailSink::start(), Authority::new());
    let gate = gate(
        &format!("smtp://{}", sink.address),
        "",
        &format!("{}\nrequire_tls = true", identity(&authority)),
    );
    let mut cms = Cms::connect(&gate);
    for line in ["EHLO a", "NOOP", "HELO a"] {
        cms.says(line, "250");
    }
    for line in ["MAIL FROM:<a@example.org>", "RCPT TO:<a@example.org>", "DATA", "RSET", "VRFY a"] {
        cms.says(line, "530 5.7.0");
    }
    cms.says("STARTTLS", "220");
    let mut cms = cms.secured(&authority, "www.example.org");
    cms.says("EHLO a", "250");
    cms.says("MAIL FROM:<a@example.org>", "250");
}

#[test]
fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let (sink, old, new) = (MailSink::start(), Authority::new(), Authority::new());
    let relay = identity(&old);
    let gate = gate(&format!("smtp://{}", sink.address), "", &relay);
    let shown = |authority: &Authority| {
        let mut cms = Cms::connect(&gate);
        cms.says("EHLO a", "250");
        cms.says("STARTTLS", "220");
        let mut cms = cms.secured(authority, "www.example.org");
        cms.says("NOOP", "250");
    };
    shown(&old);
    let (from, to) = (new.certify("www.example.org"), old.file().parent().unwrap().to_owned());
    for file in ["www.example.org.pem", "www.example.org.key"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    shown(&new);
    std::fs::write(to.join("www.example.org.pem"), "nothing").unwrap();
    shown(&new);
}

#[test]
fn mail_goes_to_the_server_as_securely_as_was_asked_for() {
    let (trusted, other) = (Authority::new(), Authority::new());
    let named = || trusted.server("127.0.0.1");
    // Scheme; the server; what the CMS hears at MAIL, and whether the mail went through TLS.
    type Row = (&'static str, &'static str, Tls, Script, &'static str, Option<bool>);
    let rows: Vec<Row> = vec![
        ("no TLS to be had", "smtp", Tls::Never, &[], "250", Some(false)),
        ("TLS if it is offered", "smtp", Tls::Offered(named()), &[], "250", Some(true)),
        ("by whomever", "smtp", Tls::Offered(other.server("elsewhere.example")), &[], "250", Some(true)),
        (
            "offered and not meant",
            "smtp",
            Tls::Offered(named()),
            &[("STARTTLS", "454 not now")],
            "250",
            Some(false),
        ),
        (
            "offered and broken",
            "smtp",
            Tls::Never,
            &[("EHLO", "250-sink\r\n250 STARTTLS")],
            "250",
            Some(false),
        ),
        ("required", "smtp+starttls", Tls::Offered(named()), &[], "250", Some(true)),
        ("required, none", "smtp+starttls", Tls::Never, &[], "451 4.7.4", None),
        (
            "required, stripped",
            "smtp+starttls",
            Tls::Offered(named()),
            &[("STARTTLS", "454 no")],
            "451 4.7.4",
            None,
        ),
        (
            "required, unknown",
            "smtp+starttls",
            Tls::Offered(other.server("127.0.0.1")),
            &[],
            "451 4.7.5",
            None,
        ),
        (
            "required, misnamed",
            "smtp+starttls",
            Tls::Offered(trusted.server("a.example")),
            &[],
            "451 4.7.5",
            None,
        ),
        ("wrapped", "smtps", Tls::Always(named()), &[], "250", Some(true)),
        ("wrapped, none", "smtps", Tls::Never, &[], "451 4.7.5", None),
        ("wrapped, unknown", "smtps", Tls::Always(other.server("127.0.0.1")), &[], "451 4.7.5", None),
        ("wrapped, misnamed", "smtps", Tls::Always(trusted.server("a.example")), &[], "451 4.7.5", None),
    ];
    for (row, scheme, tls, script, answer, secure) in rows {
        let sink = MailSink::secure(script, tls);
        let mail = if scheme == "smtp" { String::new() } else { ca(&trusted) };
        let gate = gate(&format!("{scheme}://{}", sink.address), &mail, "");
        let mut cms = Cms::connect(&gate);
        cms.says("EHLO a", "250");
        let heard = cms.says("MAIL FROM:<a@example.org>", "");
        assert!(heard.starts_with(answer), "{row}: {heard}");
        let secured = sink.commands().iter().filter(|command| command.starts_with("EHLO")).count();
        match secure {
            None => assert_eq!(sink.mails(), [], "{row}"),
            Some(secure) => {
                cms.says("RCPT TO:<b@example.org>", "250");
                cms.says("DATA", "354");
                cms.writes(b"Subject: a\r\n.\r\n");
                cms.hears("250 2.0.0 queued");
                assert_eq!(sink.mails().len(), 1, "{row}");
                // Each STARTTLS that led anywhere is followed by a second EHLO.
                if row != "offered and broken" && scheme != "smtps" {
                    assert_eq!(secured == 2, secure, "{row}: {:?}", sink.commands());
                }
            }
        }
    }
}

#[test]
fn what_a_server_says_in_clear_text_behind_starttls_is_thrown_away() {
    let authority = Authority::new();
    // Between the two sits one who answers in the server's place: all is well, your mail is accepted.
    let script: Script = &[
        ("STARTTLS", "220 go\r\n250 evil\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 stolen"),
        ("end", "550 5.7.1 spam"),
    ];
    for scheme in ["smtp", "smtp+starttls"] {
        let sink = MailSink::secure(script, Tls::Offered(authority.server("127.0.0.1")));
        let mail = if scheme == "smtp" { String::new() } else { ca(&authority) };
        let gate = gate(&format!("{scheme}://{}", sink.address), &mail, "");
        assert_eq!(Cms::sends(&gate, "Subject: a\r\n"), "550 5.7.1 spam", "{scheme}");
    }
}

#[test]
fn the_gate_tells_the_server_who_it_is_through_tls_only() {
    let authority = Authority::new();
    let login = format!("username = \"gate\"\npassword = \"hushed-password\"\n{}", ca(&authority));
    let said = |sink: &MailSink| sink.commands().iter().any(|command| command.starts_with("AUTH"));
    let server = || authority.server("127.0.0.1");
    for (scheme, tls, script, answer, is_said) in [
        ("smtps", Tls::Always(server()), &[] as Script, "250", true),
        ("smtp+starttls", Tls::Offered(server()), &[], "250", true),
        ("smtp+starttls", Tls::Never, &[], "451 4.7.4", false),
        ("smtps", Tls::Always(authority.server("a.example")), &[], "451 4.7.5", false),
        ("smtps", Tls::Always(server()), &[("AUTH", "535 5.7.8 no")], "451 4.7.8", true),
        ("smtps", Tls::Always(server()), &[("EHLO", "250 no AUTH")], "451 4.7.8", false),
    ] {
        let sink = MailSink::secure(script, tls);
        let gate = gate(&format!("{scheme}://{}", sink.address), &login, "");
        let mut cms = Cms::connect(&gate);
        cms.says("EHLO a", "250");
        cms.says("MAIL FROM:<a@example.org>", answer);
        assert_eq!(said(&sink), is_said, "{scheme} {answer}");
        if answer == "250" {
            use base64::Engine as _;
            let told = base64::engine::general_purpose::STANDARD.encode("\0gate\0hushed-password");
            assert!(sink.commands().contains(&format!("AUTH PLAIN {told}")), "{:?}", sink.commands());
        }
    }
}

/// The program with this `proxy.toml`, and the address it takes mail at.
fn run(folder: &std::path::Path, toml: &str) -> Child {
    std::fs::write(folder.join("proxy.toml"), toml).unwrap();
    Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_server_that_cannot_be_trusted_is_logged_with_what_to_do_and_without_the_password() {
    let (trusted, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let sink = MailSink::secure(&[], Tls::Always(trusted.server("a.example")));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let login = format!("username = \"gate\"\npassword = \"hushed-password\"\n{}", ca(&trusted));
    let toml = toml(&format!("smtps://{}", sink.address), &login, "")
        .replace("listen = \"127.0.0.1:0\"\n", &format!("listen = \"{port}\"\n"))
        + "[log]\nlevel = \"debug\"\n";
    let mut child = run(folder.path(), &toml);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("taking mail") {
        use std::io::BufRead as _;
        assert!(log.read_line(&mut lines).unwrap() > 0, "{lines}");
    }
    let mut cms = Cms::silent(port);
    cms.hears("220");
    cms.says("EHLO a", "250");
    cms.says("MAIL FROM:<a@example.org>", "451 4.7.5");
    child.kill().unwrap();
    child.wait().unwrap();
    log.read_to_string(&mut lines).unwrap();
    let line = lines.lines().find(|line| line.contains("certificate is not trusted")).unwrap();
    for part in ["ERROR", "smtps://127.0.0.1:", "not valid for name", "[mail] ca"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!lines.contains("hushed"), "{lines}");
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_is_served() {
    let authority = Authority::new();
    let folder = authority.certify("www.example.org").display().to_string();
    let missing = "tls = { certificate = \"no.pem\", key = \"no.key\" }".to_owned();
    let crossed =
        format!("tls = {{ certificate = \"{folder}/www.example.org.pem\", key = \"{folder}/ca.pem\" }}");
    for (mail, relay, told) in [
        ("", missing, "no.pem cannot be read: No such file"),
        ("", crossed, "ca.pem holds no private key; it must be PEM"),
        ("ca = \"no.pem\"", String::new(), "no.pem cannot be read: No such file"),
        ("username = \"a\"\npassword = { file = \"no.secret\" }", String::new(), "no.secret cannot be read"),
    ] {
        for command in ["check", "run"] {
            let here = tempfile::tempdir().unwrap();
            std::fs::write(here.path().join("proxy.toml"), toml("smtps://mail.example.org", mail, &relay))
                .unwrap();
            let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
                .arg(command)
                .current_dir(here.path())
                .output()
                .unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            assert!(said.contains(told), "{command}: {said}");
        }
    }
}
