//! A posted form of the gate's own: read, and checked for where it comes from.

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
        let refuse = |(kind, verdict)| Bad::Answer(Box::new(visit.problem(kind, verdict)));
        let bytes = read_body(visit, b"application/x-www-form-urlencoded", body).await.map_err(refuse)?;
        let form = Self(bytes);
        let shared = visit.shared();
        let token = form.text("csrf");
        let cookie = FormCookie::find(visit.headers(), &visit.site.cookies);
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

/// Reads a body of this media type, unless another site has sent it; what is wrong comes with the log's word for it.
pub(super) async fn read_body(
    visit: &Visit<'_>,
    media_type: &[u8],
    body: Incoming,
) -> Result<Zeroizing<Vec<u8>>, (ErrorKind, &'static str)> {
    own_origin(visit)?;
    let kind = visit.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    let essence = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(media_type) {
        return Err((ErrorKind::UnsupportedMediaType, "bad_form"));
    }
    let patience = visit.shared().config.server.header_timeout.as_duration();
    let Ok(read) = tokio::time::timeout(patience, Limited::new(body, LARGEST).collect()).await else {
        return Err((ErrorKind::RequestTimeout, "bad_form"));
    };
    match read {
        Ok(collected) => Ok(Zeroizing::new(collected.to_bytes().to_vec())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err((ErrorKind::ContentTooLarge, "bad_form"))
        }
        Err(_) => Err((ErrorKind::BadRequest, "bad_form")),
    }
}

/// Refuses what another site has sent.
pub(super) fn own_origin(visit: &Visit<'_>) -> Result<(), (ErrorKind, &'static str)> {
    csrf::check_origin(visit.headers(), &visit.site.origin).map_err(|foreign| {
        tracing::info!(id = visit.caller.request_id, site = visit.site.name, reason = %foreign, "a form of another site is refused");
        (ErrorKind::CrossSite, "cross_site")
    })
}

/// A token for a form about to be shown, and the cookie it goes with where the browser has none yet.
pub(super) fn token(visit: &Visit<'_>, name: &str) -> (String, Option<HeaderValue>) {
    let (shared, names) = (visit.shared(), &visit.site.cookies);
    let (cookie, set) = match FormCookie::find(visit.headers(), names) {
        Some(cookie) => (cookie, None),
        None => {
            let cookie = FormCookie::random(shared.random.as_ref());
            let set = cookie.set(names);
            (cookie, Some(set))
        }
    };
    (csrf::token(&shared.sealer, &cookie, name, shared.clock.now()), set)
}
