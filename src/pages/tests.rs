//! The pages as a whole: every page in every language, hostile values, the operator's files.

use std::collections::BTreeSet;

use http::header;
use proptest::prelude::*;
use scraper::{ElementRef, Html, Selector};

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn ours() -> Pages {
    Pages::load(&Settings::default()).expect("ours")
}

fn around(language: &Language) -> Around<'_> {
    Around {
        site_name: Some("Intranet"),
        prefix: "/_gate",
        home: "/",
        language,
        request_id: "req-1",
        here: Some("/_gate/login?next=/a%3Fb"),
        forgot_password: true,
    }
}

/// Every page of `pages` in every language, with `text` wherever a value from outside stands.
fn every_page(pages: &Pages, text: &str, mut see: impl FnMut(&str, &Response<Bytes>)) {
    let sessions = [
        SessionLine { current: true, client: text, age: MINUTE * 200, idle: MINUTE },
        SessionLine { current: false, client: text, age: MINUTE * 5000, idle: MINUTE * 5000 },
    ];
    let forms = [
        HeldLine { id: text, path: text, action: text, age: MINUTE, unclear: true },
        HeldLine { id: text, path: text, action: text, age: MINUTE * 50, unclear: false },
    ];
    for language in &pages.languages {
        let around = Around { site_name: Some(text), request_id: text, here: Some(text), ..around(language) };
        for page in page::specimens(text, &sessions, &forms) {
            let catalogue = pages.catalogue(language).expect("a language");
            let response = pages
                .try_render(&pages.templates, catalogue, page, &around)
                .unwrap_or_else(|error| panic!("{language} {page:?}: {error:?}"));
            see(&format!("{language} {page:.60?}"), &response);
        }
    }
}

fn html(response: &Response<Bytes>) -> Html {
    Html::parse_document(std::str::from_utf8(response.body()).expect("UTF-8"))
}

fn all<'h>(html: &'h Html, selector: &str) -> Vec<ElementRef<'h>> {
    html.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn text(html: &Html) -> String {
    html.root_element().text().collect()
}

#[test]
fn every_page_is_well_built() {
    every_page(&ours(), "/sample", |name, response| {
        let language = &response.headers()[header::CONTENT_LANGUAGE];
        let page = html(response);
        assert!(response.body().starts_with(b"<!doctype html>\n"), "{name}: no quirks");
        assert_eq!(all(&page, "h1").len(), 1, "{name}: one h1");
        assert_eq!(all(&page, "main").len(), 1, "{name}: one main");
        assert_eq!(page.root_element().attr("lang").map(str::as_bytes), Some(language.as_bytes()), "{name}");
        assert!(!all(&page, "title")[0].inner_html().is_empty(), "{name}: a title");
        assert_eq!(all(&page, r#"meta[name="robots"][content="noindex, nofollow"]"#).len(), 1, "{name}");
        assert!(all(&page, "[autofocus]").len() <= 1, "{name}: one place to start");
        for input in all(&page, "input:not([type=hidden])") {
            let id = input.attr("id").expect("an id");
            assert_eq!(all(&page, &format!("label[for={id}]")).len(), 1, "{name}: label of {id}");
            let complete = input.attr("autocomplete").is_some() || input.attr("type") == Some("checkbox");
            assert!(complete, "{name}: {id} says what to fill in");
            assert!(
                input.attr("type") != Some("password") || input.attr("value") == Some(""),
                "{name}: {id}"
            );
        }
        for described in all(&page, "[aria-describedby]") {
            for id in described.attr("aria-describedby").unwrap_or_default().split(' ') {
                assert_eq!(all(&page, &format!("#{id}")).len(), 1, "{name}: {id} describes");
            }
        }
        for wrong in all(&page, "[aria-invalid]") {
            assert!(wrong.attr("aria-describedby").is_some_and(|ids| ids.starts_with("alert")), "{name}");
        }
        let ids: Vec<_> = all(&page, "[id]").iter().filter_map(|element| element.attr("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: ids are unique");
        for form in all(&page, "form") {
            assert_eq!(form.attr("method"), Some("post"), "{name}");
            let csrf = Selector::parse("input[type=hidden][name=csrf][value='/sample']").expect("a selector");
            assert_eq!(form.select(&csrf).count(), 1, "{name}: the token");
        }
        for element in all(&page, "*") {
            for (attribute, value) in element.value().attrs() {
                assert!(attribute != "style" && !attribute.starts_with("on"), "{name}: inline {attribute}");
                if ["href", "src", "action"].contains(&attribute) {
                    assert!(
                        value.starts_with('/') && !value.starts_with("//"),
                        "{name}: {attribute}={value}"
                    );
                }
            }
        }
        assert!(all(&page, "style, script:not([src])").is_empty(), "{name}: inline");
        assert!(!text(&page).contains(['{', '}']), "{name}: nothing left unfilled");
    });
}

#[test]
fn every_page_carries_the_headers_of_the_contract() {
    #[rustfmt::skip]
    let expected = [
        ("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"), ("x-robots-tag", "noindex, nofollow"),
        ("content-type", "text/html; charset=utf-8"), ("content-security-policy", CONTENT_SECURITY_POLICY),
    ];
    every_page(&ours(), "/sample", |name, response| {
        for (header, value) in expected {
            assert_eq!(response.headers()[header], value, "{name}");
        }
        assert_eq!(response.headers()["content-length"], response.body().len().to_string(), "{name}");
        let vary = response.headers()["vary"].to_str().expect("text");
        assert!(vary.contains("Accept-Language") && vary.contains("Cookie"), "{name}: {vary}");
        let limited = response.headers().contains_key("retry-after");
        assert_eq!(limited, [429, 503].contains(&response.status().as_u16()), "{name}");
    });
}

/// The elements and attribute names of a page, without any values.
fn skeleton(response: &Response<Bytes>) -> Vec<String> {
    let page = html(response);
    let shape = |element: &ElementRef<'_>| {
        let mut attributes: Vec<_> = element.value().attrs().map(|(name, _)| name).collect();
        attributes.sort_unstable();
        format!("{} {attributes:?}", element.value().name())
    };
    all(&page, "*").iter().map(shape).collect()
}

fn assert_same_skeleton(pages: &Pages, harmless: &[Vec<String>], value: &str) {
    let mut seen = harmless.iter();
    every_page(pages, value, |name, response| {
        assert_eq!(Some(&skeleton(response)), seen.next(), "{name} with {:.80?}", value);
        for (header, content) in response.headers() {
            assert!(!content.as_bytes().windows(4).any(|bytes| bytes == b"evil"), "{name}: {header}");
        }
    });
}

fn harmless(pages: &Pages) -> Vec<Vec<String>> {
    let mut skeletons = Vec::new();
    every_page(pages, "/harmless", |_, response| skeletons.push(skeleton(response)));
    skeletons
}

#[test]
fn hostile_values_stay_text() {
    let pages = ours();
    let harmless = harmless(&pages);
    #[rustfmt::skip]
    let table = [
        "\"><script>evil()</script>", "'><img src=x onerror=evil()>", "</title><script>evil()</script>",
        "evil\r\nSet-Cookie: evil=1\r\n\r\n<script>", "\" autofocus onfocus=\"evil()", "javascript:evil()", "//evil.example",
        "/\\evil.example", "https://evil.example/", "{{ evil }}{% include 'evil' %}", "{ $evil }", "--><svg/onload=evil()>",
        "</textarea></main>evil", "evil\u{0}\u{202e}\u{feff}", "&quot;&#62;evil",
    ];
    for value in table {
        assert_same_skeleton(&pages, &harmless, value);
    }
}

#[test]
fn hostile_values_are_shown_as_they_were_typed() {
    let pages = ours();
    let language = pages.language(None, None, None);
    let hostile = &*"\"><script>alert('x')</script>&amp;".repeat(3_000);
    let page = Page::SignIn {
        username: hostile,
        next: hostile,
        csrf: "c",
        error: None,
        remember: None,
        notice: None,
    };
    let page = html(&pages.render(page, &around(&language)));
    assert_eq!(all(&page, "#username")[0].attr("value"), Some(hostile));
    assert_eq!(all(&page, "input[name=next]")[0].attr("value"), Some(hostile));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn no_value_changes_what_a_page_is_made_of(value in "[a-z/]\\PC{0,40}[\"'<>&=` ]{0,4}\\PC{0,8}x") {
        let pages = ours();
        assert_same_skeleton(&pages, &harmless(&pages), &value);
    }
}

#[test]
fn the_language_link_keeps_next() {
    let pages = ours();
    let french = pages.language(Some("fr"), None, None);
    let page = html(&pages.render(Page::SignedOut, &around(&french)));
    let links = all(&page, "a[hreflang]");
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].attr("href"), Some("/_gate/login?next=/a%3Fb&lang=en"));
    assert_eq!((links[0].attr("lang"), links[0].inner_html()), (Some("en"), "English".to_owned()));
    let nowhere = Around { here: None, ..around(&french) };
    assert!(all(&html(&pages.render(Page::SignedOut, &nowhere)), "a[hreflang]").is_empty());
}

#[test]
fn a_switched_off_forgotten_password_is_not_linked_to() {
    let pages = ours();
    let language = pages.language(None, None, None);
    let sign_in =
        Page::SignIn { username: "", next: "/a?b", csrf: "", error: None, remember: None, notice: None };
    for page in [sign_in, Page::ResetDead { reason: DeadLink::Expired }] {
        for on in [true, false] {
            let response = pages.render(page, &Around { forgot_password: on, ..around(&language) });
            let links = all(&html(&response), "a[href^='/_gate/forgot-password']").len();
            assert_eq!(links, usize::from(on), "{page:?}");
        }
    }
    let response = pages.render(sign_in, &around(&language));
    assert_eq!(
        all(&html(&response), "a[href='/_gate/forgot-password?next=/a%3Fb']").len(),
        1,
        "next goes along"
    );
}

#[test]
fn a_script_hears_the_same_words() {
    let pages = ours();
    #[rustfmt::skip]
    let table = [
        ("en", Page::ForgotPasswordSent { next: "", certain: false },
         "If an account has that name, a message with a link is on its way to its e-mail address."),
        ("en", Page::ResetPassword { username: "", csrf: "", error: Some(ResetError::Rejected { reason: " <b>No</b> " }) },
         "The site did not accept the new password. This is its reason: <b>No</b>"),
        ("fr", Page::Error { kind: ErrorKind::TooManyRequests { retry_after: MINUTE * 3 }, retry: None },
         "Un très grand nombre de requêtes est venu de votre réseau. Veuillez patienter et réessayer dans 3 minutes."),
        ("en", Page::Error { kind: ErrorKind::Unavailable { retry_after: Duration::from_millis(1) }, retry: None },
         "The site is busy or being worked on. Please try again in one minute."),
        ("en", Page::Account { username: "", csrf: "", sessions: &[], change: None }, "Your account"),
    ];
    for (tag, page, expected) in table {
        let language = pages.language(Some(tag), None, None);
        assert_eq!(pages.detail(page, &around(&language)), expected);
    }
    let response =
        json_error(ErrorKind::Misdirected.status(), "x\"y", "a\r\n<b>", "", [("status", "no".into())]);
    assert_eq!(response.body(), &r#"{"detail":"a\r\n<b>","status":"x\"y"}"#);
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (421, &"application/json".parse().expect("a value"))
    );
}

#[test]
fn every_message_is_used_and_every_used_message_exists() {
    let [(_, english), _] = catalogue::EMBEDDED;
    let ids: BTreeSet<&str> = english
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(" ="))
        .map(|(id, _)| id)
        .collect();
    // A language in which each message says its own id and what is put into it.
    let mut odd = String::new();
    for id in &ids {
        let inner: &[&str] = match *id {
            "page-title" => &["title"],
            "page-title-error" => &["page"],
            "in-span" => &["span"],
            "account-session-times" => &["age", "idle"],
            "sign-out-text" => &["site"],
            "limited" | "error-too-many-text" | "error-unavailable-text" | "error-maintenance-text" => {
                &["wait"]
            }
            _ => &[],
        };
        let inner: String = inner.iter().map(|name| format!("{{ ${name} }}")).collect();
        odd.push_str(&format!("{id} = ⟦{id}⟧{inner}\n"));
    }
    let folder = folder(&[("messages/qps.ftl", &odd)]);
    let settings = Settings { default_language: "qps".to_owned(), ..settings(&folder) };
    let pages = Pages::load(&settings).expect("fine");
    let mut used = BTreeSet::new();
    let mut collect = |response: &Response<Bytes>| {
        let body = String::from_utf8(response.body().to_vec()).expect("UTF-8");
        for piece in body.split('⟦').skip(1) {
            used.insert(piece.split('⟧').next().unwrap_or_default().to_owned());
        }
    };
    every_page(&pages, "/sample", |_, response| collect(response));
    let around = Around { site_name: None, ..around(&pages.languages[0]) };
    collect(&pages.render(Page::SignOut { csrf: "", next: "" }, &around));
    // Those of the gate's mails are `mail::templates`' to use.
    let ids: BTreeSet<&str> = ids.into_iter().filter(|id| !id.starts_with("mail-")).collect();
    assert_eq!(used.iter().map(String::as_str).collect::<BTreeSet<_>>(), ids);
}

#[test]
fn colours_are_far_enough_apart_to_read() {
    let css = include_str!("assets/gate.css");
    let channel = |hex: &str| {
        let value = f64::from(u8::from_str_radix(hex, 16).expect("hex")) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = |name: &str, scheme: usize| {
        let value = css.split(&format!("--{name}: #")).nth(scheme + 1).unwrap_or_else(|| panic!("{name}"));
        0.2126 * channel(&value[0..2]) + 0.7152 * channel(&value[2..4]) + 0.0722 * channel(&value[4..6])
    };
    // WCAG 2.2: 4.5 for text (1.4.3), 3 for what shows a control or its state (1.4.11).
    #[rustfmt::skip]
    let table = [
        ("ink", "card", 4.5), ("ink", "field", 4.5), ("ink", "wrong-ground", 4.5), ("ink", "note-ground", 4.5),
        ("quiet", "card", 4.5), ("quiet", "ground", 4.5), ("quiet", "field", 4.5), ("leaf", "card", 4.5), ("leaf", "ground", 4.5),
        ("leaf", "ground-edge", 4.5), ("leaf-strong", "card", 4.5), ("on-leaf", "leaf", 4.5), ("on-leaf", "leaf-strong", 4.5),
        ("note", "card", 4.5), ("field-line", "card", 3.0), ("field-line", "field", 3.0), ("wrong", "card", 3.0),
        ("wrong", "wrong-ground", 3.0), ("note", "note-ground", 3.0),
    ];
    for (scheme, name) in ["light", "dark"].iter().enumerate() {
        for (front, back, least) in table {
            let (a, b) = (luminance(front, scheme), luminance(back, scheme));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= least, "{name}: {front} on {back} is {contrast:.2}");
        }
    }
}

#[test]
fn assets_are_kept_for_good_under_the_name_of_their_content() {
    let pages = ours();
    let language = pages.language(None, None, None);
    let page = html(&pages.render(Page::SignedOut, &around(&language)));
    let mut seen = 0;
    for element in all(&page, "link[href], script[src], img[src]") {
        let address = element.attr("href").or(element.attr("src")).expect("an address");
        let name = address.strip_prefix("/_gate/assets/").expect("ours");
        let asset = pages.asset(name).expect(name);
        assert_eq!(asset.cache_control, "public, max-age=31536000, immutable", "{name}");
        let response = Response::from(asset);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        seen += 1;
    }
    assert_eq!(seen, 4);
    #[rustfmt::skip]
    let table = [
        ("gate.css", Some("no-cache")), ("gate.0123456789abcdef.css", Some("no-cache")),
        ("gate.0123456789abcdef.js", Some("no-cache")), ("gate.xyz.css", None), ("", None), (".", None), ("../gate.css", None),
        ("gate.0123456789abcdef.png", None), ("other.css", None), ("templates/base.html", None),
    ];
    for (name, expected) in table {
        assert_eq!(pages.asset(name).map(|asset| asset.cache_control), expected, "{name}");
    }
}

// The operator's own files.

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    folder
}

fn settings(folder: &tempfile::TempDir) -> Settings {
    Settings { templates: Some(folder.path().to_owned()), ..Settings::default() }
}

#[test]
fn an_operators_files_replace_ours_one_by_one() {
    let folder = folder(&[
        (
            "message.html",
            "{% extends 'base.html' %}{% block content %}<p class=mine>{{ text }}</p><img src=\"{{ asset('logo.png') }}\" alt=\"\">{% include '_part.html' %}{% endblock %}",
        ),
        ("_part.html", "<i>{{ site }}</i>"),
        ("messages/en.ftl", "signed-out-title = Bye\n"),
        ("messages/de.ftl", "language-name = Deutsch\nsigned-out-title = Abgemeldet\nown = Eigenes\n"),
        ("assets/logo.png", "PNG"),
        ("assets/gate.css", "body{}"),
        ("assets/page.html", "not served"),
        ("signin.html", "a slip"),
        ("notes.txt", "{% not a template"),
    ]);
    let pages = Pages::load(&settings(&folder)).expect("fine");
    let show = |tag: &str, page| {
        let language = pages.language(Some(tag), None, None);
        html(&pages.render(page, &around(&language)))
    };
    let out = show("en", Page::SignedOut);
    assert_eq!(all(&out, "h1")[0].inner_html(), "Bye");
    assert_eq!((all(&out, "p.mine").len(), all(&out, "i")[0].inner_html()), (1, "Intranet".to_owned()));
    let logo =
        all(&out, "p.mine + img")[0].attr("src").expect("an address").rsplit('/').next().expect("a name");
    assert_eq!(
        pages.asset(logo).map(|asset| (asset.bytes, asset.content_type)),
        Some(("PNG".into(), "image/png"))
    );
    assert_eq!(pages.asset("gate.css").map(|asset| asset.bytes), Some("body{}".into()));
    assert_eq!(pages.asset("page.html"), None);
    assert_eq!(all(&show("de", Page::SignedOut), "h1")[0].inner_html(), "Abgemeldet");
    let account = Page::Account { username: "jdoe", csrf: "", sessions: &[], change: None };
    assert_eq!(all(&show("de-AT", account), "h1")[0].inner_html(), "Your account", "unsaid stays English");
    assert_eq!(all(&show("fr", account), "h1")[0].inner_html(), "Votre compte", "the others stay ours");
    let warnings: Vec<_> = pages.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings[0].contains("signin.html: replaces no page of the gate; did you mean sign-in.html?"));
    assert!(
        warnings[1].contains("de.ftl: ") && warnings[1].contains("messages are missing and stay English")
    );
}

#[test]
fn a_mistake_in_an_operators_file_is_told_with_file_and_line() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &str, &str)] = &[
        ("a tag that is no tag", "sign-in.html", "<p>\n{% iff %}", "sign-in.html:2: the template cannot be used: "),
        ("a tag left open", "error.html", "{% if text %}\n\n", "error.html:"),
        ("an unknown name", "message.html", "a\nb\n{{ txet }}", "message.html:3: the template cannot be used: "),
        ("an unknown name in a block", "account.html", "{% extends 'base.html' %}\n{% block content %}\n{{ usrname }}{% endblock %}", "account.html:3: "),
        ("an unknown message", "sign-out.html", "\n{{ t('sign-off') }}", "sign-out.html:2: the template cannot be used: message `sign-off` (en): there is no such message"),
        ("an unknown asset", "base.html", "{{ asset('logo.svg') }}", "base.html:1: the template cannot be used: there is no asset \"logo.svg\""),
        ("an unknown part", "message.html", "\n{% include 'part.html' %}", "message.html:2: "),
        ("a forgotten variable", "sign-out.html", "{{ t('sign-out-text') }}", "sign-out.html:1: the template cannot be used: message `sign-out-text` (en): "),
        ("no message at all", "messages/fr.ftl", "# fine\nfine = Oui\n\nthis is nothing\n", "fr.ftl:4: this is no Fluent message: "),
        ("an unknown variable in a message", "messages/fr.ftl", "sign-in-title = Chez { $who }\n", "message `sign-in-title` (fr): "),
        ("a language without a name", "messages/de.ftl", "sign-in-title = Anmelden\n", "de.ftl: a new language must say its own name"),
        ("no language", "messages/klingon_x.ftl", "a = b\n", "klingon_x.ftl: `klingon_x` is no language tag"),
    ];
    for (name, file, content, expected) in table {
        let folder = folder(&[(file, content)]);
        let error = Pages::load(&settings(&folder)).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}:\n{error}\nshould contain\n{expected}");
        if expected.contains(".html:") || expected.contains(".ftl:") {
            assert!(error.starts_with(&*folder.path().to_string_lossy()), "{name}: {error}");
        }
    }
}

#[test]
fn a_folder_or_language_that_is_not_there_is_told() {
    let folder = folder(&[]);
    let missing = Settings { templates: Some(folder.path().join("gone")), ..Settings::default() };
    let unknown = Settings { default_language: "de".to_owned(), ..Settings::default() };
    let not_offered = Settings { languages: vec!["fr".to_owned()], ..Settings::default() };
    #[rustfmt::skip]
    let table = [
        (missing, "gone: `[pages] templates` must be a folder that can be read"),
        (unknown, "names the language `de`, but there is only: en, fr"),
        (not_offered, "`[pages] languages` must contain the default language, `en`"),
    ];
    for (settings, expected) in table {
        let error = Pages::load(&settings).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_settings_choose_the_languages() {
    let settings: Settings =
        toml::from_str("default_language = \"fr\"\nlanguages = [\"fr\"]").expect("settings");
    let pages = Pages::load(&settings).expect("fine");
    assert_eq!(pages.language(Some("en"), None, Some("en")).as_str(), "fr");
    assert_eq!(
        (pages.asked_language("en"), pages.asked_language("fr-CH").map(|l| l.to_string())),
        (None, Some("fr".to_owned()))
    );
    let page = pages.render(Page::SignedOut, &around(&pages.languages[0]));
    assert!(all(&html(&page), "a[hreflang]").is_empty(), "nothing to switch to");
    assert!(toml::from_str::<Settings>("template = 1").is_err());
}

#[test]
fn when_an_operators_template_fails_ours_is_shown() {
    let source = "{% if username == 'boom' %}{{ nothing }}{% endif %}mine";
    let folder = folder(&[("account.html", source)]);
    let pages = Pages::load(&settings(&folder)).expect("it works for the sample");
    let account = |username| Page::Account { username, csrf: "", sessions: &[], change: None };
    let around = around(&pages.languages[0]);
    assert_eq!(pages.render(account("jdoe"), &around).body(), &"mine");
    let page = pages.render(account("boom"), &around);
    assert_eq!((page.status().as_u16(), all(&html(&page), "h1").len()), (200, 1));
}
