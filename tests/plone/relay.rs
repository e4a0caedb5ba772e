//! Plone knows only its own address, and hands its mail to the gate: all three kinds of it name the public one.

use http::Method;
use serde_json::{Value, json};

use crate::plone::{Mail, PASSWORD, Plone, unique};
use crate::support::browser::Browser;
use crate::support::gate::{Gate, HOST};

/// Plone's mail settings as they were, put back when this is dropped.
struct MailThroughGate<'a> {
    plone: &'a Plone,
    /// The gate that Plone hands its mail to.
    gate: Gate,
    sink: Value,
}

impl<'a> MailThroughGate<'a> {
    async fn begin(plone: &'a Plone) -> Self {
        let settings = plone.api(Method::GET, "@controlpanels/mail", Value::Null).await;
        let sink = settings["data"]["smtp_port"].clone();
        let gate = plone.gate_with(&format!(
            "virtual_hosting = \"rewrite\"\n[mail]\nsend = \"smtp://127.0.0.1:{sink}\"\n[mail.relay]\nlisten = \"127.0.0.1:0\""
        ));
        let port = gate.mail.expect("the gate takes mail").port();
        plone.api(Method::PATCH, "@controlpanels/mail", json!({ "smtp_port": port })).await;
        Self { plone, gate, sink }
    }

    /// The mail, in which no line shows the inside.
    fn checked(&self, mail: Mail) -> Mail {
        for inside in [self.plone.authority.as_str(), "localhost", "/Plone"] {
            for part in [&mail.raw, &mail.subject, &mail.text] {
                assert!(!part.contains(inside), "{inside} in {}", mail.raw);
            }
        }
        assert!(
            mail.raw.starts_with("Received: by ") || mail.raw.contains("\nReceived: by "),
            "{}",
            mail.raw
        );
        mail
    }
}

impl Drop for MailThroughGate<'_> {
    fn drop(&mut self) {
        let sink = json!({ "smtp_port": self.sink });
        // A test runs on a runtime itself, which must not block; another thread may.
        std::thread::scope(|scope| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let settings = self.plone.api(Method::PATCH, "@controlpanels/mail", sink);
            scope.spawn(move || runtime.block_on(settings));
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mail_of_a_plone_that_is_told_nothing_names_the_public_address() {
    let plone = Plone::new();
    let through = MailThroughGate::begin(&plone).await;
    let public = format!("http://{HOST}");

    // Forgotten password: asked for at the gate, and its link sets a new one.
    let user = plone.user(&["Member"]).await;
    let mut browser = plone.browser(&through.gate);
    plone.checked(browser.submit("/_gate/forgot-password", &[("username", &user)]).await);
    let mail = through.checked(plone.mail_to(&user, 1));
    let link = mail.link();
    assert!(link.starts_with(&format!("{public}/passwordreset/")), "{link}");
    let form = opened(&mut browser, &link).await;
    let new = "N3w-Secret-of-theirs";
    let fields = [("username", user.as_str()), ("password", new), ("password_confirm", new)];
    let done = plone.checked(browser.submit(&form, &fields).await);
    assert_eq!(done.status, 200, "{}", done.heading());
    assert_eq!(browser.sign_in(&user, PASSWORD).await.status, 403, "the old one is void");
    assert_eq!(browser.sign_in(&user, new).await.status, 303);

    // Registration: made by a manager, and the link in its mail sets the first password.
    let user = unique("user");
    let account =
        json!({ "username": user, "email": format!("{user}@example.org"), "sendPasswordReset": true });
    plone.api(Method::POST, "@users", account).await;
    let mail = through.checked(plone.mail_to(&user, 1));
    let link = mail.link();
    assert!(link.starts_with(&format!("{public}/passwordreset/")), "{link}");
    let mut browser = plone.browser(&through.gate);
    let form = opened(&mut browser, &link).await;
    let fields = [("username", user.as_str()), ("password", new), ("password_confirm", new)];
    plone.checked(browser.submit(&form, &fields).await);
    assert_eq!(browser.sign_in(&user, new).await.status, 303);

    // Forgotten user name: Plone writes its address in the subject and in the text.
    let address = format!("{user}@example.org");
    let fields = [("form.widgets.recover_username", address.as_str()), ("form.buttons.get_username", "Get")];
    assert_eq!(plone.directly().post("/Plone/login-help", &fields).await.status, 200);
    let mail = through.checked(plone.mail_to(&user, 2));
    assert_eq!(mail.subject, format!("Your username for {public}"));
    assert!(mail.text.contains(&format!("reminded of your username for {public}")), "{}", mail.text);
}

/// The gate's form that a link in a mail leads to.
async fn opened(browser: &mut Browser, link: &str) -> String {
    let path = browser.path_of(link);
    let (path, answer) = browser.follow(&path).await;
    assert_eq!((path.as_str(), answer.status.as_u16()), ("/_gate/reset-password", 200));
    path
}
