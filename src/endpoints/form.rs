//! A posted form of the gate's own: read, and checked for where it comes from.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use zeroize::Zeroizing;

use crate::csrf::{self, FormCookie};
use crate::pages::ErrorKind;
use crate::secret::Secret;
use crate::visit::{Answer, Visit, field};

/// The largest form the gate reads, in bytes: a few fields, the longest of them a password.
const LARGEST: usize = 64 * 1024;

/// The fields of a form.
pub(super) struct Form(Zeroizing<Vec<u8>>);

/// What can be wrong with a form before its fields are looked at.
pub(super) enum Bad {
    /// The answer is made already.
    Answer(Box<Answer>),
    /// The token is missing, old or not ours: most likely the page stood open for too long.
    Expired(Form),
}

impl Form {
    /// Reads the body and checks that the gate's own page sent it.
    pub(super) async fn read(visit: &Visit<'_>, name: &str, body: Incoming) -> Result<Self, Bad> {
        let refuse = |kind, verdict| Err(Bad::Answer(Box::new(visit.problem(kind, verdict))));
        if let Err(foreign) = csrf::check_origin(visit.headers(), &visit.site.origin) {
            tracing::info!(id = visit.caller.request_id, site = visit.site.name, reason = %foreign, "a form of another site is refused");
            return refuse(ErrorKind::CrossSite, "cross_site");
        }
        let kind = visit.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if !essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return refuse(ErrorKind::UnsupportedMediaType, "bad_form");
        }
        let bytes: Bytes = match Limited::new(body, LARGEST).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return refuse(ErrorKind::ContentTooLarge, "bad_form");
            }
            Err(_) => return refuse(ErrorKind::BadRequest, "bad_form"),
        };
        let form = Self(Zeroizing::new(bytes.to_vec()));
        let shared = visit.shared();
        let token = form.text("csrf");
        let cookie = FormCookie::find(visit.headers(), visit.site.is_secure());
        match cookie.map(|cookie| csrf::check(&shared.sealer, &cookie, name, &token, shared.clock.now())) {
            Some(Ok(())) => Ok(form),
            None | Some(Err(_)) => Err(Bad::Expired(form)),
        }
    }

    /// A field as text; empty when it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        field(&self.0, name).unwrap_or_default()
    }

    /// The first of several names that is there: forms of other gates are posted here too.
    pub(super) fn any(&self, names: &[&str]) -> String {
        names.iter().map(|name| self.text(name)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// A field that nobody may see.
    pub(super) fn secret(&self, name: &str) -> Secret {
        Secret::new(self.text(name))
    }
}

/// A token for a form about to be shown, and the cookie it goes with where the browser has none yet.
pub(super) fn token(visit: &Visit<'_>, name: &str) -> (String, Option<HeaderValue>) {
    let (shared, secure) = (visit.shared(), visit.site.is_secure());
    let (cookie, set) = match FormCookie::find(visit.headers(), secure) {
        Some(cookie) => (cookie, None),
        None => {
            let cookie = FormCookie::random(shared.random.as_ref());
            let set = cookie.set(secure);
            (cookie, Some(set))
        }
    };
    (csrf::token(&shared.sealer, &cookie, name, shared.clock.now()), set)
}
