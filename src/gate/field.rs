//! What a field of a form makes of the request it is in.
//!
//! Zope lets a field choose what answers a request (`mail_password:method=…`) and who asks (`__ac_name=…`), whatever the
//! path. So each field of a query ([`super::question`]) and of a body ([`super::inspect`]) is read here, in one way, and
//! with the tricks of ZPublisher's own reading in mind.

use std::net::IpAddr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Site;
use super::policy::Access;
use crate::admit::CanonicalPath;
use crate::cms::TakenOver;

/// What a field does besides holding a value.
#[derive(Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// It signs the request in past the gate.
    SignsIn,
    /// It makes a page answer that the gate takes over.
    TakenOver(TakenOver),
    /// It makes another page answer, for which the rules ask this.
    Page(Access),
    /// It makes another page answer, and which one can be read in two ways.
    Unclear,
}

/// What a path may have unencoded in the name of a field, although it is no plain path.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'?').add(b'#');

/// Reads the field `name` of a request for `path` (decoded) from `client`; `value` is `None` where it cannot be seen.
pub(super) fn effect(site: &Site, path: &[u8], client: IpAddr, name: &[u8], value: Option<&[u8]>) -> Effect {
    let dialogue = site.cms.dialogue();
    // Types are found by a pattern that also ends before a line feed, which then is no part of the name.
    let name = String::from_utf8_lossy(name).replace('\n', "");
    let shown = value.map(String::from_utf8_lossy).unwrap_or_default();
    if dialogue.is_credential_field(&name) {
        return Effect::SignsIn;
    }
    if let Some(taken_over) = dialogue.redispatch(&name, &shown) {
        return Effect::TakenOver(taken_over);
    }
    let Some(target) = dialogue.redispatched(&name, &shown) else { return Effect::None };
    if let Some(types) = name.strip_prefix(':') {
        // The value names the page: it must be there, and no further type may say in which charset it is to be read.
        if value.is_none() || types.contains([':', '.']) {
            return Effect::Unclear;
        }
    }
    let target = format!("/{}", utf8_percent_encode(target, NOT_IN_PATHS));
    let Ok(target) = CanonicalPath::parse(&target) else { return Effect::Unclear };
    let folder = path.strip_suffix(b"/").unwrap_or(path);
    Effect::Page(site.access.access(&[folder, target.decoded()].concat(), client))
}
