//! How a Structr answers, as its source and its documentation say.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::{Canned, Recorded};

/// The site's settings.
#[derive(Clone, Debug)]
pub struct StructrSwitches {
    /// jsonrestservlet.user.autologin.
    pub autologin: bool,
    /// registration.allowloginbeforeconfirmation.
    pub sign_in_meanwhile: bool,
    /// The grant for `_resetPassword`.
    pub granted: bool,
    /// The mail server takes connections.
    pub mail_server_up: bool,
    /// `/me` as older versions answer: a list of one.
    pub lists: bool,
}

struct User {
    id: &'static str,
    mail: &'static str,
    password: String,
    key: Option<String>,
}

pub struct Structr {
    pub switches: StructrSwitches,
    users: BTreeMap<&'static str, User>,
    sessions: BTreeMap<String, &'static str>,
    pub mails: Vec<String>,
    issued: u32,
}

impl Default for Structr {
    fn default() -> Self {
        let user = |id, mail, password: &str| User { id, mail, password: password.to_owned(), key: None };
        let users = [
            ("jdoe", user("aa11", "jdoe@example.org", "Secret1234!")),
            ("umlaut", user("bb22", "umlaut@example.org", "Pässwörd1234!")),
        ];
        let switches = StructrSwitches {
            autologin: true,
            sign_in_meanwhile: true,
            granted: true,
            mail_server_up: true,
            lists: false,
        };
        Self { switches, users: users.into(), sessions: BTreeMap::new(), mails: Vec::new(), issued: 0 }
    }
}

impl Structr {
    /// The link in the last mail to this user: its path and query.
    pub fn link_of(&self, user: &str) -> Option<String> {
        let key = self.users[user].key.as_ref()?;
        Some(format!(
            "/reset-password?key={}&target=/reset-password&onerror=/reset-password",
            key.replace('!', "%21")
        ))
    }

    pub fn password_of(&self, user: &str) -> String {
        self.users[user].password.clone()
    }

    pub fn answer(&mut self, recorded: &Recorded) -> Canned {
        let (path, query) = recorded.target.split_once('?').unwrap_or((&recorded.target, ""));
        let body: Value = serde_json::from_slice(&recorded.body).unwrap_or(Value::Null);
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        match (&recorded.method, path) {
            (&Method::POST, "/structr/rest/login") => {
                let wanted = if text("eMail").is_empty() { text("name") } else { text("eMail") };
                let fits = |name: &str, user: &User| {
                    (name == wanted || user.mail == wanted)
                        && user.password == text("password")
                        && (user.key.is_none() || self.switches.sign_in_meanwhile)
                };
                match self.users.iter().find(|(name, user)| fits(name, user)).map(|(name, _)| *name) {
                    Some(name) => self.me(name).header("set-cookie", &self.begin(name)),
                    None => problem(
                        401,
                        "Wrong username or password, or user is blocked. Check caps lock. Note: Username is case sensitive!",
                    ),
                }
            }
            (&Method::POST, "/structr/rest/logout") => {
                let session = self.session(recorded);
                self.sessions.retain(|id, _| Some(id) != session.as_ref().map(|(id, _)| id));
                json_of(200, &json!({}))
            }
            (&Method::GET, "/structr/rest/me") => match self.session(recorded) {
                Some((_, name)) => self.me(name),
                None => problem(401, "Access denied"),
            },
            (&Method::PUT, "/structr/rest/me") => match self.session(recorded) {
                Some(_) if text("password").chars().count() < 4 => {
                    problem(422, "Unable to commit <b>transaction</b>, validation failed")
                }
                Some((_, name)) => {
                    self.users.get_mut(name).unwrap().password = text("password");
                    json_of(200, &json!({"result": [], "result_count": 0}))
                }
                None => problem(401, "Access denied"),
            },
            (&Method::POST, "/structr/rest/reset-password") if !self.switches.granted => {
                problem(401, "Access denied")
            }
            (&Method::POST, "/structr/rest/reset-password") => {
                let mail = text("eMail").trim().to_lowercase();
                if mail.is_empty() {
                    return problem(422, "No e-mail address given.");
                }
                let known = self.users.iter().find(|(_, user)| user.mail == mail).map(|(name, _)| *name);
                if known.is_some() && !self.switches.mail_server_up {
                    return problem(503, "Unable to send confirmation e-mail.");
                }
                if let Some(name) = known {
                    self.issued += 1;
                    let key = format!("00000000-0000-4000-8000-{:012}!1795246810123", self.issued);
                    self.users.get_mut(name).unwrap().key = Some(key);
                    self.mails.push(name.to_owned());
                }
                json_of(200, &json!({"result": [], "result_count": 0, "serialization_time": "0.0001"}))
            }
            (_, "/structr/rest/reset-password") => problem(405, "Method not allowed"),
            // The key goes first, whatever comes of it; the answer is always the same redirect.
            (&Method::GET, "/reset-password") => {
                let key = url::form_urlencoded::parse(query.as_bytes())
                    .find(|(name, _)| name == "key")
                    .map(|(_, key)| key.into_owned());
                let name = key.and_then(|key| {
                    let (name, user) =
                        self.users.iter_mut().find(|(_, user)| user.key.as_ref() == Some(&key))?;
                    user.key = None;
                    Some(*name)
                });
                let answer = Canned::html(302, "").header("location", "/reset-password");
                match name.filter(|_| self.switches.autologin) {
                    Some(name) => answer.header("set-cookie", &self.begin(name)),
                    None => answer.header("set-cookie", "JSESSIONID=node0nobody.node0; Path=/; HttpOnly"),
                }
            }
            _ => problem(404, "Not found"),
        }
    }

    fn begin(&mut self, name: &'static str) -> String {
        let id = format!("node0{name}{}.node0", self.sessions.len());
        self.sessions.insert(id.clone(), name);
        format!("JSESSIONID={id}; Path=/; HttpOnly; SameSite=Lax")
    }

    fn session(&self, recorded: &Recorded) -> Option<(String, &'static str)> {
        let cookies = recorded.header("cookie")?;
        let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("JSESSIONID="))?;
        self.sessions.get(id).map(|name| (id.to_owned(), *name))
    }

    fn me(&self, name: &str) -> Canned {
        let user = json!({"id": self.users[name].id, "type": "User", "isUser": true, "name": name});
        let result = if self.switches.lists { json!([user]) } else { user };
        json_of(200, &json!({"result": result, "result_count": 1}))
    }
}

fn problem(status: u16, message: &str) -> Canned {
    json_of(status, &json!({"code": status, "message": message, "errors": []}))
}

fn json_of(status: u16, value: &Value) -> Canned {
    Canned::html(status, value.to_string()).header("content-type", "application/json;charset=utf-8")
}
