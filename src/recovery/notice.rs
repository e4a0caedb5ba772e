//! A mail to a local user about the password.

use std::time::Duration;

use tokio::sync::oneshot;

use super::issued::Applicant;
use crate::clock::Timestamp;
use crate::gate::Site;
use crate::mail::{Kind, Letter, Posted, Values};
use crate::secret::Secret;
use crate::store::UserRow;

/// Sends it beside the answer; `None` if there is nothing to send it to, or no way to write it.
///
/// What stands in it is the account's own, the site's, or the gate's; of the visitor nothing but the address.
pub(super) fn post(
    site: &Site,
    applicant: &Applicant,
    user: &UserRow,
    kind: Kind,
    link: &Secret,
    lifetime: Option<Duration>,
    until: Timestamp,
) -> Option<oneshot::Receiver<Posted>> {
    let shared = &applicant.shared;
    let to = user.mail.as_deref()?.parse().ok()?;
    let speaker = shared.pages.speaker(&applicant.language)?;
    let values = Values {
        link: link.expose(),
        site: &site.name,
        user_name: &user.name,
        requester_address: &applicant.client.to_string(),
        expiry: &lifetime.map(|lifetime| speaker.span(lifetime)).unwrap_or_default(),
    };
    let content = match shared.mails.write(kind, &speaker, &values) {
        Ok(content) => content,
        Err(error) => {
            tracing::error!(id = applicant.request_id, error, "a mail cannot be written");
            return None;
        }
    };
    Some(shared.outgoing.post(Letter {
        to,
        content,
        until,
        kind: kind.name(),
        site: site.name.clone(),
        user: user.name.clone(),
        request_id: applicant.request_id.clone(),
    }))
}
