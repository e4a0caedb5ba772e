use super::*;

#[test]
fn patterns_fit_what_they_say() {
    for (pattern, path, expected) in [
        ("/robots.txt", "/robots.txt", true),
        ("/robots.txt", "/robots.txt/x", false),
        ("/robots.txt", "/a/robots.txt", false),
        ("/++resource++**", "/++resource++plone/a.css", true),
        ("/++resource++**", "/docs/++resource++plone", false),
        ("**/++resource++**", "/docs/++resource++plone", true),
        ("/manage**", "/manage_main", true),
        ("/manage**", "/Manage", false),
        ("/docs/*", "/docs/a", true),
        ("/docs/*", "/docs/a/b", false),
        ("/docs/*/edit", "/docs/a/edit", true),
        ("/docs/**", "/docs", true),
        ("/docs/**", "/docs/a/b", true),
        ("/docs/**", "/docsx", false),
        ("/**", "/", true),
        ("/*.css", "/a.css", true),
        ("/*.css", "/a.css/secret", false),
        ("/a**b**c", "/a-b-b-c", true),
        ("/a**b**c", "/a-c-b", false),
        ("/***", "/a/b", true),
        ("/*a*/*b*", "/xax/xbx", true),
        ("/*a*/*b*", "/xax/x/xbx", false),
        ("", "", true),
        ("**", "", true),
        ("/*", "/", true),
    ] {
        assert_eq!(Pattern::parse(pattern).matches(path.as_bytes()), expected, "{pattern} and {path}");
    }
}

#[test]
fn what_a_cms_acquires_is_closed_wherever_it_is_found() {
    let settings: Settings = toml::from_str(
        r#"
        default = "public"
        rules = [
          { path = "/news/**", access = "public" },
          { path = "/projects/secret/**", access = "public" },
          { path = "/secret/**", access = "deny" },
          { path = "/docs/board/*", access = "signed-in" },
          { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
          { path = "/office/**", access = "signed-in" },
          { path = "/private", access = "deny" },
          { path = "/**/manage", access = "deny" },
        ]"#,
    )
    .unwrap();
    let acquires = Settings { acquires: true, ..settings.clone() };
    use Access::{Deny, Public, SignedIn};
    for (path, written, found) in [
        ("/secret/a", Deny, Deny),
        ("/news/a", Public, Public),
        ("/news/secret", Public, Deny),
        ("/news/secret/a", Public, Deny),
        ("/any/secret/a", Public, Deny),
        ("/any/other/secret/a/b", Public, Deny),
        ("/Plone/secret/", Public, Deny),
        ("/++api++/secret/a", Public, Deny),
        ("/any/secretly/a", Public, Public),
        ("/any/xsecret/a", Public, Public),
        // A place that is named is what it is called, but not what is found behind it.
        ("/projects/secret/a", Public, Public),
        ("/projects/secret/tool/secret/a", Public, Deny),
        ("/any/projects/secret/a", Public, Deny),
        ("/docs/board/a", SignedIn, SignedIn),
        ("/docs/any/board/a", Public, SignedIn),
        ("/docs/any/board/other/a", Public, SignedIn),
        ("/board/docs/a", Public, Public),
        ("/news/private", Public, Deny),
        ("/private/a", Public, Public),
        ("/any/manage", Deny, Deny),
        ("/", Public, Public),
    ] {
        let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
        assert_eq!(settings.access(path.as_bytes(), from), written, "{path}");
        assert_eq!(acquires.access(path.as_bytes(), from), found, "{path}, acquired");
    }
    for (path, inside, outside) in [("/office/a", Public, SignedIn), ("/news/office/a", Public, SignedIn)] {
        for (client, want) in [("10.0.0.1", inside), ("192.0.2.1", outside)] {
            let from = From { client: client.parse().unwrap(), certificate: false };
            assert_eq!(acquires.access(path.as_bytes(), from), want, "{path} from {client}");
        }
        assert!(acquires.depends_on_place(path.as_bytes()), "{path} is no cache's to keep");
    }
    let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
    assert_eq!(settings.access_below(b"/news/docs", from), Public);
    assert_eq!(acquires.access_below(b"/news/docs", from), SignedIn, "a folder that was found elsewhere");
}

#[test]
fn what_leads_nowhere_else_opens_nothing_else() {
    let settings: Settings = toml::from_str(
        r#"
        rules = [
          { path = "/", access = "public" },
          { path = "/news/**", access = "public" },
          { path = "/style.css", access = "public" },
          { path = "/++webresource++**", access = "public" },
          { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
        ]"#,
    )
    .unwrap();
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let settings = Settings {
        acquires: true,
        transparent: strings(&["++webresource++", "++api++"]),
        resources: strings(&["++theme++"]),
        root: Some(b"Plone".to_vec()),
        ..settings
    }
    .with_view_prefixes(&["@@".to_owned()]);
    use Access::{Deny, Public, SignedIn};
    for (row, path, access) in [
        ("a page", "/++webresource++x/docs/a", SignedIn),
        ("twice", "/++webresource++x/++api++/docs/a", SignedIn),
        ("before a view", "/++webresource++x/@@view", SignedIn),
        ("before another namespace", "/++webresource++x/++view++view", SignedIn),
        ("a page below which a file seems to lie", "/++webresource++x/docs/++theme++b/a.css", SignedIn),
        ("a resource without a name", "/++webresource++x/++theme++/docs", SignedIn),
        ("behind what is open", "/++webresource++x/style.css/++api++/docs", SignedIn),
        ("a style", "/++webresource++h/++theme++b/a.css", Public),
        ("a style behind two", "/++webresource++h/++api++/++theme++b/a.css", Public),
        ("a file that is open", "/++webresource++x/style.css", Public),
        ("the front page, which is open", "/++webresource++x", Public),
        ("an open folder", "/news/++api++/a", Public),
        ("a view of the root", "/news/Plone/@@view", SignedIn),
        ("an open view below it", "/news/@@view", Public),
        ("the root itself, which is open", "/news/Plone", Public),
        ("the root, prefixed", "/news/@@Plone/@@view", SignedIn),
        ("the root before what takes more names", "/news/Plone/@@view/Plone", SignedIn),
        ("the root behind what leads nowhere", "/news/Plone/++api++/@@view", SignedIn),
        ("an open page of the root", "/Plone/news/a", SignedIn),
        ("an open page of the root below another", "/news/Plone/news/a", Public),
        ("a longer name", "/news/Plone2/@@view", Public),
        ("more roots than any page has", "/news/Plone/Plone/Plone/Plone/Plone/Plone/Plone/Plone/news", Deny),
    ] {
        let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
        assert_eq!(settings.access(path.as_bytes(), from), access, "{row}: {path}");
    }
    assert!(settings.depends_on_place(b"/++api++/office"), "no cache's to keep");
    let settings: Settings =
        toml::from_str("default = \"public\"\nrules = [{ path = \"/docs/old/**\", access = \"deny\" }]")
            .unwrap();
    let settings = Settings { acquires: true, root: Some(b"Plone".to_vec()), ..settings };
    let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
    assert_eq!(settings.access_below(b"/news/Plone", from), Deny, "all that is below the root");
}

#[test]
fn no_other_name_of_a_path_is_left_open() {
    let settings: Settings = toml::from_str(
        r#"
        default = "public"
        rules = [
          { path = "/a/@@open", access = "public" },
          { path = "/board", access = "deny" },
          { path = "**/sharing", access = "deny" },
          { path = "**/@@history/**", access = "deny" },
          { path = "**/manage", networks = ["10.0.0.0/8"], access = "signed-in" },
          { path = "/views/@@*", access = "deny" },
        ]"#,
    )
    .unwrap();
    let settings = settings.with_view_prefixes(&["@@".to_owned(), "++view++".to_owned()]);
    let acquires = Settings { acquires: true, ..settings.clone() };
    use Access::{Deny, Public};
    for (path, access, found) in [
        ("/board", Deny, Deny),
        ("/board/", Deny, Deny),
        ("/board/x", Public, Public),
        ("/news/board/", Public, Deny),
        ("/manage/", Deny, Deny),
        ("/docs/manage/", Deny, Deny),
        ("/docs/@@sharing", Deny, Deny),
        ("/docs/++view++sharing/", Deny, Deny),
        ("/docs/@@++view++@@sharing", Deny, Deny),
        ("/docs/@@sharing2", Public, Public),
        ("/docs/@@history", Deny, Deny),
        ("/docs/history/1", Deny, Deny),
        ("/docs/histories", Public, Public),
        ("/views/@@a", Deny, Deny),
        ("/views/a", Public, Public),
        ("/a/@@open", Public, Public),
        ("/", Public, Public),
        ("/@@", Public, Public),
    ] {
        let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
        assert_eq!(settings.access(path.as_bytes(), from), access, "{path}");
        assert_eq!(acquires.access(path.as_bytes(), from), found, "{path}, acquired");
    }
    assert!(settings.depends_on_place(b"/docs/manage/"), "no cache's to keep");
    // What opens a path opens just that: another name of it is what the other rules say.
    let settings: Settings = toml::from_str(
        r#"rules = [{ path = "**/@@images/**", access = "public" }, { path = "/robots.txt", access = "public" }]"#,
    )
    .unwrap();
    let settings = settings.with_view_prefixes(&["@@".to_owned()]);
    for (path, access) in [
        ("/a/@@images/b", Public),
        ("/a/images/b", Access::SignedIn),
        ("/robots.txt", Public),
        ("/robots.txt/", Access::SignedIn),
    ] {
        let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
        assert_eq!(settings.access(path.as_bytes(), from), access, "{path}");
    }
}

#[test]
fn parameters_of_a_segment_hide_no_name() {
    let settings: Settings = toml::from_str(
        "default = \"public\"\nrules = [{ path = \"/open/**\", access = \"public\" }, { path = \"/secret/**\", access = \"deny\" }]",
    )
    .unwrap();
    for (path, access) in [
        ("/secret;x=1/a", Access::Deny),
        ("/;x/secret/a", Access::Deny),
        ("/secret;/a", Access::Deny),
        ("/secret;/", Access::Deny),
        ("/open/a;b/c", Access::Public),
        ("/;secret", Access::Public),
    ] {
        let from = From { client: "192.0.2.1".parse().unwrap(), certificate: false };
        assert_eq!(settings.access(path.as_bytes(), from), access, "{path}");
    }
}

#[test]
fn no_path_makes_a_pattern_slow() {
    // Backtracking took time that grew with the length to the power of the stars: a year for this one.
    let pattern = Pattern::parse(&"**a*".repeat(12));
    assert!(pattern.matches("a".repeat(8 * 1024).as_bytes()));
    assert!(!Pattern::parse(&("**a*".repeat(12) + "c")).matches("a".repeat(8 * 1024).as_bytes()));
}

#[test]
fn what_depends_on_where_a_visitor_comes_from_is_known() {
    let settings: Settings = toml::from_str(
        r#"
        rules = [
          { path = "/open/**", access = "public" },
          { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
          { path = "/open/**", networks = ["10.0.0.0/8"], access = "deny" },
          { path = "/card/**", client_certificate = true, access = "public" },
        ]"#,
    )
    .unwrap();
    for (path, expected) in [("/open/a", false), ("/office/a", true), ("/card/a", true), ("/docs", false)] {
        assert_eq!(settings.depends_on_place(path.as_bytes()), expected, "{path}");
    }
}

#[test]
fn the_strictest_rule_below_a_folder_is_known() {
    let settings: Settings = toml::from_str(
        r#"
        default = "public"
        rules = [
          { path = "/docs/open/**", access = "public" },
          { path = "/docs/closed/**", access = "deny" },
          { path = "/docs/office/**", networks = ["10.0.0.0/8"], access = "signed-in" },
          { path = "/media/*/private", access = "signed-in" },
          { path = "**/manage**", access = "deny" },
        ]"#,
    )
    .unwrap();
    for (path, inside, outside) in [
        ("/", Access::Deny, Access::Deny),
        ("/docs", Access::Deny, Access::Deny),
        ("/docs/", Access::Deny, Access::Deny),
        ("/docs/open", Access::Public, Access::Public),
        ("/docs/closed", Access::Deny, Access::Deny),
        ("/docs/office/", Access::SignedIn, Access::Deny),
        ("/doc", Access::Public, Access::Public),
        ("/media", Access::SignedIn, Access::SignedIn),
    ] {
        for (client, want) in [("10.0.0.1", inside), ("192.0.2.1", outside)] {
            let from = From { client: client.parse().unwrap(), certificate: false };
            assert_eq!(settings.access_below(path.as_bytes(), from), want, "{path} from {client}");
        }
    }
}

#[test]
fn the_first_rule_that_fits_path_and_network_decides() {
    let settings: Settings = toml::from_str(
        r#"
        default = "signed-in"
        rules = [
          { path = "/robots.txt", access = "public" },
          { path = "/manage**", networks = ["127.0.0.0/8"], access = "signed-in" },
          { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
          { path = "/office/**", access = "signed-in" },
          { path = "/old/**", access = "deny" },
          { path = "/admin/**", networks = ["10.0.0.0/8"], client_certificate = true, access = "signed-in" },
        ]"#,
    )
    .unwrap();
    for (name, path, client, access) in [
        ("public by rule", "/robots.txt", "192.0.2.1", Access::Public),
        ("nothing else is", "/robots.txt2", "192.0.2.1", Access::SignedIn),
        ("named network", "/manage_main", "127.0.0.1", Access::SignedIn),
        ("a path named for networks is closed to others", "/manage_main", "192.0.2.1", Access::Deny),
        ("open inside", "/office/a", "10.1.1.1", Access::Public),
        ("a later rule opens it to others", "/office/a", "192.0.2.1", Access::SignedIn),
        ("denied", "/old/a", "127.0.0.1", Access::Deny),
        ("default", "/docs", "192.0.2.1", Access::SignedIn),
        ("the network alone", "/admin/a", "10.1.1.1", Access::Deny),
    ] {
        let from = From { client: client.parse().unwrap(), certificate: false };
        assert_eq!(settings.access(path.as_bytes(), from), access, "{name}");
    }
    for (client, access) in [("10.1.1.1", Access::SignedIn), ("192.0.2.1", Access::Deny)] {
        let from = From { client: client.parse().unwrap(), certificate: true };
        assert_eq!(settings.access(b"/admin/a", from), access, "a certificate from {client}");
    }
}
