//! How the two Plones answer. Pages are templates beside this file; everything else is as observed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::{Canned, Recorded};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Plone43,
    Plone60,
}

/// The site's settings, and what its surroundings do.
#[derive(Clone, Debug)]
pub struct Switches {
    /// Signs in whoever sets a new password (6.0 only; on by default there).
    pub autologin: bool,
    /// The permission "Mail forgotten password" of Anonymous.
    pub anonymous_may_ask: bool,
    /// The mail server takes connections.
    pub mail_server_up: bool,
    /// What `lang` the pages have; texts stay English.
    pub lang: &'static str,
}

/// A mail that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The id of the user it went to.
    pub user: String,
    /// The link in it, as the CMS believes its own address to be.
    pub link: String,
    /// The last line: `X-Forwarded-For`, word for word.
    pub asked_from: String,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Good,
    Expired,
    Used,
}

struct User {
    id: &'static str,
    password: String,
    mail: bool,
}

pub(super) struct Plone {
    version: Version,
    users: BTreeMap<&'static str, User>,
    tokens: BTreeMap<String, (String, TokenState)>,
    pub mails: Vec<Mail>,
    pub switches: Switches,
}

/// One request, as Zope understands it.
struct Ask<'a> {
    recorded: &'a Recorded,
    /// What the site calls itself in links.
    base: String,
    segments: Vec<String>,
    form: Vec<(String, String)>,
    /// Who asks: the id of a user.
    identity: Option<String>,
}

impl Ask<'_> {
    fn field(&self, name: &str) -> &str {
        self.form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.form.iter().any(|(key, _)| key == name)
    }

    fn view(&self) -> &str {
        self.segments.last().map_or("", |last| last.trim_start_matches("@@").trim_start_matches("++view++"))
    }
}

impl Plone {
    pub(super) fn new(version: Version) -> Self {
        let user =
            |login, id, password: &str, mail| (login, User { id, password: password.to_owned(), mail });
        let users = [
            user("jdoe", "jdoe", "Secret1234!", true),
            user("nomail", "nomail", "Secret1234!", false),
            user("badmail", "badmail", "Secret1234!", false),
            user("norole", "norole", "Secret1234!", true),
            user("siteadmin", "siteadmin", "Secret1234!", true),
            user("login.name", "u1001", "Secret1234!", true),
            user("umlaut", "umlaut", "Pässwörd1234!", true),
            user("admin", "admin", "admin", true),
        ];
        let switches =
            Switches { autologin: true, anonymous_may_ask: true, mail_server_up: true, lang: "en" };
        Self { version, users: users.into(), tokens: BTreeMap::new(), mails: Vec::new(), switches }
    }

    pub(super) fn add_user(&mut self, login: &str) {
        let user = User { id: "one-of-many", password: "Secret1234!".to_owned(), mail: true };
        self.users.insert(Box::leak(login.to_owned().into_boxed_str()), user);
    }

    pub(super) fn issue_token(&mut self, login: &str, state: TokenState) -> String {
        let token = format!("{:032x}", 0x00c0_ffee_u128 + self.tokens.len() as u128);
        self.tokens.insert(token.clone(), (login.to_owned(), state));
        token
    }

    pub(super) fn password_of(&self, login: &str) -> Option<String> {
        self.users.get(login).map(|user| user.password.clone())
    }

    pub(super) fn answer(&mut self, recorded: &Recorded) -> Canned {
        if self.version == Version::Plone43 && recorded.headers.contains_key("transfer-encoding") {
            return text(400, "Bad Request").header("connection", "close");
        }
        let Some(ask) = self.understand(recorded) else { return text(404, "Not Found") };
        let view = ask.view().to_owned();
        match view.as_str() {
            "login" | "login_form" | "failsafe_login" | "logged_in" => self.login(&ask, &view),
            "logout" => self.logout(&ask),
            "logged_out" | "logged-out" => self.page(&ask, &view, "You are now logged out", "", ""),
            "require_login" => self.require_login(&ask),
            "insufficient-privileges" => self.page(&ask, &view, "Insufficient Privileges", "", ""),
            "isAnonymousUser" if ask.identity.is_none() => text(200, "1"),
            "isAnonymousUser" => text(204, ""),
            "mail_password_form" => self.mail_form(&ask),
            "mail_password" => self.mail_password(&ask),
            "mail_password_response" => self.mail_sent(&ask),
            "mailPassword" => {
                self.send_mail(&ask, ask.field("login"));
                self.mail_sent(&ask)
            }
            "pwreset_finish" => self.reset_page(&ask, "pwreset_finish", "Password set"),
            "passwordreset" | "pwreset_form" => self.reset(&ask, ask.field("randomstring").to_owned()),
            _ if ask.segments.iter().any(|s| s.trim_start_matches("@@") == "passwordreset") => {
                self.reset(&ask, view)
            }
            "secretpage" if ask.identity.is_none() => self.challenge(&ask),
            "file.txt" => text(200, "A file."),
            "" | "news" | "docs" | "secretpage" | "Plone" => {
                let content =
                    format!("<p><a href=\"{0}/news\">News</a> <img src=\"{0}/logo.png\"/></p>", ask.base);
                self.page(&ask, "listing_view", "Welcome", "", &content)
            }
            _ => self.page(&ask, "notfound", "This page does not seem to exist", "", "").status(404),
        }
    }

    /// Reads the target as Zope does: virtual hosting, the redispatching field, and who asks.
    fn understand<'a>(&self, recorded: &'a Recorded) -> Option<Ask<'a>> {
        let (path, query) = recorded.target.split_once('?').unwrap_or((&recorded.target, ""));
        let mut segments: Vec<String> = path
            .split('/')
            .filter(|s| !s.is_empty())
            .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect();
        let base = if segments.first().is_some_and(|s| s == "VirtualHostBase") {
            let root = segments.iter().position(|s| s == "VirtualHostRoot")?;
            let (scheme, host) = (segments.get(1)?.clone(), segments.get(2)?.clone());
            let standard = if scheme == "https" { ":443" } else { ":80" };
            segments.drain(..=root);
            let below = segments.iter().take_while(|segment| segment.starts_with("_vh_")).count();
            let below: String =
                segments.drain(..below).map(|segment| segment.replacen("_vh_", "/", 1)).collect();
            format!("{scheme}://{}{below}", host.strip_suffix(standard).unwrap_or(&host))
        } else {
            (segments.first()? == "Plone").then(|| segments.remove(0))?;
            format!("http://{}/Plone", recorded.header("host").unwrap_or_default())
        };
        let urlencoded = recorded.header("content-type").is_some_and(|t| t.contains("x-www-form-urlencoded"));
        let source: &[u8] = if urlencoded { &recorded.body } else { query.as_bytes() };
        let form: Vec<(String, String)> = form_urlencoded::parse(source).into_owned().collect();
        for (name, value) in &form {
            if let Some(target) =
                name.strip_suffix(":method").or_else(|| name.strip_suffix(":default_method"))
            {
                let target = if target.is_empty() { value } else { target };
                segments.extend(target.split('/').map(str::to_owned));
            }
        }
        let mut ask = Ask { recorded, base, segments, form, identity: None };
        ask.identity = self.identity(&ask);
        Some(ask)
    }

    /// The field pair signs in any request; else the cookie, else Basic.
    fn identity(&self, ask: &Ask<'_>) -> Option<String> {
        let known = |login: &str, password: &str| {
            self.users.get(login).filter(|user| user.password == password).map(|user| user.id.to_owned())
        };
        let cookie = || {
            let cookies = ask.recorded.header("cookie")?;
            let value =
                cookies.split(['|', ';']).find_map(|pair| pair.trim().strip_prefix("__ac="))?.to_owned();
            let value = percent_decode_str(value.trim_matches('"')).decode_utf8_lossy().into_owned();
            let plain = STANDARD.decode(value).ok()?;
            match plain.strip_prefix(&[0xb5; 32]) {
                Some(rest) => {
                    String::from_utf8(rest.get(8..)?.to_vec()).ok()?.strip_suffix('!').map(str::to_owned)
                }
                None => String::from_utf8(plain).ok()?.strip_prefix("signed:").map(str::to_owned),
            }
        };
        let basic = || {
            let header = ask.recorded.header("authorization")?;
            let plain = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
            let (login, password) = plain.split_once(':')?;
            known(login, password)
        };
        known(ask.field("__ac_name"), ask.field("__ac_password")).or_else(cookie).or_else(basic)
    }

    fn login(&self, ask: &Ask<'_>, view: &str) -> Canned {
        let submitted = match self.version {
            Version::Plone60 => ask.has("buttons.login"),
            Version::Plone43 => ask.field("form.submitted") == "1" || view == "logged_in",
        };
        if ask.recorded.method != Method::POST || !submitted {
            return self.page(ask, view, "Log in", "", self.fragment("login"));
        }
        let given = !ask.field("__ac_name").is_empty() && !ask.field("__ac_password").is_empty();
        match (self.version, &ask.identity) {
            (Version::Plone60, Some(user)) => {
                let came_from = Some(ask.field("came_from")).filter(|to| !to.is_empty()).unwrap_or(&ask.base);
                redirect(302, came_from)
                    .header("set-cookie", &format!("__ac={}; Path=/; HttpOnly; SameSite=Lax", ticket(user)))
                    .header(
                        "set-cookie",
                        "statusmessages=A%2BRXZWxjb21lISBZb3UgYXJlIG5vdyBsb2dnZWQgaW4uaW5mbw%3D%3D; Path=/",
                    )
            }
            (Version::Plone60, None) => {
                let message = "<div class=\"portalMessage statusmessage statusmessage-error alert alert-danger\" role=\"alert\"><strong>Error</strong> Login failed.</div>";
                let page = self.page(ask, view, "Log in", message, self.fragment("login"));
                if given { page.header("set-cookie", CLEARED_60) } else { page }
            }
            (Version::Plone43, Some(user)) => {
                let page = self.page(ask, "login_success", "You are now logged in", "", "");
                page.header(
                    "set-cookie",
                    &format!("__ac=\"{}\"; Path=/; HTTPOnly", cookie(user).replace("%3D", "=")),
                )
            }
            (Version::Plone43, None) => {
                let message = "<dl class=\"portalMessage error\"><dt>Error</dt><dd>Login failed</dd></dl>";
                self.page(ask, "login_failed", "Login failed", message, self.fragment("login"))
            }
        }
    }

    fn logout(&self, ask: &Ask<'_>) -> Canned {
        match self.version {
            Version::Plone60 => {
                redirect(302, &format!("{}/logged-out", ask.base)).header("set-cookie", CLEARED_60)
            }
            Version::Plone43 => redirect(302, &format!("{}/logged_out", ask.base)).header(
                "set-cookie",
                "__ac=\"deleted\"; Path=/; Expires=Wed, 31-Dec-97 23:59:59 GMT; Max-Age=0",
            ),
        }
    }

    fn require_login(&self, ask: &Ask<'_>) -> Canned {
        let to = match &ask.identity {
            Some(_) => format!("{}/insufficient-privileges", ask.base),
            None => format!("{}/login?came_from={}", ask.base, ask.field("came_from")),
        };
        redirect(302, &to)
    }

    fn mail_form(&self, ask: &Ask<'_>) -> Canned {
        self.page(ask, "mail_password_form", "Lost Password", "", self.fragment("mail_password_form"))
    }

    fn mail_sent(&self, ask: &Ask<'_>) -> Canned {
        let content = self.fragment("mail_password_response");
        self.page(ask, "mail_password_response", "Password reset confirmation sent", "", content)
    }

    fn mail_password(&mut self, ask: &Ask<'_>) -> Canned {
        if !self.switches.anonymous_may_ask && ask.identity.is_none() {
            return self.challenge(ask);
        }
        // Any known one of several counts.
        let names: Vec<String> =
            ask.form.iter().filter(|(k, _)| k == "userid").map(|(_, v)| v.clone()).collect();
        let by_id =
            |name: &String| self.version == Version::Plone60 && self.users.values().any(|u| u.id == *name);
        let found = names.iter().find(|name| self.users.contains_key(name.as_str()) || by_id(name)).cloned();
        let Some(name) = found.filter(|name| !matches!(name.as_str(), "nomail" | "badmail")) else {
            return self.mail_refused(ask);
        };
        if name == "admin" || (self.version == Version::Plone60 && !self.switches.mail_server_up) {
            return self.broken(ask);
        }
        // 6.0 takes everything back after rendering the page of success, if the request had an identity.
        if (self.version == Version::Plone43 || ask.identity.is_none()) && self.switches.mail_server_up {
            self.send_mail(ask, &name);
        }
        self.mail_sent(ask)
    }

    fn mail_refused(&self, ask: &Ask<'_>) -> Canned {
        match self.version {
            Version::Plone60 => redirect(302, &format!("{}/mail_password_form", ask.base))
                .header("set-cookie", "statusmessages=BYRUaGUgdXNlcm5hbWUgeW91IGVudGVyZWQgY291bGQgbm90IGJlIGZvdW5kLmluZm8%3D; Path=/"),
            Version::Plone43 => {
                let message = "<dl class=\"portalMessage info\"><dt>Info</dt><dd>The username you entered could not be found.</dd></dl>";
                let content = self.fragment("mail_password_form");
                self.page(ask, "mail_password_form", "Lost Password", message, content)
                    .header("set-cookie", "statusmessages=\"deleted\"; Path=/; Expires=Wed, 31-Dec-97 23:59:59 GMT; Max-Age=0")
            }
        }
    }

    fn send_mail(&mut self, ask: &Ask<'_>, name: &str) {
        let login =
            self.users.iter().find(|(login, u)| **login == name || u.id == name).map(|(login, _)| *login);
        let Some(login) = login.filter(|login| self.users.get(login).is_some_and(|user| user.mail)) else {
            return;
        };
        let token = self.issue_token(login, TokenState::Good);
        let user = self.users.get(login).map_or("", |user| user.id).to_owned();
        let asked_from = ask.recorded.header("x-forwarded-for").unwrap_or_default();
        self.mails.push(Mail { user, link: format!("{}/passwordreset/{token}", ask.base), asked_from });
    }

    fn reset(&mut self, ask: &Ask<'_>, token: String) -> Canned {
        let token = if self.version == Version::Plone60 && ask.view() == "passwordreset" {
            ask.field("key").to_owned()
        } else {
            token
        };
        if self.version == Version::Plone43 && ask.view() == "pwreset_form" && !ask.has("randomstring") {
            return text(400, "Bad Request");
        }
        let posted = ask.recorded.method == Method::POST && ask.field("form.submitted") == "1";
        let state = self.tokens.get(&token).cloned();
        if !posted {
            // 6.0 shows an expired link as an invalid one until something is posted to it.
            return match (state.map(|(_, state)| state), self.version) {
                (Some(TokenState::Good), _) => self.reset_form(ask, &token, "", ""),
                (Some(TokenState::Expired), Version::Plone43) => self.expired(ask),
                _ => self.invalid(ask),
            };
        }
        let (password, again) = (ask.field("password").to_owned(), ask.field("password2"));
        let least = if self.version == Version::Plone60 { 8 } else { 5 };
        if ask.field("userid").is_empty() {
            return self.reset_form(ask, &token, "This field is required.", "");
        }
        if password != again {
            return self.reset_form(
                ask,
                &token,
                "",
                "Your password and confirmation did not match. Please try again.",
            );
        }
        if password.chars().count() < least {
            let why = format!("Your password must contain at least {least} characters.");
            return self.reset_form(ask, &token, "", &why);
        }
        match state {
            Some((_, TokenState::Expired)) => self.expired(ask),
            Some((login, TokenState::Good)) if login == ask.field("userid") => {
                self.tokens.insert(token, (login.clone(), TokenState::Used));
                if let Some(user) = self.users.get_mut(login.as_str()) {
                    user.password = password;
                }
                self.finished(ask, &login)
            }
            _ => self.invalid(ask),
        }
    }

    fn finished(&self, ask: &Ask<'_>, login: &str) -> Canned {
        match (self.version, self.switches.autologin) {
            (Version::Plone43, _) => redirect(302, &format!("{}/pwreset_finish", ask.base)),
            (Version::Plone60, true) => redirect(302, &ask.base)
                .header("set-cookie", &format!("__ac={}; Path=/; HttpOnly; SameSite=Lax", ticket(login))),
            (Version::Plone60, false) => self.reset_page(ask, "pwreset_finish", "Password set"),
        }
    }

    fn expired(&self, ask: &Ask<'_>) -> Canned {
        self.reset_page(ask, "pwreset_expired", "Password request expired")
    }

    fn invalid(&self, ask: &Ask<'_>) -> Canned {
        self.reset_page(ask, "pwreset_invalid", "Error setting password")
    }

    fn reset_form(&self, ask: &Ask<'_>, token: &str, userid_error: &str, password_error: &str) -> Canned {
        let class = |error: &str| if error.is_empty() { "" } else { " error" };
        let content = self
            .fragment("pwreset_form")
            .replace("{{token}}", token)
            .replace("{{userid_error_class}}", class(userid_error))
            .replace("{{userid_error}}", userid_error)
            .replace("{{password_error_class}}", class(password_error))
            .replace("{{password_error}}", password_error);
        let template = if self.version == Version::Plone60 { "passwordreset" } else { "pwreset_form" };
        self.page(ask, template, "Set your password", "", &content)
    }

    /// 6.0 gives all of these one class.
    fn reset_page(&self, ask: &Ask<'_>, name: &str, title: &str) -> Canned {
        let content = self.fragment(name).replace("{{user}}", ask.field("userid"));
        let template = if self.version == Version::Plone60 { "passwordreset" } else { name };
        self.page(ask, template, title, "", &content)
    }

    fn broken(&self, ask: &Ask<'_>) -> Canned {
        let template = match self.version {
            Version::Plone60 => "error_message-pt",
            Version::Plone43 => "default_error_message",
        };
        self.page(ask, template, "We're sorry, but there seems to be an error…", "", "").status(500)
    }

    /// "Sign in first": a redirect, for a script and a POST too; 6.0 sends a whole error page along.
    fn challenge(&self, ask: &Ask<'_>) -> Canned {
        let path = ask.segments.join("/");
        let to = format!("{}/acl_users/credentials_cookie_auth/require_login?came_from=", ask.base);
        match self.version {
            Version::Plone60 => {
                self.broken(ask).status(302).header("location", &format!("{to}/Plone/{path}"))
            }
            Version::Plone43 => {
                let here = format!("{}/{path}", ask.base);
                let here: String = form_urlencoded::byte_serialize(here.as_bytes()).collect();
                redirect(302, &format!("{to}{here}"))
            }
        }
    }

    fn page(&self, ask: &Ask<'_>, template: &str, title: &str, message: &str, content: &str) -> Canned {
        let role = if ask.identity.is_some() {
            "userrole-member userrole-authenticated"
        } else {
            "userrole-anonymous"
        };
        let here = format!("{}/{}", ask.base, ask.segments.join("/"));
        let page = self
            .fragment("frame")
            .replace("{{content}}", content)
            .replace("{{message}}", message)
            .replace("{{title}}", title)
            .replace("{{template}}", template)
            .replace("{{role}}", role)
            .replace("{{lang}}", self.switches.lang)
            .replace("{{here}}", here.trim_end_matches('/'))
            .replace("{{base}}", &ask.base);
        Canned::html(200, page).header("content-language", "en")
    }

    fn fragment(&self, name: &str) -> &'static str {
        macro_rules! fragments {
            ($folder:literal: $($name:literal),+) => {
                match name {
                    $($name => include_str!(concat!("../", $folder, "/", $name, ".html")),)+
                    _ => panic!("there is no {name}.html"),
                }
            };
        }
        macro_rules! all {
            ($folder:literal) => {
                fragments!($folder: "frame", "login", "mail_password_form", "mail_password_response",
                    "pwreset_form", "pwreset_invalid", "pwreset_expired", "pwreset_finish")
            };
        }
        match self.version {
            Version::Plone43 => all!("plone43"),
            Version::Plone60 => all!("plone60"),
        }
    }
}

const CLEARED_60: &str = "__ac=deleted; Path=/; Max-Age=0; Expires=Wed, 31 Dec 1997 23:59:59 GMT";

/// A checksum of 32 bytes, the time in 8 digits, the id, an exclamation mark.
fn ticket(user: &str) -> String {
    let plain = [&[0xb5; 32][..], b"6a0b1c2d", user.as_bytes(), b"!"].concat();
    STANDARD.encode(plain).replace('+', "%2B").replace('=', "%3D")
}

fn cookie(user: &str) -> String {
    STANDARD.encode(format!("signed:{user}")).replace('=', "%3D")
}

fn redirect(status: u16, to: &str) -> Canned {
    text(status, to).header("location", to)
}

fn text(status: u16, body: &str) -> Canned {
    Canned::html(status, body).header("content-type", "text/plain; charset=utf-8")
}

impl Canned {
    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}
