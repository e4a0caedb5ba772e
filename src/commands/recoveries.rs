//! Requests for a reset, each with what became of its link.
//!
//! A CMS does not say which request a link belongs to, so they are joined by what both name: the account, and the order in which
//! things happened. An opening is joined to a use of the same link by the link itself.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Serialize;

use super::audit::{ListFormat, user};
use super::print;
use crate::observe::audit::{ASKED, Kind};
use crate::session::moment;
use crate::store::AuditRow;

/// A request, or a use of a link that belongs to none that is known.
pub(super) struct Recovery<'a> {
    request: Option<&'a AuditRow>,
    opening: Option<&'a AuditRow>,
    /// The last attempt to use the link; the one that succeeded, if one did.
    attempt: Option<&'a AuditRow>,
    /// Of `request` and `attempt`, whichever there is first.
    first: &'a AuditRow,
}

impl<'a> Recovery<'a> {
    /// The row that says for whom it is.
    pub(super) fn first(&self) -> &'a AuditRow {
        self.first
    }

    /// Whether `row` says what came of this request.
    fn is_answered_by(&self, row: &AuditRow) -> bool {
        self.request.is_some_and(|request| {
            request.verdict == ASKED && request.site == row.site && request.request_id == row.request_id
        })
    }

    /// Whether `attempt` may be one to open or use the link of this request.
    fn is_open_for(&self, attempt: &AuditRow) -> bool {
        let is_used = self.attempt.is_some_and(|attempt| attempt.verdict == "ok");
        self.request.is_some_and(|request| {
            request.verdict == "ok"
                && request.site == attempt.site
                && request.account_key == attempt.account_key
                && attempt.account_key.is_some()
        }) && !is_used
    }
}

/// Joins requests and uses, given in the order in which they happened.
pub(super) fn joined(rows: &[AuditRow]) -> Vec<Recovery<'_>> {
    let is = |row: &AuditRow, kind: Kind| row.event == kind.as_str();
    let mut openings: HashMap<&str, &AuditRow> = HashMap::new();
    let mut all: Vec<Recovery<'_>> = Vec::new();
    for row in rows {
        if is(row, Kind::LinkOpened) {
            // Who opened it first: the person, or whoever reads their mail.
            row.link_key.as_deref().map(|link| openings.entry(link).or_insert(row));
            // A link of the gate's own says whose it is, also if it is never used.
            if let Some(recovery) = all.iter_mut().rev().find(|recovery| recovery.is_open_for(row)) {
                recovery.opening.get_or_insert(row);
            }
        } else if is(row, Kind::ResetRequest) {
            match all.iter_mut().rev().find(|recovery| recovery.is_answered_by(row)) {
                Some(recovery) => (recovery.request, recovery.first) = (Some(row), row),
                None => all.push(Recovery { request: Some(row), opening: None, attempt: None, first: row }),
            }
        } else if is(row, Kind::Redemption) {
            let opening = row.link_key.as_deref().and_then(|link| openings.get(link).copied());
            match all.iter_mut().rev().find(|recovery| recovery.is_open_for(row)) {
                Some(recovery) => (recovery.opening, recovery.attempt) = (opening, Some(row)),
                // Asked for elsewhere, or too long ago.
                None if row.verdict == "ok" => {
                    all.push(Recovery { request: None, opening, attempt: Some(row), first: row });
                }
                None => {}
            }
        }
    }
    all
}

const HEAD: [&str; 11] = [
    "REQUESTED",
    "SITE",
    "USER",
    "FROM",
    "VERDICT",
    "OPENED",
    "OPENED FROM",
    "USED",
    "USED FROM",
    "OUTCOME",
    "REQUEST",
];

/// A recovery as it is printed.
#[derive(Serialize)]
struct Shown<'a> {
    requested: Option<String>,
    site: &'a str,
    user: Option<&'a str>,
    requested_from: Option<IpAddr>,
    /// What came of the request.
    verdict: Option<&'a str>,
    opened: Option<String>,
    opened_from: Option<IpAddr>,
    used: Option<String>,
    used_from: Option<IpAddr>,
    /// What came of the last attempt to use the link.
    outcome: Option<&'a str>,
    request_id: &'a str,
}

pub(super) fn show(recoveries: &[Recovery<'_>], names: &HashMap<String, String>, format: ListFormat) {
    let rows: Vec<Shown<'_>> = recoveries.iter().map(|recovery| Shown::of(recovery, names)).collect();
    match format {
        ListFormat::Json => print::json(&rows),
        ListFormat::Csv => print::csv(HEAD, rows.iter().map(Shown::cells)),
        ListFormat::Human => print::table(HEAD, &rows.iter().map(Shown::cells).collect::<Vec<_>>()),
    }
}

impl<'a> Shown<'a> {
    fn of(recovery: &Recovery<'a>, names: &'a HashMap<String, String>) -> Self {
        let (request, opening) = (recovery.request, recovery.opening);
        let used = recovery.attempt.filter(|attempt| attempt.verdict == "ok");
        Self {
            requested: request.map(|row| moment(row.at)),
            site: &recovery.first.site,
            user: user(recovery.first, names),
            requested_from: request.and_then(|row| row.client),
            verdict: request.map(|row| row.verdict.as_str()),
            opened: opening.map(|row| moment(row.at)),
            opened_from: opening.and_then(|row| row.client),
            used: used.map(|row| moment(row.at)),
            used_from: used.and_then(|row| row.client),
            outcome: recovery.attempt.map(|row| row.verdict.as_str()),
            request_id: &recovery.first.request_id,
        }
    }

    fn cells(&self) -> [String; 11] {
        let address =
            |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        [
            text(self.requested.as_deref()),
            self.site.to_owned(),
            text(self.user),
            address(self.requested_from),
            text(self.verdict),
            text(self.opened.as_deref()),
            address(self.opened_from),
            text(self.used.as_deref()),
            address(self.used_from),
            text(self.outcome),
            self.request_id.to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn row(at: i64, kind: Kind, key: &str, link: &str, verdict: &str) -> AuditRow {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        AuditRow {
            at: Timestamp::from_millis(at),
            event: kind.as_str().to_owned(),
            site: "s".to_owned(),
            account: None,
            account_key: some(key),
            link_key: some(link),
            client: None,
            verdict: verdict.to_owned(),
            request_id: String::new(),
            detail: String::new(),
        }
    }

    #[test]
    fn what_came_of_a_request_takes_the_place_of_its_being_asked() {
        let of = |request: &str, row: AuditRow| AuditRow { request_id: request.to_owned(), ..row };
        let rows = [
            of("r1", row(1, Kind::ResetRequest, "a", "", "asked")),
            of("r2", row(2, Kind::ResetRequest, "b", "", "asked")),
            of("r1", row(3, Kind::ResetRequest, "a", "", "ok")),
        ];
        let joined = joined(&rows);
        let verdicts: Vec<_> = joined.iter().map(|recovery| recovery.first().verdict.as_str()).collect();
        assert_eq!(verdicts, ["ok", "asked"], "the second was killed before it knew");
    }

    #[test]
    fn a_use_belongs_to_the_last_request_of_its_account_that_is_still_open() {
        use Kind::{LinkOpened, Redemption, ResetRequest};
        let rows = [
            row(1, ResetRequest, "a", "", "ok"),
            row(2, ResetRequest, "b", "", "no_account"),
            row(3, ResetRequest, "a", "", "ok"),
            row(4, LinkOpened, "", "l1", "ok"),
            row(5, LinkOpened, "", "l1", "ok"),
            row(6, Redemption, "a", "l1", "rejected"),
            row(7, Redemption, "a", "l1", "ok"),
            row(8, Redemption, "a", "l0", "ok"),
            row(9, Redemption, "a", "l1", "invalid"),
            row(10, Redemption, "c", "l2", "ok"),
        ];
        let at = |row: Option<&AuditRow>| row.map(|row| row.at.as_millis());
        let joined: Vec<_> = joined(&rows)
            .iter()
            .map(|recovery| (at(recovery.request), at(recovery.opening), at(recovery.attempt)))
            .collect();
        assert_eq!(
            joined,
            [
                (Some(1), None, Some(8)),
                (Some(2), None, None),
                (Some(3), Some(4), Some(7)),
                (None, None, Some(10)),
            ]
        );
    }
}
