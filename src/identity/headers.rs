//! The fields by which a backend is told who is signed in.
//!
//! It must believe them from the gate alone. A client's own copy never passes: not in this spelling, since it is overwritten, nor in one
//! with `_` or `.`, since such names are dropped altogether ([`crate::admit::may_pass`]).

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::recovery::FieldName;
use crate::session::Session;

/// `[[site]] identity_headers`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// The field with the user's name, in UTF-8; none.
    pub user: Option<FieldName>,
    /// The field with the groups of a local user, `a,b`; none. It is not sent for who is in no group.
    pub groups: Option<FieldName>,
}

/// Fields that mean something else to whoever reads a request.
const TAKEN: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

impl Headers {
    /// Checks that no field has another meaning.
    ///
    /// # Errors
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let all = [&self.user, &self.groups];
        let taken = |name: &str| TAKEN.contains(&name) || name.starts_with("x-forwarded-");
        if let Some(name) = all.into_iter().flatten().find(|name| taken(name.0.as_str())) {
            return Err(format!(
                "`{}` in identity_headers means something else; write a name such as \"X-Remote-User\"",
                name.0
            ));
        }
        if self.user.is_some() && self.user == self.groups {
            return Err("identity_headers has one name for user and groups; give each its own".to_owned());
        }
        Ok(())
    }

    /// The fields for a request of this session, or of nobody, whose own copies are taken away.
    pub fn of(&self, session: Option<&Session>) -> impl Iterator<Item = (HeaderName, Option<HeaderValue>)> {
        let user = session.and_then(|session| HeaderValue::from_bytes(session.user().as_bytes()).ok());
        let groups = session
            .filter(|session| !session.groups().is_empty())
            .and_then(|session| HeaderValue::from_str(&session.groups().to_text()).ok());
        let user = self.user.as_ref().map(|name| (name.0.clone(), user));
        user.into_iter().chain(self.groups.as_ref().map(|name| (name.0.clone(), groups)))
    }
}
