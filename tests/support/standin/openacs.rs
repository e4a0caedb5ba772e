//! How an OpenACS 5.10 answers: its login, recovery and link pages, as far as they were observed.

use std::collections::BTreeMap;

use http::Method;
use url::form_urlencoded;

use super::{Canned, Recorded};

/// The site's settings.
#[derive(Clone, Debug)]
pub struct OpenAcsSwitches {
    /// UseEmailForLoginP.
    pub by_email: bool,
    /// Several authorities: 5 (local) and 7.
    pub authorities: bool,
    /// EmailForgottenPasswordP.
    pub may_ask: bool,
    /// The mail server takes connections.
    pub mail_server_up: bool,
    /// The authority's forgotten_pwd_url.
    pub forgotten_url: Option<&'static str>,
    /// The language of the translated texts: en or de.
    pub lang: &'static str,
}

pub struct OpenAcs {
    pub switches: OpenAcsSwitches,
    /// By user name: number, e-mail address, password, authority.
    users: BTreeMap<&'static str, (u32, &'static str, String, u32)>,
    /// The users that were mailed to.
    pub mails: Vec<String>,
    sessions: Vec<u32>,
}

const TOKEN: &str = "d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1";

impl Default for OpenAcs {
    fn default() -> Self {
        let users = [
            ("known", (704, "known@example.org", "Secret1234!".to_owned(), 5)),
            ("umlaut", (705, "umlaut@example.org", "Pässwörd1234!".to_owned(), 5)),
            ("other", (706, "other@example.org", "Secret1234!".to_owned(), 7)),
        ];
        let switches = OpenAcsSwitches {
            by_email: true,
            authorities: false,
            may_ask: true,
            mail_server_up: true,
            forgotten_url: None,
            lang: "en",
        };
        Self { switches, users: users.into(), mails: Vec::new(), sessions: Vec::new() }
    }
}

impl OpenAcs {
    /// The link in the mail to this user: its path and query.
    pub fn link_of(&self, user: &str) -> String {
        let (id, _, password, _) = &self.users[user];
        format!("/user/password-reset?password_hash={}&user_id={id}", hash(password))
    }

    pub fn password_of(&self, user: &str) -> String {
        self.users[user].2.clone()
    }

    pub fn answer(&mut self, recorded: &Recorded) -> Canned {
        let (path, query) = recorded.target.split_once('?').unwrap_or((&recorded.target, ""));
        // Query and body are one, and a GET acts as well as a POST.
        let source =
            if recorded.method == Method::POST { recorded.body.as_slice() } else { query.as_bytes() };
        let form: Vec<(String, String)> = form_urlencoded::parse(source).into_owned().collect();
        let field =
            |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value).to_owned();
        if recorded.header("upgrade-insecure-requests").is_some() {
            return Canned::html(302, "").header("location", &format!("https://public.example.org{path}"));
        }
        // A type that does not fit is one answer, whatever the page.
        if form.iter().any(|(_, value)| value.chars().any(|c| c.is_control() || c == '<'))
            || (form.iter().any(|(name, value)| name == "email" && !is_address(value)))
        {
            return Canned::html(422, "Invalid input");
        }
        match path {
            "/register" => redirect("/register/"),
            "/register/" | "/register/index" => self.login(recorded, &field),
            "/register/logout" => gone(redirect("/")),
            "/register/recover-password" => self.recover(&field, &form),
            "/user/password-reset" => self.reset(recorded, &field),
            "/pvt/home" => match self.who(recorded) {
                Some(_) => {
                    page("Your Account", "<a href='/register/logout'>Log Out</a><a href='/pvt/home'>x</a>")
                }
                None => redirect("/register/?return_url=/pvt/home"),
            },
            "/" => page("Welcome", "<a href='/register/'>Log In</a> Not logged in"),
            _ => Canned::html(404, "<title>Not Found</title>"),
        }
    }

    fn who(&self, recorded: &Recorded) -> Option<u32> {
        let cookies = recorded.header("cookie")?;
        let has = |name: &str| cookies.split("; ").find_map(|c| c.strip_prefix(name)).map(str::to_owned);
        let id = has("ad_user_login=\"")?.split("%2c").next()?.parse().ok()?;
        (has("ad_session_id=").is_some() && self.sessions.contains(&id)).then_some(id)
    }

    /// The identifier that a form asks for.
    fn identifier(&self) -> String {
        let select = "<select name=\"authority_id\" id=\"authority_id\"><option value=\"5\"></option><option value=\"7\">Other</option></select>";
        match (self.switches.by_email, self.switches.authorities) {
            (true, _) => "<input type=\"email\" autocomplete=\"email\" name=\"email\" value=\"\">".to_owned(),
            (false, false) => "<input type=\"text\" id=\"username\" name=\"username\">".to_owned(),
            (false, true) => format!("{select}<input type=\"text\" id=\"username\" name=\"username\">"),
        }
    }

    fn user(&self, field: &dyn Fn(&str) -> String, exact: bool) -> Option<(&'static str, u32)> {
        let (email, name) = (field("email").to_lowercase(), field("username"));
        let same = |user: &str| user == name || (!exact && user == name.to_lowercase());
        let authority = field("authority_id");
        self.users
            .iter()
            .find(|(user, (_, mail, _, of))| {
                (if self.switches.by_email { *mail == email } else { same(user) })
                    && (!self.switches.authorities || of.to_string() == authority)
            })
            .map(|(user, (id, ..))| (*user, *id))
    }

    fn login(&mut self, recorded: &Recorded, field: &dyn Fn(&str) -> String) -> Canned {
        let form = |error: &str| {
            let error = if error.is_empty() {
                String::new()
            } else {
                format!("<span class=\"form-error\">{error}</span>")
            };
            page(
                "Log In",
                &format!(
                    "<form id=\"login\" name=\"login\" method=\"post\" action=\"/register/\" class=\"margin-form\" style=\"margin: {{0px;}}\"><input\n type=\"hidden\"\n name=\"form:mode\" value=\"edit\"><input type=\"hidden\"\n name=\"form:id\" value=\"login\"><input type=\"hidden\" name=\"__csrf_token\" value=\"{TOKEN}\"><input type=\"hidden\" name=\"return_url\" value=\"/pvt/home\"><input type=\"hidden\" name=\"host_node_id\" value=\"\">{}<input type=\"password\" name=\"password\">{error}<input type=\"checkbox\" name=\"persistent_p\" value=\"t\" checked><input type=\"submit\" name=\"formbutton:ok\" value=\"OK\"></form>",
                    self.identifier()
                ),
            )
            .header("set-cookie", "ad_session_id=\"1%2c0%2c0%2c17 {1 2 ff}\"; Expires=Fri, 01-Jan-2035 01:00:00 GMT; Path=/; Discard; HttpOnly; SameSite=Lax")
        };
        if recorded.method != Method::POST || field("form:id") != "login" {
            return form("");
        }
        if field("__csrf_token") != TOKEN {
            return page(
                "Problem with your input",
                "Invalid request token (potential Cross-Site Request Forgery)",
            )
            .with_status(422);
        }
        if self.switches.authorities && !["5", "7"].contains(&field("authority_id").as_str()) {
            return form("Invalid choice");
        }
        let Some((user, id)) = self.user(field, false) else {
            return form(if self.switches.by_email { "Unknown email" } else { "Unknown username" });
        };
        if self.users[user].2 != field("password") {
            return form("Invalid username or password");
        }
        self.sessions.push(id);
        redirect("/pvt/home")
            .header("set-cookie", &format!("ad_session_id=\"12%2c{id}%2c2%2c1795%20{{1795 1200 FF}}\"; Expires=Fri, 01-Jan-2035 01:00:00 GMT; Path=/; Discard; HttpOnly; SameSite=Lax"))
            .header("set-cookie", &format!("ad_user_login=\"{id}%2c1795%2cAB {{1 2 FF}}\"; Max-Age=28800; Path=/; HttpOnly; SameSite=Lax"))
            .header("set-cookie", "ad_user_login_secure=\"\"; Expires=Tue, 01-Jan-1980 01:00:00 GMT; Path=/; Secure")
    }

    fn recover(&mut self, field: &dyn Fn(&str) -> String, sent: &[(String, String)]) -> Canned {
        if !self.switches.may_ask {
            return page("Forbidden", "Emailing passwords is not allowed").with_status(403);
        }
        let form = |error: &str| {
            let error = if error.is_empty() {
                String::new()
            } else {
                format!("<span class=\"form-error\">{error}</span>")
            };
            page(
                "Reset Password",
                &format!(
                    "<p>Enter your username to begin password recovery.</p><form id=\"recover\" name=\"recover\" method=\"post\" action=\"/register/recover-password\"><input type=\"hidden\" name=\"form:id\" value=\"recover\"><input type=\"hidden\" name=\"dummy\">{}{error}<input type=\"submit\" name=\"formbutton:ok\" value=\"Continue\"></form>",
                    self.identifier()
                ),
            )
        };
        let result = |said: &str| {
            page(
                "Reset Password",
                &format!(
                    "<p>{said}</p><p>Please check your inbox for a new randomly generated password. <a href=\"/register/\">Log in</a></p>"
                ),
            )
        };
        let key = if self.switches.by_email { "email" } else { "username" };
        if !sent.iter().any(|(name, _)| name == "email" || name == "username") {
            return form("");
        }
        if field(key).is_empty() {
            return form("Username is required");
        }
        if let Some(url) = self.switches.forgotten_url {
            return Canned::html(302, "").header("location", url);
        }
        if self.switches.authorities && !["5", "7"].contains(&field("authority_id").as_str()) {
            return form("Invalid choice");
        }
        let Some((user, _)) = self.user(field, true) else {
            let known_otherwise = self.user(field, false).is_some();
            return match (self.switches.by_email, known_otherwise) {
                (true, _) => result("Unknown email"),
                (false, true) => result("Error invoking the password management driver."),
                (false, false) => form("Could not find username at authority"),
            };
        };
        if !self.switches.mail_server_up {
            return result("Error invoking the password management driver.");
        }
        self.mails.push(user.to_owned());
        result(match self.switches.lang {
            "de" => "Anfrage das Passwort zu ändern: Ein Token wurde Ihnen zugesandt.",
            _ => "Request to Change Password: A token for changing your password has been emailed to you.",
        })
    }

    fn reset(&mut self, recorded: &Recorded, field: &dyn Fn(&str) -> String) -> Canned {
        let form = |error: &str| {
            let error = if error.is_empty() {
                String::new()
            } else {
                format!("<span class=\"form-error\">{error}</span>")
            };
            page(
                "Reset Password",
                &format!(
                    "<form id=\"reset\" name=\"reset\" method=\"post\" action=\"/user/password-reset\"><input type=\"hidden\" name=\"form:id\" value=\"reset\"><input type=\"hidden\" name=\"user_id\" value=\"{}\"><input type=\"hidden\" name=\"password_hash\" value=\"{}\"><input type=\"hidden\" name=\"return_url\" value=\"\"><input type=\"hidden\" name=\"message\" value=\"\"><input type=\"password\" name=\"password_1\"><input type=\"password\" name=\"password_2\">{error}<input type=\"submit\" name=\"formbutton:ok\" value=\"OK\"></form>",
                    field("user_id"),
                    field("password_hash"),
                ),
            )
        };
        let Ok(id) = field("user_id").parse::<u32>() else { return Canned::html(422, "Invalid input") };
        let Some(user) = self.users.iter().find(|(_, (known, ..))| *known == id).map(|(user, _)| *user)
        else {
            return page("Permission Denied", "Permission Denied").with_status(403);
        };
        if field("form:id") != "reset" || (recorded.method == Method::GET && field("password_1").is_empty()) {
            return form("");
        }
        if field("password_1") != field("password_2") {
            return form("Passwords don't match");
        }
        if field("password_1").chars().count() > 100 {
            return form("New password <b>not</b> accepted");
        }
        if field("password_hash") != hash(&self.users[user].2) {
            return form("Invalid hash");
        }
        self.users.get_mut(user).unwrap().2 = field("password_1");
        self.sessions.retain(|session| *session != id);
        let said = if self.switches.lang == "de" {
            "Sie haben ein neues Passwort."
        } else {
            "You have successfully chosen a new password."
        };
        page("Reset Password", &format!("<p>{said}</p><a href=\"/pvt/home\">Continue to Your Account</a>"))
    }
}

fn hash(password: &str) -> String {
    let sum = password.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("{sum:040X}")
}

fn is_address(text: &str) -> bool {
    text.is_empty()
        || text.split_once('@').is_some_and(|(name, host)| {
            let fits = |c: char| c.is_ascii_alphanumeric() || ".@+/=$%!*~-_".contains(c);
            !name.is_empty() && host.contains('.') && text.chars().all(fits)
        })
}

fn redirect(to: &str) -> Canned {
    Canned::html(302, "").header("location", to)
}

fn gone(canned: Canned) -> Canned {
    ["ad_session_id", "ad_user_login", "ad_secure_token", "ad_user_login_secure"].into_iter().fold(
        canned,
        |canned, name| {
            canned
                .header("set-cookie", &format!("{name}=\"\"; Expires=Tue, 01-Jan-1980 01:00:00 GMT; Path=/"))
        },
    )
}

fn page(title: &str, content: &str) -> Canned {
    Canned::html(
        200,
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><title>{title}</title></head><body><h1>{title}</h1>{content}</body></html>"
        ),
    )
}
