//! Signatures of messages (DKIM): which stay, which go, which are ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use support::gate::Gate;
use support::mailer::Cms;
use support::mailsink::MailSink;

/// What the server gets for `message`, less the gate's own trace.
fn sent(dkim: &str, message: &str) -> String {
    let sink = MailSink::start();
    let toml = format!(
        r#"
        [server]
        listen = ["127.0.0.1:0"]
        workers = 1
        [mail]
        send = "smtp://{}"
        [mail.relay]
        listen = "127.0.0.1:0"
        {dkim}
        [[site]]
        name = "www"
        public_url = "https://www.example.org"
        backend_url = "http://cms.internal:8080/Plone"
        "#,
        sink.address
    );
    let gate = Gate::from_toml(&toml);
    assert!(Cms::sends(&gate, message).starts_with("250"));
    let content = String::from_utf8(sink.mails()[0].content.clone()).unwrap();
    let (trace, rest) = content.split_at(content.match_indices("\r\n").nth(1).unwrap().0 + 2);
    assert!(trace.starts_with("Received: by www.example.org "), "{trace}");
    rest.to_owned()
}

#[test]
fn a_message_of_the_domain_is_signed_unless_it_has_a_signature_that_still_holds() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("dkim.pem");
    std::fs::write(&key, rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem())
        .unwrap();
    let dkim =
        format!("dkim = {{ domain = \"Example.org\", selector = \"gate\", key = \"{}\" }}", key.display());
    let theirs = "DKIM-Signature: v=1; d=example.org; s=theirs;\r\n b=abc\r\n";
    let ours = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n\td=example.org; s=gate;\r\n\tt=1700000000; ";
    let (plain, link) = ("plain", "http://cms.internal:8080/Plone");
    for (row, dkim, signature, from, body, kept, signed) in [
        ("no key, intact", "", theirs, "a@example.org", plain, true, false),
        ("no key, broken", "", theirs, "a@example.org", link, false, false),
        ("no key, none", "", "", "a@example.org", link, false, false),
        ("intact", dkim.as_str(), theirs, "a@example.org", plain, true, false),
        ("broken", &dkim, theirs, "a@example.org", link, false, true),
        ("none", &dkim, "", "a@example.org", plain, false, true),
        ("another's, broken", &dkim, theirs, "a@example.com", link, false, false),
        ("another's, none", &dkim, "", "a@example.com", plain, false, false),
    ] {
        let got = sent(dkim, &format!("{signature}From: {from}\r\nSubject: a\r\n\r\n{body}"));
        assert_eq!(got.contains(theirs), kept, "{row}: {got}");
        assert_eq!(got.starts_with(ours), signed, "{row}: {got}");
        assert_eq!(got.matches("DKIM-Signature").count(), usize::from(kept || signed), "{row}: {got}");
        let rest = format!(
            "From: {from}\r\nSubject: a\r\n\r\n{}\r\n",
            body.replace(link, "https://www.example.org")
        );
        assert!(got.ends_with(&rest), "{row}: {got}");
    }
}
