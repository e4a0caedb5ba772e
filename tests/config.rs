//! `proxy.toml`: every mistake is told with its line, and what would be right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use lychgate::config::{Config, Finding};

fn parse(text: &str) -> Result<(Config, Vec<Finding>), Vec<Finding>> {
    Config::parse(Path::new("proxy.toml"), text, PathBuf::new())
}

const SITE: &str = "[[site]]\nname = \"a\"\npublic_url = \"http://www.example.org\"\nbackend_url = \"http://10.0.0.5:8080/Plone\"\n";

#[test]
fn every_mistake_is_told_with_line_column_and_what_would_be_right() {
    for (name, text, expected) in [
        ("no site", "[server]\n", "proxy.toml:2:1: error: there is no site; add a [[site]]"),
        ("nothing at all", "", "proxy.toml: error: there is no site; add a [[site]]"),
        ("two brackets", "SITE[[server]]\n", "proxy.toml:5:1: error: there is only one of these"),
        (
            "one bracket",
            "[site]\nname = \"a\"\n",
            "proxy.toml:1:1: error: there may be several of these, so each begins with two brackets: [[site]]",
        ),
        (
            "a text for a number",
            "[server]\nworkers = \"2\"\n",
            "proxy.toml:2:11: error: a whole number from 0 to 65535 belongs here",
        ),
        (
            "a number below its bound",
            "[server]\nworkers = -1\n",
            "proxy.toml:2:11: error: a whole number from 0 to 65535 belongs here",
        ),
        (
            "a number for a text",
            "[session]\nidle = 30\n",
            "proxy.toml:2:8: error: a text belongs here; write it in quotes",
        ),
        (
            "a number for a list",
            "[server]\nlisten = 8080\n",
            "proxy.toml:2:10: error: a list belongs here; write it in brackets",
        ),
        (
            "a text for yes or no",
            "[server]\nproxy_protocol = \"yes\"\n",
            "proxy.toml:2:18: error: write true or false here",
        ),
        (
            "a key twice",
            "[server]\nworkers = 1\nworkers = 2\n",
            "proxy.toml:3:1: error: `workers` is there twice; keep one",
        ),
        (
            "an address for a network",
            "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n",
            "proxy.toml:2:20: error: `10.0.0.1` is no network; write it like",
        ),
        (
            "lines that end as in Windows, and tabs",
            "[server]\r\n\tlisen = []\r\n",
            "proxy.toml:2:2: error: there is no key `lisen` here",
        ),
        (
            "a file of three bytes before its first",
            "\u{feff}[server]\nlisen = []\n",
            "proxy.toml:2:1: error: there is no key `lisen` here",
        ),
        ("syntax", "[server\n", "proxy.toml:1:8: error: "),
        (
            "misspelt key",
            "[server]\nlisten_on = []\n",
            "proxy.toml:2:1: error: there is no key `listen_on` here; did you mean `listen`?",
        ),
        (
            "misspelt table",
            "[sessions]\n",
            "proxy.toml:1:2: error: there is no key `sessions` here; did you mean `session`?",
        ),
        ("nothing like it", "[server]\nxyzzy = 1\n", "known are `listen`, `prefix`"),
        (
            "PROXY headers from nobody",
            "[server]\nproxy_protocol = true\nSITE",
            "proxy.toml:2:1: error: proxy_protocol refuses everyone but the proxies in trusted_proxies",
        ),
        (
            "TLS without a certificate",
            "[server.tls]\nlisten = [\"127.0.0.1:0\"]\nSITE",
            "proxy.toml:1:1: error: [server.tls] listens but has no certificate",
        ),
        (
            "a certificate without its key",
            "[server.tls]\ncertificate = \"a.pem\"\nSITE",
            "[server.tls] has a `certificate` but no `key`",
        ),
        (
            "a certificate that nobody can show",
            "SITEaccess.rules = [{ path = \"/a\", client_certificate = true, access = \"public\" }]\n",
            "a rule asks for a client_certificate, but [server.tls] has no client_ca",
        ),
        (
            "no ACME server",
            "[server.tls]\nacme = {}\n",
            "proxy.toml:2:8: error: `directory` is missing here; write directory = …",
        ),
        (
            "ACME in clear text",
            "[server.tls]\nacme = { directory = \"http://acme.example/dir\" }\n",
            "proxy.toml:2:22: error: this is no ACME directory; write its https address",
        ),
        (
            "more strangers than there may be of all",
            "[[site]]\nforward.requests = { total = 40, strangers = 50 }\n",
            "proxy.toml:2:20: error: strangers = 50 is more than all together may have, total = 40; write less, such as 10",
        ),
        (
            "a misspelt bound",
            "[[site]]\nforward.requests = { totl = 40 }\n",
            "proxy.toml:2:22: error: there is no key `totl` here; did you mean `total`?",
        ),
        (
            "a misspelt key of acme",
            "[server.tls]\nacme = { directory = \"https://acme.example/dir\", contacts = [] }\n",
            "proxy.toml:2:50: error: there is no key `contacts` here; did you mean `contact`?",
        ),
        (
            "a contact that is none",
            "[server.tls]\nacme = { directory = \"https://acme.example/dir\", contact = [\"ops@example.org\"] }\n",
            "proxy.toml:2:60: error: `ops@example.org` is no contact; write one address, such as \"mailto:ops@example.org\"",
        ),
        (
            "a wildcard",
            "[server.tls]\nacme = { directory = \"https://acme.example/dir\", names = [\"*.example.org\"] }\n",
            "proxy.toml:2:58: error: `*.example.org` stands for many names",
        ),
        (
            "a challenge that is none",
            "[server.tls]\nacme = { directory = \"https://acme.example/dir\", challenge = \"dns-01\" }\n",
            "proxy.toml:2:62: error: there is no choice `dns-01` here; known are `http-01`, `tls-alpn-01`",
        ),
        (
            "terms that were not read",
            "[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = { directory = \"https://acme.example/dir\", names = [\"a.example.org\"] }\nSITE",
            "proxy.toml:3:8: error: acme asks https://acme.example/dir for nothing until its terms of service are agreed to; read them, and write terms_agreed = true",
        ),
        (
            "certificates for nobody",
            "[server.tls]\nacme = { directory = \"https://acme.example/dir\", terms_agreed = true, names = [\"a.example.org\"] }\nSITE",
            "proxy.toml:2:8: error: acme fetches certificates for [server.tls], which listens nowhere",
        ),
        (
            "certificates for no name",
            "[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = { directory = \"https://acme.example/dir\", terms_agreed = true }\nSITE",
            "proxy.toml:3:8: error: acme has no name to fetch a certificate for",
        ),
        (
            "http-01 without http",
            "[server]\nlisten = []\n[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = { directory = \"https://acme.example/dir\", terms_agreed = true, names = [\"a.example.org\"], challenge = \"http-01\" }\nSITE",
            "proxy.toml:5:8: error: http-01 is answered in clear text, and [server] listens nowhere",
        ),
        (
            "admin for everyone",
            "[admin]\nlisten = \"0.0.0.0:9180\"\nSITE",
            "proxy.toml:1:1: error: `0.0.0.0:9180` lets others than this machine see who is signed in; write \"127.0.0.1:9180\"",
        ),
        (
            "duration",
            "[session]\nidle = \"30\"\n",
            "proxy.toml:2:8: error: `30` is no duration; write a whole number and ms, s, m, h or d",
        ),
        ("type", "[session]\nidle = 30\n", "proxy.toml:2:8: error: "),
        (
            "listen",
            "[server]\nlisten = [\"localhost:80\"]\n",
            "proxy.toml:2:10: error: `localhost:80` is no address to listen on",
        ),
        ("nowhere to listen", "[server]\nlisten = []\nSITE", "`listen` is empty"),
        ("prefix", "[server]\nprefix = \"gate\"\n", "proxy.toml:2:10: error: `gate` is no prefix"),
        ("network", "[server]\ntrusted_proxies = [\"10.0.0.0/99\"]\n", "proxy.toml:2:20: error: "),
        (
            "rate",
            "[limits]\nsign_in = { per_client = \"5 in 10m\" }\n",
            "is no rate; write a count, a slash and a duration",
        ),
        (
            "url",
            "[[site]]\nname = \"a\"\npublic_url = \"www.example.org\"\nbackend_url = \"http://b\"\n",
            "proxy.toml:3:14: error: `www.example.org` has no scheme",
        ),
        (
            "missing key",
            "[[site]]\nname = \"a\"\n",
            "proxy.toml:1:1: error: `public_url` is missing here; write public_url = …",
        ),
        (
            "unknown cms",
            "SITEcms = \"plon\"\n",
            "proxy.toml:5:7: error: there is no dialogue `plon`; did you mean `plone`?",
        ),
        (
            "hosting",
            "SITEvirtual_hosting = \"zop\"\n",
            "proxy.toml:5:19: error: there is no choice `zop` here; did you mean `zope`?",
        ),
        ("local users without a sender", "SITEsign_in = \"local\"\n", "[mail] needs `from`"),
        (
            "users of a site that has none",
            "SITEsign_in = \"local\"\nusers = \"b\"\n",
            "`b` is no site with local users of its own",
        ),
        (
            "users of the CMS's",
            "SITEusers = \"a\"\n",
            "proxy.toml:5:9: error: `users` is for sites with sign_in = \"local\"",
        ),
        (
            "the CMS's form for local users",
            "[mail]\nfrom = \"a@example.org\"\nSITEsign_in = \"local\"\n[site.password_reset]\nform = \"backend\"\n",
            "does not go with sign_in = \"local\"",
        ),
        (
            "an identity in a field with another meaning",
            "SITEidentity_headers = { user = \"X-Forwarded-For\" }\n",
            "means something else",
        ),
        ("hashes for nothing", "[local_users]\npasses = 0\n", "[local_users] cannot be used"),
        (
            "a sender that is none",
            "[mail]\nfrom = \"nobody\"\n",
            "proxy.toml:2:8: error: `nobody` is no sender",
        ),
        ("links for no time", "SITE[site.password_reset]\nlink_lifetime = \"0\"\n", "works for no time"),
        (
            "itself",
            "[[site]]\nname = \"a\"\npublic_url = \"http://a.example\"\nbackend_url = \"http://a.example/Plone\"\n",
            "the gate would call itself",
        ),
        (
            "itself among others",
            "[[site]]\nname = \"a\"\npublic_url = \"http://a.example\"\nbackend_url = [\"http://b/Plone\", \"http://a.example/Plone\"]\n",
            "proxy.toml:4:15: error: backend_url is the public address",
        ),
        (
            "two sites as one",
            "[[site]]\nname = \"a\"\npublic_url = \"http://a.example\"\nbackend_url = [\"http://b/Plone\", \"http://c/Zope\"]\n",
            "proxy.toml:4:15: error: `http://c/Zope` is not the same site as `http://b/Plone`",
        ),
        (
            "checks without a pause",
            "SITE[site.forward]\nhealth_check = { every = \"0\" }\n",
            "write a duration such as \"10s\"",
        ),
        (
            "a check of no path",
            "SITE[site.forward]\nhealth_check = { path = \"ok\" }\n",
            "`ok` is no path; write it like \"/\"",
        ),
        ("two alike", "SITESITE", "proxy.toml:6:8: error: there is another site named `a`"),
        (
            "same address",
            "SITE[[site]]\nname = \"b\"\npublic_url = \"http://www.example.org:80/\"\nbackend_url = \"http://c\"\n",
            "proxy.toml:7:14: error: site `a` has the same public_url",
        ),
        (
            "rule",
            "SITE[site.access]\nrules = [ { path = \"robots.txt\", access = \"public\" } ]\n",
            "a path pattern begins with a slash: write \"/robots.txt\"",
        ),
        (
            "access",
            "SITE[site.access]\ndefault = \"all\"\n",
            "there is no choice `all` here; known are `public`, `signed-in`, `deny`",
        ),
        (
            "trust without marks",
            "SITE[site.password_reset]\ntrusted_requests = { networks = [\"127.0.0.1/32\"], paths = [\"mail_password\"] }\n",
            "names neither user_agent nor header",
        ),
        (
            "trust without header",
            "SITE[site.password_reset]\ntrusted_requests = { header = true, networks = [\"127.0.0.1/32\"], paths = [\"mail_password\"] }\n",
            "asks for a header, but password_reset has none",
        ),
        (
            "trusted pattern",
            "SITE[site.password_reset]\ntrusted_requests = { user_agent = \"x\", networks = [\"127.0.0.1/32\"], paths = [\"/mail*\"] }\n",
            "is no single path segment",
        ),
        ("agent", "SITE[site.password_reset]\nuser_agent = \"a\\nb\"\n", "cannot be sent in a header"),
        ("source", "SITE[site.password_reset]\nsource_address = \"eth0\"\n", "`eth0` is no IP address"),
        (
            "leaks",
            "SITE[site.rewrite]\nleaks = \"drop\"\n",
            "there is no choice `drop` here; known are `log`, `block`",
        ),
        (
            "media type",
            "SITE[site.rewrite]\ntypes = [\"json\"]\n",
            "`json` in rewrite.types is no media type",
        ),
        ("no session", "[session]\nidle = \"0\"\n", "a session of no length lets nobody in"),
        (
            "mail through itself",
            "[mail]\nsend = \"smtp://localhost:2525\"\n[mail.relay]\nlisten = \"127.0.0.1:2525\"\nSITE",
            "proxy.toml:3:1: error: the relay at 127.0.0.1:2525 would send to itself",
        ),
        (
            "mail from nobody",
            "[mail.relay]\nlisten = \"127.0.0.1:2525\"\naccept_from = []\nSITE",
            "proxy.toml:1:1: error: the relay takes mail from nobody",
        ),
        (
            "mail to nowhere",
            "[mail]\nsend = \"mail.example.org\"\n",
            "proxy.toml:2:8: error: `mail.example.org` is no place to send mail to",
        ),
        (
            "mail with a password in the address",
            "[mail]\nsend = \"smtps://me:hushed@mail.example.org\"\n",
            "user name and password do not belong here",
        ),
        (
            "mail with a password in clear text",
            "[mail]\nsend = \"smtp://mail.example.org\"\nusername = \"me\"\npassword = \"hushed\"\nSITE",
            "proxy.toml:1:1: error: `smtp://mail.example.org:25` is no address at which the mail server has to show who it is",
        ),
        (
            "mail with half a login",
            "[mail]\nsend = \"smtps://mail.example.org\"\nusername = \"me\"\nSITE",
            "`username` and `password` of [mail] belong together",
        ),
        (
            "mail through TLS that is not there",
            "[mail.relay]\nrequire_tls = true\nSITE",
            "proxy.toml:2:1: error: require_tls without `tls` would take no mail at all",
        ),
        ("store", "[store]\nurl = \"mysql:a\"\n", "proxy.toml:2:7: error: "),
    ] {
        let findings = parse(&text.replace("SITE", SITE)).expect_err(name);
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line.contains(expected)), "{name}: {told:?}");
        assert!(
            told.iter().all(|line| !line.contains('\n')
                && !line.contains("hushed")
                && line.starts_with("proxy.toml:")),
            "{name}: {told:?}"
        );
    }
}

#[test]
fn trusting_everyone_is_a_warning() {
    let (_, warnings) = parse(&format!("[server]\ntrusted_proxies = [\"0.0.0.0/0\"]\n{SITE}")).unwrap();
    assert!(
        warnings[0]
            .to_string()
            .starts_with("proxy.toml:2:1: warning: `0.0.0.0/0` lets everyone say who they are"),
        "{warnings:?}"
    );
}

#[test]
fn what_a_more_open_site_shows_of_another_is_a_warning() {
    for (open, closed, rules, warned) in [
        ("/Open", "/Open/part", "", true),
        ("/Open", "/Open", "", true),
        ("", "/part", "", true),
        ("/Open", "/Opened", "", false),
        ("/Open", "/Closed", "", false),
        ("/Open", "/Open/part", "rules = [{ path = \"/part/**\", access = \"signed-in\" }]", false),
    ] {
        let site = |name: &str, path: &str, access: &str| {
            format!(
                "[[site]]\nname = \"{name}\"\npublic_url = \"http://{name}.example.org\"\nbackend_url = \"http://10.0.0.1:8080{path}\"\n[site.access]\n{access}\n"
            )
        };
        let toml =
            site("open", open, &format!("default = \"public\"\n{rules}")) + &site("closed", closed, "");
        let (_, warnings) = parse(&toml).unwrap();
        let said = warnings.iter().any(|warning| warning.to_string().contains("what `closed` keeps"));
        assert_eq!(said, warned, "{toml}: {warnings:?}");
    }
}

#[test]
fn halves_of_the_world_are_warned_about_like_the_whole() {
    for (network, warned) in [
        ("0.0.0.0/1", true),
        ("128.0.0.0/2", true),
        ("::/1", true),
        ("10.0.0.0/8", false),
        ("fc00::/7", false),
    ] {
        let trusted = format!(
            "trusted_requests = {{ user_agent = \"x\", networks = [\"{network}\"], paths = [\"mail_password\"] }}"
        );
        for (toml, says) in [
            (
                format!("[server]\ntrusted_proxies = [\"{network}\"]\n{SITE}"),
                "lets everyone say who they are",
            ),
            (
                format!("[mail.relay]\nlisten = \"127.0.0.1:2525\"\naccept_from = [\"{network}\"]\n{SITE}"),
                "lets everyone send mail",
            ),
            (format!("{SITE}\n[site.password_reset]\n{trusted}\n"), "without signing in"),
        ] {
            let (_, warnings) = parse(&toml).unwrap();
            let said = warnings.iter().any(|warning| warning.to_string().contains(says));
            assert_eq!(said, warned, "{toml}: {warnings:?}");
        }
    }
}

#[test]
fn a_folder_that_zope_finds_everything_in_is_a_warning() {
    for (rules, warned) in [
        ("rules = [{ path = \"/open/**\", access = \"public\" }]", true),
        ("default = \"public\"\nrules = [{ path = \"/open/**\", access = \"public\" }]", false),
        ("rules = [{ path = \"/open/*\", access = \"public\" }]", false),
        ("rules = [{ path = \"/++resource++plone/**\", access = \"public\" }]", false),
        ("rules = [{ path = \"/open/**\", access = \"signed-in\" }]", false),
    ] {
        let (_, warnings) = parse(&format!("{SITE}\n[site.access]\n{rules}")).unwrap();
        let said =
            warnings.iter().any(|warning| warning.to_string().contains("`/open/secret/a` is `/secret/a`"));
        assert_eq!(said, warned, "{rules}: {warnings:?}");
    }
}

#[test]
fn styles_that_are_open_with_all_that_is_behind_them_are_a_warning() {
    for (path, warned) in [
        ("/++theme++**", true),
        ("/++theme++mine/**", true),
        ("**/++resource++**", true),
        ("/++plone++static/**.css", true),
        ("/++webresource++**", true),
        ("/++theme++mine/*", false),
        ("**/++theme++mine/a.css", false),
        ("/robots.txt", false),
    ] {
        for (settings, knows) in
            [("", true), ("default = \"public\"\n", false), ("default = \"deny\"\n", true)]
        {
            let rules = format!("{settings}rules = [{{ path = \"{path}\", access = \"public\" }}]");
            let (_, warnings) = parse(&format!("{SITE}\n[site.access]\n{rules}")).unwrap();
            let said = format!("`{path}` is public, and the CMS finds what lies elsewhere behind a file");
            let said = warnings.iter().any(|warning| warning.to_string().contains(&said));
            assert_eq!(said, warned && knows, "{rules}: {warnings:?}");
        }
    }
    let rules = "rules = [{ path = \"/++theme++**\", access = \"public\" }]";
    let (_, warnings) = parse(&format!("{SITE}\ncms = \"openacs\"\n[site.access]\n{rules}")).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_page_that_zope_shows_at_other_addresses_is_a_warning() {
    let page = "rules = [{ path = \"/board\", access = \"deny\" }]";
    for (rules, warned) in [
        (page, true),
        ("default = \"public\"\nrules = [{ path = \"/docs/board\", access = \"signed-in\" }]", true),
        (
            "rules = [{ path = \"/board\", access = \"deny\" }, { path = \"/board/**\", access = \"deny\" }]",
            false,
        ),
        ("rules = [{ path = \"/board/**\", access = \"deny\" }]", false),
        ("rules = [{ path = \"/board\", access = \"signed-in\" }]", false),
        ("rules = [{ path = \"/board\", access = \"public\" }]", false),
        ("default = \"public\"\nrules = [{ path = \"/\", access = \"signed-in\" }]", false),
        (
            "rules = [{ path = \"**/sharing\", access = \"deny\" }, { path = \"/@@overview\", access = \"deny\" }]",
            false,
        ),
        ("rules = [{ path = \"/plan.pdf\", access = \"deny\" }]", false),
    ] {
        for (cms, knows) in [("plone", true), ("openacs", false)] {
            let (_, warnings) = parse(&format!("{SITE}\ncms = \"{cms}\"\n[site.access]\n{rules}")).unwrap();
            let said = warnings.iter().any(|warning| warning.to_string().contains("board/view`"));
            assert_eq!(said, warned && knows, "{rules}: {warnings:?}");
        }
    }
}

#[test]
fn taking_mail_from_everyone_is_a_warning() {
    let (_, warnings) =
        parse(&format!("[mail.relay]\nlisten = \"127.0.0.1:2525\"\naccept_from = [\"0.0.0.0/0\"]\n{SITE}"))
            .unwrap();
    assert!(
        warnings[0].to_string().starts_with("proxy.toml:3:1: warning: `0.0.0.0/0` lets everyone send mail"),
        "{warnings:?}"
    );
}

/// The command, in a folder of its own with this `proxy.toml`.
fn lychgate(toml: &str, arguments: &[&str]) -> (tempfile::TempDir, std::process::Output) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    let output = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"))
        .args(arguments)
        .current_dir(folder.path())
        .timeout(std::time::Duration::from_secs(30))
        .output()
        .unwrap();
    (folder, output)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_exits_with_0_1_or_2_and_prints_a_line_a_finding() {
    let (_, output) = lychgate(SITE, &["check"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "proxy.toml: fine\n".to_owned()));
    let (_, output) = lychgate("[server]\nlisten_on = []\n", &["check"]);
    assert_eq!((output.status.code(), text(&output.stdout).lines().count()), (Some(1), 1));
    let (_, output) = lychgate("[server]\nlisten_on = []\n", &["check", "--format", "json"]);
    let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((findings[0]["line"].as_u64(), findings[0]["severity"].as_str()), (Some(2), Some("error")));
    let (_, output) = lychgate(SITE, &["chekc"]);
    assert_eq!(output.status.code(), Some(2));
}

/// A password that somebody wrote where none belongs is in no message: messages go to logs and tickets.
#[test]
fn no_message_repeats_a_secret() {
    for text in [
        SITE.replace("10.0.0.5", "admin:hunter2@10.0.0.5"),
        SITE.replace("http://10.0.0.5", "admin:hunter2@10.0.0.5"),
        format!("[store]\nurl = \"postgres://gate:hunter2@db/gate\"\n{SITE}"),
        format!("[store]\nsecret = [\"hunter2\"]\n{SITE}"),
        format!("[store]\nsecret = {{ text = \"hunter2\" }}\n{SITE}"),
        format!("[store]\nsecret = {{ file = [\"hunter2\"] }}\n{SITE}"),
        format!("[mail]\nsend = \"smtps://gate:hunter2@mail.example.org\"\n{SITE}"),
        format!(
            "[mail]\nsend = \"smtps://mail.example.org\"\nusername = \"a\"\npassword = [\"hunter2\"]\n{SITE}"
        ),
        format!("{SITE}[site.password_reset]\nheader = {{ name = \"X-Trust\", value = [\"hunter2\"] }}\n"),
        format!("{SITE}[site.password_reset]\nheader = \"hunter2\"\n"),
    ] {
        let (_, output) = lychgate(&text, &["check"]);
        let told = self::text(&[output.stdout, output.stderr].concat());
        assert_eq!(output.status.code(), Some(1), "{text}: {told}");
        assert!(!told.contains("hunter2") && told.contains("proxy.toml"), "{text}: {told}");
    }
}

#[test]
fn what_is_no_text_is_said_to_be_none_and_where_it_ends_to_be() {
    let (folder, _) = lychgate("", &["schema"]);
    for (name, bytes, expected) in [
        (
            "Latin-1",
            b"[server]\n# caf\xe9\n".as_slice(),
            "proxy.toml:2:6: error: is no text in UTF-8 from here on",
        ),
        ("UTF-16", b"\xff\xfe[\0s\0", "proxy.toml:1:1: error: is no text in UTF-8"),
    ] {
        let file = folder.path().join("proxy.toml");
        std::fs::write(&file, bytes).unwrap();
        let findings = Config::read(&file).unwrap_err();
        assert!(findings[0].to_string().ends_with("save it in that encoding"), "{name}");
        assert!(findings[0].to_string().contains(expected), "{name}: {}", findings[0]);
    }
}

/// systemd hands a secret over with a list of who may read it, which shows as readable by a group (its issue 29435).
#[test]
fn a_credential_of_systemd_is_taken_and_another_file_like_it_is_not() {
    let credentials = tempfile::tempdir().unwrap();
    let file = credentials.path().join("gate");
    std::fs::write(&file, "k".repeat(40)).unwrap();
    let toml = format!("[store]\nsecret = {{ file = \"{}\" }}\n{SITE}", file.display());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    for (name, mode, handed, fine) in [
        ("its own", 0o440, credentials.path(), true),
        ("its own, for all", 0o444, credentials.path(), false),
        ("another's", 0o440, folder.path(), false),
    ] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut check = Command::new(assert_cmd::cargo::cargo_bin!("lychgate"));
        check.arg("check").current_dir(folder.path()).env("CREDENTIALS_DIRECTORY", handed);
        let output = check.output().unwrap();
        let told = text(&output.stdout);
        assert_eq!(output.status.success(), fine, "{name}: {told}");
        assert!(fine || told.contains("may be read by others"), "{name}: {told}");
    }
}

#[test]
fn check_tries_what_the_file_points_to_and_makes_nothing() {
    let trust = format!(
        "{SITE}[site.password_reset]\nheader = {{ name = \"X-Trust\", value = {{ file = \"no.secret\" }} }}\n[pages]\ntemplates = \"none\"\n"
    );
    let (folder, output) = lychgate(&trust, &["check"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("no.secret cannot be read") && told.contains("must be a folder"), "{told}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but proxy.toml");
}

#[test]
fn run_says_in_one_sentence_why_it_cannot_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (name, toml, expected) in [
        (
            "wrong file",
            "[server]\nlisten_on = []\n".to_owned(),
            "proxy.toml:2:1: error: there is no key `listen_on` here",
        ),
        (
            "port in use",
            format!("[server]\nlisten = [\"{address}\"]\n{SITE}"),
            "is in use: another process listens there",
        ),
        ("unusable store", format!("[store]\nurl = \"sqlite:proxy.toml\"\n{SITE}"), "proxy.toml"),
        ("short secret", format!("[store]\nsecret = \"short\"\n{SITE}"), "at least 32 are needed"),
    ] {
        let (_, output) = lychgate(&toml, &["run"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(last.contains(expected), "{name}: {told}");
    }
    let (_, output) = lychgate(SITE, &["run", "--config", "other.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("other.toml: error: cannot be read"), "{}", text(&output.stderr));
}

/// A dialogue of an operator's own, in `proxy.toml` or in a file: what is wrong is told with its place.
#[test]
fn a_dialogue_of_ones_own_is_read_and_its_mistakes_are_told() {
    let own = "[[cms]]\nname = \"mine\"\n[[cms.sign_in.step]]\nmethod = \"POST\"\nto = [\"login\"]\nfields = { u = \"{user}\" }\n[[cms.sign_in.step.case]]\nstatus = [200]\nverdict = \"ok\"\n";
    let folder = tempfile::tempdir().unwrap();
    let in_file = own.replace("[[cms]]\n", "").replace("[[cms.", "[[").replace("mine", "filed");
    std::fs::write(folder.path().join("good.toml"), &in_file).unwrap();
    std::fs::write(folder.path().join("bad.toml"), in_file.replace("{user}", "{usr}")).unwrap();
    std::fs::write(folder.path().join("lost.toml"), in_file.replace("verdict = \"ok\"", "next = \"on\""))
        .unwrap();
    let site = |cms: &str| format!("{SITE}cms = \"{cms}\"\n");
    let read = |text: &str| Config::parse(Path::new("proxy.toml"), text, folder.path().to_owned());
    for (row, text) in [
        ("inline", format!("{own}{}", site("mine"))),
        ("by file", format!("[[cms]]\nfile = \"good.toml\"\n{}", site("filed"))),
        ("by file, named", format!("[[cms]]\nname = \"filed\"\nfile = \"good.toml\"\n{}", site("filed"))),
    ] {
        let config = read(&text).unwrap_or_else(|found| panic!("{row}: {found:?}")).0;
        assert!(config.dialogue(config.sites[0].as_ref()).unwrap().can_sign_in(), "{row}");
    }
    let bad = folder.path().join("bad.toml").display().to_string();
    let lost = folder.path().join("lost.toml").display().to_string();
    for (row, text, expected) in [
        (
            "unknown key",
            own.replace("status", "stats"),
            "proxy.toml:8:1: error: there is no key `stats` here; did you mean `status`?".to_owned(),
        ),
        (
            "unknown placeholder",
            own.replace("{user}", "{usr}"),
            "proxy.toml:6:16: error: `{usr}`: no placeholder is called {usr}".to_owned(),
        ),
        (
            "another operation's",
            own.replace("{user}", "{token}"),
            "proxy.toml:3:1: error: step 1 of `sign_in`: there is no {token}".to_owned(),
        ),
        (
            "nowhere",
            own.replace("[\"login\"]", "[\"http://evil.example/\"]"),
            "is no path below the backend".to_owned(),
        ),
        (
            "built in",
            own.replace("mine", "plone"),
            "proxy.toml:1:1: error: there is another dialogue named `plone`".to_owned(),
        ),
        ("twice", format!("{own}{own}"), "there is another dialogue named `mine`".to_owned()),
        ("no name", own.replace("name = \"mine\"", ""), "it needs a `name`".to_owned()),
        ("no such file", "[[cms]]\nfile = \"none.toml\"\n".to_owned(), "proxy.toml:1:1: error: ".to_owned()),
        (
            "file and more",
            format!("[[cms]]\nfile = \"good.toml\"\n{}", &own[own.find("[[cms.sign").unwrap()..]),
            "says nothing else".to_owned(),
        ),
        (
            "bad in a file",
            "[[cms]]\nfile = \"bad.toml\"\n".to_owned(),
            format!("{bad}:5:16: error: `{{usr}}`"),
        ),
        (
            "lost in a file",
            "[[cms]]\nfile = \"lost.toml\"\n".to_owned(),
            format!("{lost}:2:1: error: step 1 of `sign_in`: no later step is called `on`"),
        ),
        (
            "unknown setting",
            format!("cms_settings = {{ a = \"b\" }}\n{}", ""),
            "has no setting `a`; it has: none".to_owned(),
        ),
    ] {
        let whole = if row == "unknown setting" { format!("{SITE}{text}") } else { format!("{text}{SITE}") };
        let found = read(&whole).unwrap_err();
        let all: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert!(all.iter().any(|one| one.contains(&expected)), "{row}: {all:#?}");
    }
    let none = read(&site("none")).unwrap_err();
    assert!(none[0].to_string().contains("write access.default = \"public\""), "{none:?}");
    assert!(read(&format!("{}[site.access]\ndefault = \"public\"\n", site("none"))).is_ok());
}
