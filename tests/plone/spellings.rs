//! Every way to Plone's mail code but the gate's own page.
//!
//! Each is sent to Plone directly as well: one that sends no mail there either would prove nothing here.

use http::Method;

use crate::plone::{Plone, unique};
use crate::support::browser::Browser;

const FORM: &str = "application/x-www-form-urlencoded";

/// A request; `{user}` in it is whose mail is asked for.
struct Way {
    path: &'static str,
    body: Option<(&'static str, String)>,
    /// Whether Plone 6.0 sends a mail for it.
    mails: bool,
}

fn get(path: &'static str) -> Way {
    Way { path, body: None, mails: true }
}

fn post(path: &'static str, kind: &'static str, body: impl Into<String>) -> Way {
    Way { path, body: Some((kind, body.into())), mails: true }
}

impl Way {
    fn without_mail(mut self) -> Self {
        self.mails = false;
        self
    }

    async fn go(&self, browser: &mut Browser, below: &str, user: &str) -> u16 {
        let path = format!("{below}{}", self.path.replace("{user}", user));
        let body = self.body.as_ref().map(|(kind, body)| (*kind, body.replace("{user}", user).into_bytes()));
        let method = if body.is_some() { Method::POST } else { Method::GET };
        browser.send(method, &path, body).await.status.as_u16()
    }
}

fn ways() -> Vec<Way> {
    let mut ways = vec![
        // By the path, below any content, with any prefix, in any encoding.
        get("/mail_password?userid={user}"),
        get("/mail_password/?userid={user}"),
        get("/@@mail_password?userid={user}"),
        get("/++view++mail_password?userid={user}"),
        get("/docs/handbook/mail_password?userid={user}"),
        get("/docs//mail_password?userid={user}"),
        get("/docs/%6dail_password?userid={user}"),
        get("/docs/%40%40mail%5Fpassword?userid={user}"),
        get("/acl_users/@@mail_password?userid={user}"),
        get("/portal_registration/mailPassword?login={user}"),
        get("/docs/portal_registration/mailPassword?login={user}"),
        get("/login-help?form.widgets.reset_password={user}&form.buttons.reset=1"),
        get("/@@login-help?form.widgets.reset_password={user}&form.buttons.reset=1"),
        // By the name of a field in the query.
        get("/docs?mail_password:method=x&userid={user}"),
        get("/docs?mail%5Fpassword%3Amethod=x&userid={user}"),
        get("/docs?@@mail_password:action=&userid={user}"),
        get("/docs?:method=mail_password&userid={user}"),
        get("/docs?:default_method=mail_password&userid={user}"),
        get("/?:default_action=mail_password&userid={user}"),
        get("/?portal_registration/mailPassword:method=&login={user}"),
        get("/docs?userid={user}&handbook/../mail_password:method="),
        get("/docs?userid={user}&:method=a;/../mail_password"),
        get("/docs?userid={user}&a=b;mail_password:method=x").without_mail(),
    ];
    let fields = [
        ("/mail_password", "userid={user}"),
        ("/docs/@@mail_password", "userid={user}"),
        ("/portal_registration/mailPassword", "login={user}"),
        ("/login-help", "form.widgets.reset_password={user}&form.buttons.reset=1"),
        ("/docs", "userid={user}&mail_password:method=x"),
        ("/docs", "userid={user}&:method=a;/../mail_password"),
        ("/docs", "userid={user}&mail_password:method:int=1"),
        ("/docs", "userid={user}&m%61il_password%3amethod=x"),
        ("/docs", "userid={user}&:action=mail_password"),
        ("/docs", "userid={user}&:default_method=handbook/@@mail_password"),
        ("/docs", "login={user}&portal_registration/mailPassword:method="),
    ];
    for (path, body) in fields {
        ways.push(post(path, FORM, body));
        ways.push(post(path, "application/x-url-encoded", body));
        ways.push(post(path, MULTIPART, multipart(body)));
    }
    // A name that no reader of a few hundred bytes sees the end of.
    for (before, between, after) in [
        ("/".repeat(3000), String::new(), String::new()),
        ("./".repeat(9000), String::new(), String::new()),
        (String::new(), "/.".repeat(3000), String::new()),
        (String::new(), String::new(), ":int".repeat(700)),
    ] {
        let body = format!("userid={{user}}&{before}mail_password{between}:method{after}=1");
        ways.push(post("/docs", MULTIPART, multipart(&body)));
        ways.push(post("/docs", FORM, body));
    }
    // The body says in which letters it is written.
    for (charset, letters) in [
        ("utf-7", (|text| text.replace("m", "%2BAG0-")) as fn(&str) -> String),
        ("UTF-16LE", |text| text.bytes().map(|byte| format!("%{byte:02X}%00")).collect()),
        ("utf-16-be", |text| text.bytes().map(|byte| format!("%00%{byte:02X}")).collect()),
        ("cp037", ebcdic),
        ("utf-8; charset=cp037", ebcdic),
        ("\"cp037\"", ebcdic),
    ] {
        let kind: &'static str = Box::leak(format!("{FORM}; charset={charset}").into_boxed_str());
        let [userid, method, x] = ["userid", "mail_password:method", "x"].map(letters);
        ways.push(post("/docs", kind, format!("{userid}={{user:{charset}}}&{method}={x}")));
    }
    // A field of a multipart body says so of its own value.
    ways.push(post(
        "/docs",
        MULTIPART,
        multipart("userid={user}").replace(
            "--b--",
            "--b\r\nContent-Disposition: form-data; name=\":method\"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+AG0-ail_password\r\n--b--",
        ),
    ));
    // XML-RPC: the body names the method.
    for kind in ["text/xml", "text/xml; charset=utf-8", "application/x; text/xml"] {
        for path in ["/", "/docs"] {
            let call = "<?xml version='1.0'?><methodCall><methodName>portal_registration.mailPassword</methodName><params><param><value><string>{user}</string></value></param></params></methodCall>";
            ways.push(post(path, kind, call));
        }
    }
    // The REST service asks for a right that nobody anonymous has.
    for path in ["/@users/{user}/reset-password", "/++api++/@users/{user}/reset-password"] {
        ways.push(post(path, "application/json", "{}").without_mail());
    }
    ways
}

const MULTIPART: &str = "multipart/form-data; boundary=b";

fn multipart(fields: &str) -> String {
    let mut body = String::new();
    for (name, value) in url::form_urlencoded::parse(fields.as_bytes()) {
        body += &format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    body + "--b--\r\n"
}

/// EBCDIC, code page 037, percent-encoded: letters, digits, `_`, `-` and `:`.
fn ebcdic(text: &str) -> String {
    let code = |byte: u8| match byte {
        b'a'..=b'i' => byte - b'a' + 0x81,
        b'j'..=b'r' => byte - b'j' + 0x91,
        b's'..=b'z' => byte - b's' + 0xa2,
        b'0'..=b'9' => byte - b'0' + 0xf0,
        b'_' => 0x6d,
        b'-' => 0x60,
        b':' => 0x7a,
        other => panic!("{other} is not needed"),
    };
    text.bytes().map(|byte| format!("%{:02X}", code(byte))).collect()
}

/// Puts the user into a body, in its letters.
fn addressed(body: &str, user: &str) -> String {
    let utf16 = |big: bool| {
        user.bytes()
            .map(|byte| if big { format!("%00%{byte:02X}") } else { format!("%{byte:02X}%00") })
            .collect::<String>()
    };
    body.replace("{user:utf-7}", user)
        .replace("{user:UTF-16LE}", &utf16(false))
        .replace("{user:utf-16-be}", &utf16(true))
        .replace("{user:cp037}", &ebcdic(user))
        .replace("{user:utf-8; charset=cp037}", &ebcdic(user))
        .replace("{user:\"cp037\"}", &ebcdic(user))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_spelling_reaches_plones_mail_code() {
    let plone = Plone::new();
    // Everything is public: nothing but the knowledge of these ways stands between.
    let gate = plone.gate_with("[site.access]\ndefault = \"public\"");
    let (mut direct, mut stranger) = (plone.directly(), plone.browser(&gate));
    let mut member = plone.signed_in(&gate, "siteadmin").await;
    let user = plone.user(&["Member"]).await;
    let mut failures = Vec::new();
    for way in ways() {
        let way = Way { body: way.body.as_ref().map(|(kind, body)| (*kind, addressed(body, &user))), ..way };
        let described = || {
            let (kind, body) = way.body.clone().unwrap_or_default();
            format!("{} {kind} {}", way.path, body.chars().take(120).collect::<String>())
        };
        // A mail has left before the page says so: what came is what was sent.
        let before = plone.mails_to(&user).len();
        way.go(&mut direct, "/Plone", &user).await;
        if (plone.mails_to(&user).len() > before) != way.mails {
            failures.push(format!("directly, mails is not {}: {}", way.mails, described()));
        }
        for (who, browser) in [("stranger", &mut stranger), ("member", &mut member)] {
            let before = plone.mails_to(&user).len();
            let status = way.go(browser, "", &user).await;
            if plone.mails_to(&user).len() > before {
                failures.push(format!("{who} got through with {status}: {}", described()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The same ways lead to any page, so rules about paths would be worth nothing either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_spelling_reaches_what_a_rule_denies() {
    let plone = Plone::new();
    let rules = "[site.access]\ndefault = \"public\"\nrules = [{ path = \"**/sitemap\", access = \"deny\" }]";
    let gate = plone.gate_with(rules);
    let mut browser = plone.browser(&gate);
    let heading = "Site Map";
    assert!(plone.directly().get("/Plone/docs?sitemap:method=x").await.text().contains(heading));
    for way in [
        get("/sitemap"),
        get("/docs/sitemap"),
        get("/docs/sitem%61p"),
        get("/docs?sitemap:method=x"),
        get("/docs?handbook/../sitemap:method=x"),
        get("/docs?:method=x;/../sitemap"),
        // Out of the site, and into another's name.
        get("/docs?../../../../../../../manage_main:method=x"),
        get(
            "/docs?../../../../../../../VirtualHostBase/http/evil.example:80/Plone/VirtualHostRoot/docs:method=x",
        ),
        post("/docs", FORM, "sitemap:method=x"),
        post("/docs", MULTIPART, multipart("sitemap:method=x")),
        post("/docs", MULTIPART, multipart(":method=sitemap")),
        post(
            "/docs",
            "application/x-www-form-urlencoded; charset=cp037",
            format!("{}=1", ebcdic("sitemap:method")),
        ),
        post("/docs", "text/xml", "<methodCall><methodName>sitemap</methodName></methodCall>"),
    ] {
        let status = way.go(&mut browser, "", "").await;
        assert_eq!(status, 403, "{} {:?}", way.path, way.body);
    }
}

/// Signing in by the fields of any form, in letters that the gate does not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_password_goes_past_the_gate() {
    let plone = Plone::new();
    let gate = plone.gate_with("[site.access]\ndefault = \"public\"");
    let mut browser = plone.browser(&gate);
    let name = unique("nobody");
    for (kind, body) in [
        (FORM, "__ac_name=siteadmin&__ac_password=Secret1234%21".to_owned()),
        (FORM, "__ac%5Fname=siteadmin&%5F_ac_password=Secret1234%21".to_owned()),
        (FORM, "__ac_name:string=siteadmin&__ac_password:string=Secret1234%21".to_owned()),
        (FORM, format!("x={name}&__ac_name=siteadmin&__ac_password=Secret1234%21")),
        (MULTIPART, multipart("__ac_name=siteadmin&__ac_password=Secret1234%21")),
        (
            "application/x-www-form-urlencoded; charset=utf-7",
            "%2BAF8-_ac_name=siteadmin&%2BAF8-_ac_password=Secret1234%21".to_owned(),
        ),
    ] {
        let direct =
            plone.directly().send(Method::POST, "/Plone/docs", Some((kind, body.clone().into()))).await;
        assert!(direct.text().contains("userrole-manager"), "Plone itself takes {kind} {body}");
        let answer =
            plone.checked(browser.send(Method::POST, "/docs", Some((kind, body.clone().into()))).await);
        assert_eq!(answer.status, 403, "{kind} {body}");
    }
    // Zope looks among the fields for the cookie, too: `siteadmin` and the password, in hexadecimal, in base64.
    let cookie = "/docs?__ac=NzM2OTc0NjU2MTY0NmQ2OTZlOjUzNjU2MzcyNjU3NDMxMzIzMzM0MjE%3D";
    let direct = plone.directly().get(&format!("/Plone{cookie}")).await;
    assert!(direct.text().contains("userrole-manager"), "Plone itself takes a cookie from the query");
    assert_eq!(plone.checked(browser.get(cookie).await).status, 403);
    // And for a header that servers were told to hand down in the place of the one they keep to themselves.
    let (header, basic) = ("cgi-authorization", "Basic c2l0ZWFkbWluOlNlY3JldDEyMzQh");
    let direct = plone.directly().with(header, basic).get("/Plone/docs").await;
    assert!(direct.text().contains("userrole-manager"), "Plone itself takes {header}");
    let answer = plone.checked(plone.browser(&gate).with(header, basic).get("/docs").await);
    assert!(answer.status == 200 && answer.text().contains("userrole-anonymous"), "{header}");
}

/// Zope finds what lies in one folder in every other, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rule_closes_is_found_nowhere_else() {
    let plone = Plone::new();
    let gate = plone.gate_with(
        "[site.access]\ndefault = \"public\"\nrules = [{ path = \"/docs/**\", access = \"deny\" }]",
    );
    let mut browser = plone.browser(&gate);
    for path in [
        "/docs/handbook",
        "/news/docs/handbook",
        "/docs/docs/docs/handbook",
        "/Plone/docs/handbook",
        "/Plone/Plone/news/docs/handbook",
        "/++etc++site/docs/handbook",
        "/portal_url/docs/handbook",
        "/events/docs/handbook/document_view",
    ] {
        let direct = plone.directly().get(&format!("/Plone{path}")).await;
        assert!(
            direct.status == 200 && direct.text().contains("Handbook"),
            "Plone itself shows it at {path}"
        );
        assert_eq!(plone.checked(browser.get(path).await).status, 403, "{path}");
    }
    assert_eq!(plone.checked(browser.get("/news").await).status, 200);
}
