//! A session as operators see it.

use std::net::IpAddr;

use serde::Serialize;

use super::{Session, Sessions};
use crate::clock::Timestamp;
use crate::store::SessionRow;

/// A session without anything by which it could be used.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    /// Its name: 16 hexadecimal digits.
    pub id: String,
    /// The site.
    pub site: &'a str,
    /// The user.
    pub user: &'a str,
    /// From where it began.
    pub client: IpAddr,
    /// When it began; in UTC, to the second (RFC 3339), like the others.
    pub created: String,
    /// When it was last used.
    pub seen: String,
    /// When it ends at the latest.
    pub expires: String,
    /// Whether the person asked to be remembered.
    pub remembered: bool,
    /// The User-Agent it began with.
    pub user_agent: &'a str,
}

impl<'a> From<&'a SessionRow> for Shown<'a> {
    fn from(row: &'a SessionRow) -> Self {
        Self {
            id: row.key.to_string(),
            site: &row.site,
            user: &row.user,
            client: row.client,
            created: moment(row.created),
            seen: moment(row.seen),
            expires: moment(row.expires),
            remembered: row.remembered,
            user_agent: &row.user_agent,
        }
    }
}

impl<'a> Shown<'a> {
    /// A session of `sessions`, with its moments as a clock on the wall shows them.
    pub fn of(session: &'a Session, sessions: &Sessions) -> Self {
        let moment = |time| moment(sessions.on_the_wall(time));
        Self {
            id: session.key().to_string(),
            site: session.site(),
            user: session.user(),
            client: session.client(),
            created: moment(session.created()),
            seen: moment(session.seen()),
            expires: moment(session.expires()),
            remembered: session.remembered(),
            user_agent: session.user_agent(),
        }
    }
}

/// In UTC, to the second (RFC 3339).
pub fn moment(time: Timestamp) -> String {
    let seconds = time.as_millis().div_euclid(1000);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
