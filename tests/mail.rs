//! The mail relay, from the CMS's side and from the mail server's: raw sockets, and a mail server that does what it is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};

use proptest::prelude::*;
use support::gate::Gate;
use support::mailer::Cms;
use support::mailsink::{MailSink, Script};

/// A gate before two sites on one host, with a relay that sends to `send`.
fn gate(send: &str, more: &str) -> Gate {
    Gate::from_toml(&format!(
        r#"
        [server]
        listen = ["127.0.0.1:0"]
        workers = 1
        drain = "5s"
        [mail]
        send = "{send}"
        [mail.relay]
        listen = "127.0.0.1:0"
        {more}
        [[site]]
        name = "www"
        public_url = "https://www.example.org"
        backend_url = "http://cms.internal:8080/Plone"
        internal_names = ["plone.lan"]
        [[site]]
        name = "intranet"
        public_url = "https://intranet.example.org"
        backend_url = "http://cms.internal:8080/Intranet"
        "#
    ))
}

fn before(sink: &MailSink, more: &str) -> Gate {
    gate(&format!("smtp://{}", sink.address), more)
}

/// What the server got, without the gate's own field, which is checked.
fn content(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(content);
    let (first, second) = (text.lines().next().unwrap(), text.lines().nth(1).unwrap());
    assert!(first.starts_with("Received: by www.example.org (Lychgate ") && first.ends_with(')'), "{first}");
    assert!(
        second.starts_with("\twith ") && second.ends_with("; Tue, 14 Nov 2023 22:13:20 +0000"),
        "{second}"
    );
    content[first.len() + second.len() + 4..].to_vec()
}

#[test]
fn a_mail_leaves_with_public_links_and_the_cms_hears_the_servers_own_words() {
    let sink = MailSink::with(&[
        ("RCPT TO:<no@", "550-5.1.1 no\r\n550 5.1.1 such user"),
        ("RCPT TO:<later@", "450 4.2.1 full"),
    ]);
    let gate = before(&sink, "");
    let mut cms = Cms::connect(&gate);
    let offered = cms.says("EHLO plone.lan", "250-www.example.org\r\n");
    assert_eq!(
        offered.lines().skip(1).collect::<Vec<_>>(),
        ["250-PIPELINING", "250-SIZE 52428800", "250-8BITMIME", "250 SMTPUTF8"]
    );
    assert_eq!(cms.says("MAIL FROM:<cms@example.org> SIZE=100 BODY=8BITMIME", "250"), "250 2.1.0 sender ok");
    cms.says("RCPT TO:<no@example.com>", "550 5.1.1 no such user");
    cms.says("RCPT TO:<yes@example.com>", "250 2.1.5 recipient ok");
    cms.says("RCPT TO:<later@example.com>", "450 4.2.1 full");
    cms.says("DATA", "354");
    cms.writes(b"Subject: =?utf-8?q?http=3A//cms=2Einternal=3A8080/Plone?=\r\nMessage-ID: <1@plone.lan>\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhttp://cms.internal:8080/Plone/passwordre=\r\nset/0123\r\nhttp://cms.internal:8080/Intranet/x\r\n.\r\n");
    cms.hears("250 2.0.0 queued as 4711");
    cms.says("QUIT", "221");
    let mails = sink.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        (mails[0].from.as_str(), mails[0].to.as_slice()),
        ("MAIL FROM:<cms@example.org> BODY=8BITMIME", &["RCPT TO:<yes@example.com>".to_owned()][..])
    );
    assert_eq!(
        String::from_utf8(content(&mails[0].content)).unwrap(),
        "Subject: =?utf-8?q?https=3A//www=2Eexample=2Eorg?=\r\nMessage-ID: <1@www.example.org>\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nhttps://www.example.org/passwordreset/0123\r\nhttps://intranet.example.org/x\r\n"
    );
    let said = sink.commands().concat() + &String::from_utf8_lossy(&mails[0].content);
    assert!(!said.contains("plone.lan") && !said.contains("cms.internal"), "{said}");
}

#[test]
fn the_servers_refusals_are_the_gates_and_nothing_is_accepted_on_its_behalf() {
    // What the server does, and what the CMS hears at MAIL, RCPT, DATA and the end.
    type Row = (&'static str, Script, [&'static str; 4]);
    let rows: [Row; 13] = [
        ("greets with no", &[("greeting", "554 5.7.1 go away")], ["554 5.7.1 go away", "503", "503", ""]),
        ("greets with later", &[("greeting", "421 4.3.2 busy")], ["421 4.3.2 busy", "", "", ""]),
        ("hangs up", &[("greeting", "close")], ["451 4.4", "503", "503", ""]),
        ("sender refused", &[("MAIL", "550 5.7.1 not you")], ["550 5.7.1 not you", "503", "503", ""]),
        ("sender later", &[("MAIL", "452 4.3.1 full")], ["452 4.3.1 full", "503", "503", ""]),
        ("no recipient", &[("RCPT", "550 5.1.1 nobody")], ["250", "550 5.1.1 nobody", "554", ""]),
        ("hangs up at the recipient", &[("RCPT", "close")], ["250", "451 4.4.2", "554", ""]),
        ("no data", &[("DATA", "554 5.5.1 no data")], ["250", "250", "354", "554 5.5.1 no data"]),
        ("nonsense for data", &[("DATA", "250 yes")], ["250", "250", "354", "451 4.5.0"]),
        ("message refused", &[("end", "550 5.7.1 spam")], ["250", "250", "354", "550 5.7.1 spam"]),
        ("message later", &[("end", "450 4.7.1 greylisted")], ["250", "250", "354", "450 4.7.1 greylisted"]),
        ("hangs up in the middle", &[("middle", "close")], ["250", "250", "354", "451 4.4.2"]),
        ("hangs up at the end", &[("end", "close")], ["250", "250", "354", "451 4."]),
    ];
    for (row, script, [mail, rcpt, data, end]) in rows {
        let sink = MailSink::with(script);
        let gate = before(&sink, "");
        let mut cms = Cms::connect(&gate);
        let mut said = Vec::new();
        cms.says("EHLO a", "250");
        for (line, want) in
            [("MAIL FROM:<a@example.org>", mail), ("RCPT TO:<b@example.org>", rcpt), ("DATA", data)]
        {
            if !want.is_empty() {
                said.push(cms.says(line, want));
            }
        }
        if !end.is_empty() {
            cms.writes(b"Subject: a\r\n\r\nb\r\n.\r\n");
            assert!(cms.answer().starts_with(end), "{row}");
        }
        if mail.starts_with("421") {
            assert_eq!(cms.answer(), "closed", "{row}");
        } else {
            cms.says("NOOP", "250");
        }
    }
}

#[test]
fn without_a_server_the_cms_keeps_its_mail() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = gate(&format!("smtp://{nobody}"), "");
    let mut cms = Cms::connect(&gate);
    cms.says("HELO a", "250 www.example.org");
    cms.says("MAIL FROM:<>", "451 4.4.1");
    cms.says("RCPT TO:<a@example.org>", "503");
    cms.says("QUIT", "221");
}

#[test]
fn a_server_that_takes_too_long_is_given_up() {
    // Accepts connections, by its backlog, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink = MailSink::with(&[("MAIL", "250-and")]);
    for address in [silent.local_addr().unwrap(), sink.address] {
        let gate = gate(&format!("smtp://{address}"), "reply_timeout = \"200ms\"");
        let mut cms = Cms::connect(&gate);
        cms.says("EHLO a", "250");
        cms.says("MAIL FROM:<a@example.org>", "451 4.4");
    }
}

#[test]
fn commands_may_come_together_and_the_answers_do_too() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    let mut cms = Cms::connect(&gate);
    cms.writes(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n");
    for start in ["250-", "250 2.1.0", "250 2.1.5", "250 2.1.5", "354"] {
        cms.hears(start);
    }
    // The next message's commands come with the end of this one; this is where pipelining and smuggling meet.
    cms.writes(b"Subject: 1\r\n\r\n..dot\r\n.\r\nRSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<d@example.org>\r\nDATA\r\n");
    for start in ["250 2.0.0 queued", "250", "250", "250", "354"] {
        cms.hears(start);
    }
    cms.writes(b".\r\nQUIT\r\n");
    cms.hears("250 2.0.0 queued");
    cms.hears("221");
    assert_eq!(cms.answer(), "closed");
    let mails = sink.mails();
    assert_eq!((mails.len(), mails[0].to.len(), mails[1].to.len()), (2, 2, 1));
    assert_eq!(content(&mails[0].content), b"Subject: 1\r\n\r\n.dot\r\n");
    assert_eq!(content(&mails[1].content), b"", "an empty message");
}

#[test]
fn only_cr_lf_dot_cr_lf_ends_a_message() {
    let smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n";
    // What stands where an end might be seen; whether the message is accepted as a whole.
    for (end, accepted) in [
        ("\n.\n", true),
        ("\n.\r\n", true),
        ("\r\n.\n", true),
        ("\r\n. \r\n", true),
        ("\r\n..\r\n", true),
        ("\r.\r", false),
        ("\r.\r\n", false),
        ("\r\n.\r", false),
        ("\r\n.\r\r\n", false),
        ("\n.\r\r\n", false),
        ("\r\n\0.\r\n", false),
        ("\r\n.\0\r\n", false),
    ] {
        let sink = MailSink::start();
        let gate = before(&sink, "");
        let mut cms = Cms::begins(&gate);
        cms.writes(format!("Subject: a\r\n\r\nb{end}{smuggled}.\r\n").as_bytes());
        if accepted {
            cms.hears("250 2.0.0 queued");
            cms.says("NOOP", "250");
        } else {
            cms.hears("550 5.6.0");
            assert_eq!(cms.answer(), "closed", "{end:?}");
        }
        let mails = sink.mails();
        assert_eq!(mails.len(), usize::from(accepted), "{end:?}");
        assert!(
            sink.commands().iter().all(|command| !command.contains("evil")),
            "{end:?}: {:?}",
            sink.commands()
        );
        if let Some(mail) = mails.first() {
            let text = String::from_utf8(content(&mail.content)).unwrap();
            assert!(text.ends_with(smuggled), "{end:?}: {text:?}");
            assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "{end:?}: {text:?}");
        }
    }
}

#[test]
fn a_message_that_does_not_wait_to_be_asked_for_is_refused() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    let mut cms = Cms::connect(&gate);
    cms.writes(b"EHLO a\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: a\r\n\r\nb\r\n.\r\n");
    for start in ["250", "250", "250", "503 5.5.0", "closed"] {
        cms.hears(start);
    }
    assert_eq!(sink.mails(), []);
}

#[test]
fn too_large_a_message_is_refused_and_the_next_one_is_not() {
    let sink = MailSink::start();
    let gate = before(&sink, "message_limit = \"1 KiB\"\nrecipient_limit = 2");
    let mut cms = Cms::connect(&gate);
    let offered = cms.says("EHLO a", "250");
    assert!(offered.contains("SIZE 1024"), "{offered}");
    cms.says("MAIL FROM:<a@example.org> SIZE=1025", "552");
    for (size, answer) in [(2000, "552 5.3.4"), (1025, "552 5.3.4"), (1024, "250")] {
        cms.says("MAIL FROM:<a@example.org> SIZE=1", "250");
        cms.says("RCPT TO:<b@example.org>", "250");
        cms.says("DATA", "354");
        cms.writes(format!("Subject: a\r\n\r\n{}\r\n.\r\n", "x".repeat(size - 16)).as_bytes());
        cms.hears(answer);
    }
    assert_eq!(sink.mails().len(), 1);
    cms.says("MAIL FROM:<a@example.org>", "250");
    for answer in ["250", "250", "452 4.5.3"] {
        cms.says("RCPT TO:<b@example.org>", answer);
    }
    cms.says("DATA", "354");
    cms.writes(&[b'x'; 10_000]);
    cms.hears("552");
    assert_eq!(cms.answer(), "closed", "there is an end to patience");
}

#[test]
fn other_networks_are_turned_away() {
    let sink = MailSink::start();
    let gate = before(&sink, "accept_from = [\"10.0.0.0/8\"]");
    let mut cms = Cms::silent(gate.mail.unwrap());
    cms.hears("554 5.7.1");
    assert_eq!(cms.answer(), "closed");
    assert_eq!(sink.commands(), Vec::<String>::new());
}

#[test]
fn more_connections_than_allowed_are_told_to_come_later() {
    let sink = MailSink::start();
    let gate = before(&sink, "connection_limit = 1");
    let mut first = Cms::connect(&gate);
    Cms::silent(gate.mail.unwrap()).hears("421 4.3.2");
    first.says("QUIT", "221");
    drop(first);
    // The place is free as soon as the gate has seen that the first is gone.
    let heard = std::iter::repeat_with(|| Cms::silent(gate.mail.unwrap()).answer());
    assert!(heard.take(1000).any(|answer| answer.starts_with("220")));
}

#[test]
fn a_message_that_has_been_here_before_is_refused() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    assert!(Cms::sends(&gate, "Subject: a\r\n\r\nb").starts_with("250"));
    let again = String::from_utf8(sink.mails()[0].content.clone()).unwrap();
    assert!(Cms::sends(&gate, &format!("Received: elsewhere\r\n{again}")).starts_with("554 5.4.6"));
    assert!(
        Cms::sends(&gate, &format!("{}\r\n\r\n", "Received: elsewhere\r\n".repeat(51)))
            .starts_with("554 5.4.6")
    );
    assert_eq!(sink.mails().len(), 1);
    let mut restarted = gate;
    restarted.restart();
    assert!(Cms::sends(&restarted, &again).starts_with("554 5.4.6"), "after a restart too");
}

#[test]
fn commands_out_of_turn_or_of_other_servers_are_refused() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    let mut cms = Cms::connect(&gate);
    for (line, answer) in [
        ("MAIL FROM:<a@example.org>", "503"),
        ("NOOP", "250"),
        ("EHLO", "501"),
        ("HELO a", "250"),
        ("RCPT TO:<a@example.org>", "503"),
        ("DATA", "503"),
        ("MAIL a@example.org", "501"),
        ("MAIL FROM:<no one>", "553"),
        ("MAIL FROM:<a@example.org> RET=FULL", "555"),
        ("MAIL FROM:<a@example.org> AUTH=<>", "555"),
        ("MAIL FROM:<ü@example.org>", "553"),
        ("MAIL FROM:<ü@example.org> SMTPUTF8", "250"),
        ("MAIL FROM:<a@example.org>", "503"),
        ("RCPT TO:<>", "553"),
        ("RCPT TO:<a@example.org> NOTIFY=NEVER", "555"),
        ("RCPT TO:<ö@example.org>", "250"),
        ("VRFY a", "252"),
        ("EXPN a", "502"),
        ("STARTTLS", "502"),
        ("AUTH PLAIN AGEAYg==", "502"),
        ("BDAT 3 LAST", "502"),
        ("XYZZY", "500"),
        ("RSET", "250"),
        ("DATA", "503"),
    ] {
        let heard = cms.says(line, "");
        assert!(heard.starts_with(answer), "{line}: {heard}");
    }
    cms.writes(&[b'x'; 5000]);
    cms.hears("500");
    assert_eq!(cms.answer(), "closed", "a line without end");
}

#[test]
fn who_says_nothing_is_hung_up_on() {
    let sink = MailSink::start();
    let gate = before(&sink, "idle_timeout = \"200ms\"");
    let mut cms = Cms::connect(&gate);
    cms.hears("421 4.4.2");
    assert_eq!(cms.answer(), "closed");
    let mut cms = Cms::begins(&gate);
    cms.writes(b"Subject: a\r\n");
    cms.hears("421 4.4.2");
    assert_eq!(sink.mails(), [], "half a message is none");
}

#[test]
fn a_stop_lets_the_message_in_flight_end_and_nothing_else() {
    let sink = MailSink::start();
    let mut gate = before(&sink, "");
    let (mut idle, mut busy) = (Cms::connect(&gate), Cms::begins(&gate));
    busy.writes(b"Subject: a\r\n");
    let address = gate.mail.unwrap();
    let stopping = std::thread::spawn(move || gate.stop());
    idle.hears("421 4.3.2");
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
    busy.writes(b"\r\nb\r\n.\r\n");
    busy.hears("250 2.0.0 queued");
    busy.hears("421 4.3.2");
    stopping.join().unwrap();
    assert_eq!(content(&sink.mails()[0].content), b"Subject: a\r\n\r\nb\r\n");
}

#[test]
fn a_folder_gets_each_message_whole_with_its_envelope() {
    let gate = gate("dir:var/mail", "");
    assert!(Cms::sends(&gate, "Subject: a\r\n\r\nhttp://cms.internal:8080/Plone/x").starts_with("250"));
    assert!(Cms::sends(&gate, "Subject: b\r\n\r\n").starts_with("250"));
    let files: Vec<_> =
        std::fs::read_dir(gate.folder().join("var/mail")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let text = texts.iter().find(|text| text.contains("Subject: a")).unwrap();
    let rest =
        text.strip_prefix("Return-Path: <cms@example.org>\r\nDelivered-To: reader@example.com\r\n").unwrap();
    assert_eq!(content(rest.as_bytes()), b"Subject: a\r\n\r\nhttps://www.example.org/x\r\n");
    assert!(files.iter().all(|file| file.extension().unwrap() == "eml"));
    // A file in the folder's place: the CMS keeps its mail.
    let gate = self::gate("dir:proxy", "");
    std::fs::write(gate.folder().join("proxy"), "").unwrap();
    assert!(Cms::sends(&gate, "Subject: a\r\n").starts_with("451 4.3.0"));
}

#[test]
fn zopes_bare_line_feeds_arrive_as_line_ends() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    // As Python's smtplib sends bytes: line ends as they are, dots doubled behind each, CR LF before the last dot.
    assert!(Cms::sends(&gate, "Subject: a\n\n..b http://cms.internal:8080/Plone\nc\n").starts_with("250"));
    assert_eq!(
        content(&sink.mails()[0].content),
        b"Subject: a\r\n\r\n.b https://www.example.org\r\nc\r\n\r\n"
    );
}

#[test]
fn no_address_and_no_word_of_a_mail_is_logged() {
    let sink = MailSink::start();
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let toml = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\n[log]\nlevel = \"debug\"\nformat = \"json\"\n[mail]\nsend = \"smtp://{}\"\n[mail.relay]\nlisten = \"{port}\"\n[[site]]\nname = \"a\"\npublic_url = \"https://www.example.org\"\nbackend_url = \"http://cms.internal:8080/Plone\"\n",
        sink.address
    );
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .current_dir(folder.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut lines = String::new();
    while !lines.contains("taking mail") {
        assert!(log.read_line(&mut lines).unwrap() > 0, "{lines}");
    }
    let mut cms = Cms::silent(port);
    for line in
        ["EHLO a", "MAIL FROM:<hushed-sender@example.org>", "RCPT TO:<hushed-reader@example.com>", "DATA"]
    {
        cms.writes(format!("{line}\r\n").as_bytes());
        cms.answer();
    }
    cms.answer();
    cms.writes(b"Subject: hushed-subject http://cms.internal:8080/Plone\r\nContent-Type: application/pkcs7-mime\r\n\r\nhushed-body\r\n.\r\n");
    cms.hears("250");
    child.kill().unwrap();
    child.wait().unwrap();
    log.read_to_string(&mut lines).unwrap();
    for part in ["\"recipients\":1", "\"replaced\":1", "\"verdict\":250", "\"signed\":1"] {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    assert!(!lines.contains("hushed"), "{lines}");
}

/// Any message without an internal name, proper line ends.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "[ -~]{0,60}".prop_map(String::into_bytes),
        "\\.{0,3}[a-z]{0,3}".prop_map(String::into_bytes),
        "[A-Za-z-]{1,9}: [ -~]{0,40}".prop_map(String::into_bytes),
        prop::collection::vec(
            any::<u8>().prop_filter("no line end and no NUL", |byte| !b"\r\n\0".contains(byte)),
            0..40
        ),
        prop::sample::select(vec![
            "",
            ".",
            "Content-Type: multipart/mixed; boundary=o",
            "--o",
            "--o--",
            "Content-Transfer-Encoding: base64",
            "Content-Transfer-Encoding: quoted-printable",
            "Zm9v=",
            "=C3=",
            "DKIM-Signature: a",
            "Subject: =?utf-8?q?a_b?=",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
    ];
    prop::collection::vec(line, 1..20)
        .prop_map(|lines| lines.into_iter().flat_map(|line| [line, b"\r\n".to_vec()].concat()).collect())
}

#[test]
fn a_message_without_internal_names_arrives_byte_for_byte() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    runner
        .run(&(messages(), 1..200_usize), |(message, piece)| {
            let mut cms = Cms::begins(&gate);
            let stuffed: Vec<u8> = message
                .split_inclusive(|byte| *byte == b'\n')
                .flat_map(|line| [if line.starts_with(b".") { b".".as_slice() } else { b"" }, line].concat())
                .chain(*b".\r\n")
                .collect();
            for piece in stuffed.chunks(piece) {
                cms.writes(piece);
            }
            cms.hears("250");
            let mails = sink.mails();
            prop_assert_eq!(content(&mails.last().unwrap().content), message);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_form_of_an_address_that_the_rfcs_allow_is_passed_on_as_it_came() {
    let sink = MailSink::start();
    let gate = before(&sink, "");
    for hello in [
        "EHLO [127.0.0.1]",
        "EHLO [IPv6:::1]",
        "EHLO plone_host",
        "EHLO localhost.localdomain",
        "ehlo a",
        "HELO a",
        "EHLO a",
    ] {
        let mut cms = Cms::connect(&gate);
        cms.says(hello, "250");
    }
    // What the CMS says, and what the server hears of it.
    for (mail, rcpt, heard_mail, heard_rcpt) in [
        ("MAIL FROM:<a@example.org>", "RCPT TO:<b@[127.0.0.1]>", "<a@example.org>", "<b@[127.0.0.1]>"),
        (
            "MAIL FROM:<a@[IPv6:::1]>",
            "RCPT TO:<b@[IPv6:2001:db8::1]>",
            "<a@[IPv6:::1]>",
            "<b@[IPv6:2001:db8::1]>",
        ),
        ("MAIL FROM: <a@example.org>", "RCPT TO: <b@example.org>", "<a@example.org>", "<b@example.org>"),
        (
            "mail FROM:<a@example.org> size=100",
            "rcpt TO:<b@example.org>",
            "<a@example.org>",
            "<b@example.org>",
        ),
        (
            "Mail From:<a@example.org> body=8bitmime",
            "Rcpt To:<b@example.org>",
            "<a@example.org>",
            "<b@example.org>",
        ),
        ("MAIL FROM:<a@example.org>", "RCPT TO:<Postmaster>", "<a@example.org>", "<postmaster>"),
        ("MAIL FROM:<>", "RCPT TO:<\"a b\"@example.org>", "<>", "<\"a b\"@example.org>"),
        (
            "MAIL FROM:<a+b=c@example.org>",
            "RCPT TO:<o'neill@example.org>",
            "<a+b=c@example.org>",
            "<o'neill@example.org>",
        ),
        (
            "MAIL FROM:<ü@bücher.example> SMTPUTF8",
            "RCPT TO:<用户@例え.jp>",
            "<ü@bücher.example>",
            "<用户@例え.jp>",
        ),
        (
            "MAIL FROM:<a@xn--bcher-kva.example>",
            "RCPT TO:<b@my_host.example>",
            "<a@xn--bcher-kva.example>",
            "<b@my_host.example>",
        ),
        (
            "MAIL FROM:<@relay.example:a@example.org>",
            "RCPT TO:<@x.example,@y.example:b@example.org>",
            "<a@example.org>",
            "<b@example.org>",
        ),
    ] {
        let before = sink.commands().len();
        let mut cms = Cms::connect(&gate);
        cms.says("EHLO a", "250");
        cms.says(mail, "250");
        cms.says(rcpt, "250");
        let said: Vec<String> = sink.commands().split_off(before);
        let heard =
            |start: &str| said.iter().find(|said| said.starts_with(start)).cloned().unwrap_or_default();
        assert!(heard("MAIL").starts_with(&format!("MAIL FROM:{heard_mail}")), "{mail}: {said:?}");
        assert_eq!(heard("RCPT"), format!("RCPT TO:{heard_rcpt}"), "{rcpt}");
    }
}
