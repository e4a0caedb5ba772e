//! Public → internal in what a request carries, for a backend that cannot be told its public address
//! ([`super::Mode::Full`]), or not all of it ([`super::Mode::Forwarded`]): what a form, an editor or a script was shown with public addresses comes back with internal ones, so
//! that saving an edited page stores what its author wrote.
//!
//! Mapped are URLs, wherever they stand in a query, in the fields of a form, in JSON, XML or text, in `Destination`, `If`, `Referer`
//! and `Origin`; and paths only where they are certainly links: in `Destination` and `If`, in the links of a page or style sheet that is put, in the `<href>` of a WebDAV request, and in
//! the fields that say where to go afterwards (`came_from`). Not mapped are uploaded files, which are stored as they are; bare host names without a scheme or `//`;
//! and bodies in a coding that isn't known, or in several. Where the backend knows its public address, nothing is touched at all.

use super::form::Form;
use super::headers::map_targets;
use super::multipart::{Multipart, boundary};
use super::origins::Origins;
use super::paths::RETURN_ADDRESSES;
use super::plan::{codings, is_textual, media_type, plan};
use super::rewriter::{Coded, Text};
use super::stream::Stream;
use super::wide::Order;
use bytes::Bytes;
use http::header::{CONTENT_RANGE, HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::io;
use std::sync::Arc;

/// The body of a request on its way in, while it passes, in constant memory. It may get longer or shorter.
pub struct Translation {
    coded: Option<Coded>,
    kind: Kind,
}

enum Kind {
    Text(Box<Text>),
    Form(Form),
    Multipart(Box<Multipart>),
}

impl Translation {
    /// What the body that these headers describe needs, if anything.
    pub fn of(origins: &Arc<Origins>, headers: &HeaderMap) -> Option<Self> {
        // A part of a file is counted in bytes.
        if !origins.translates() || headers.contains_key(CONTENT_RANGE) {
            return None;
        }
        let coded = match codings(headers).as_slice() {
            [] => None,
            [Some(coding)] => Some(Coded::new(*coding)),
            // Unknown, or several.
            _ => return None,
        };
        let kind = match media_type(headers)?.as_str() {
            "application/x-www-form-urlencoded" => Kind::Form(Form::new(origins.clone())),
            "multipart/form-data" => {
                Kind::Multipart(Box::new(Multipart::new(origins.clone(), &boundary(headers)?)))
            }
            _ if is_textual(origins, headers) => {
                // What the same text is on its way out.
                let plan = plan(origins, "", headers);
                Kind::Text(Box::new(Text::inward(origins, Order::labelled(headers), plan)))
            }
            _ => return None,
        };
        Some(Self { coded, kind })
    }

    /// Takes the next piece and gives what is decided.
    ///
    /// # Errors
    /// If it comes encoded and cannot be decoded.
    pub fn push(&mut self, chunk: Bytes) -> io::Result<Vec<Bytes>> {
        let Self { coded, kind } = self;
        let Some(coded) = coded else { return Ok(kind.push(chunk)) };
        let (mut pending, mut pieces) = (chunk, Vec::new());
        while !pending.is_empty() {
            coded.push(&mut pending, |plain| kind.push(plain), &mut |piece| pieces.push(piece))?;
        }
        Ok(pieces)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// If it comes encoded and was cut short.
    pub fn finish(&mut self) -> io::Result<Vec<Bytes>> {
        let Self { coded, kind } = self;
        let Some(coded) = coded else { return Ok(kind.finish()) };
        let mut pieces = Vec::new();
        let last = |plain| [kind.push(plain), kind.finish()].concat();
        coded.finish(last, &mut |piece| pieces.push(piece))?;
        Ok(pieces)
    }
}

impl Kind {
    fn push(&mut self, chunk: Bytes) -> Vec<Bytes> {
        match self {
            Self::Text(text) => {
                let mut pieces = Vec::new();
                text.push(chunk, false, &mut |piece| pieces.push(piece));
                pieces
            }
            Self::Form(form) => collected(|out| form.push(&chunk, out)),
            Self::Multipart(multipart) => collected(|out| multipart.push(&chunk, out)),
        }
    }

    fn finish(&mut self) -> Vec<Bytes> {
        match self {
            Self::Text(text) => {
                let mut pieces = Vec::new();
                text.push(Bytes::new(), true, &mut |piece| pieces.push(piece));
                pieces
            }
            Self::Form(form) => collected(|out| form.finish(out)),
            Self::Multipart(multipart) => collected(|out| multipart.finish(out)),
        }
    }
}

fn collected(write: impl FnOnce(&mut Vec<u8>)) -> Vec<Bytes> {
    let mut out = Vec::new();
    write(&mut out);
    if out.is_empty() { Vec::new() } else { vec![Bytes::from(out)] }
}

/// One value of a form on its way in, decoded.
pub(super) struct Value {
    origins: Arc<Origins>,
    stream: Stream,
    /// The start of a value that may be a path to return to, until it is long enough to tell.
    head: Option<Vec<u8>>,
    changed: bool,
}

impl Value {
    pub(super) fn new(origins: Arc<Origins>) -> Self {
        let stream = Stream::new(origins.inward().clone());
        Self { origins, stream, head: None, changed: false }
    }

    /// Begins the value of the field of this name.
    pub(super) fn begin(&mut self, name: &[u8]) {
        self.head = RETURN_ADDRESSES.contains(&name).then(Vec::new);
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(head) = &mut self.head else {
            return self
                .stream
                .push(Bytes::copy_from_slice(bytes), &mut |piece| out.extend_from_slice(&piece));
        };
        head.extend_from_slice(bytes);
        if head.len() > self.origins.longest_path() {
            self.decide(out);
        }
    }

    /// Ends the value.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.decide(out);
        self.stream.finish(&mut |piece| out.extend_from_slice(&piece));
    }

    /// Whether anything was mapped so far, in this value or one before.
    pub(super) fn has_changed(&self) -> bool {
        self.changed || self.stream.has_changed()
    }

    fn decide(&mut self, out: &mut Vec<u8>) {
        let Some(mut head) = self.head.take() else { return };
        if let Some(mapped) = self.origins.return_to_internal(&head) {
            head = mapped;
            self.changed = true;
        }
        self.stream.push(Bytes::from(head), &mut |piece| out.extend_from_slice(&piece));
    }
}

impl Origins {
    /// Public → internal for a URL that a request carries: `Referer`, with what its query
    /// carries. `None` if nothing changes, and always in [`super::Mode::Safety`], where the backend knows the public address.
    pub fn to_internal(&self, value: &HeaderValue) -> Option<HeaderValue> {
        if !self.translates() {
            return None;
        }
        match self.inward.rewrite(value.as_bytes()) {
            Cow::Borrowed(_) => None,
            Cow::Owned(value) => HeaderValue::from_bytes(&value).ok(),
        }
    }

    /// The same for the cookies of a request: what one was set to with an internal address in it, the backend gets back.
    pub fn cookies_to_internal(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let mut cookies = self.to_internal(value)?;
        cookies.set_sensitive(true);
        Some(cookies)
    }

    /// The same for `Origin`, which has no path and must get none.
    pub fn origin_to_internal(&self, value: &HeaderValue) -> Option<HeaderValue> {
        self.to_internal(value)?;
        HeaderValue::from_bytes(&self.internal.origin()).ok()
    }

    /// The same for `Destination` (RFC 4918, section 10.3), which is a URL or a path.
    pub fn destination_to_internal(&self, value: &HeaderValue) -> Option<HeaderValue> {
        if !self.translates() {
            return None;
        }
        HeaderValue::from_bytes(&self.target_to_internal(value.as_bytes())?).ok()
    }

    /// The same for `If` (RFC 4918, section 10.4): `</docs> (<opaquelocktoken:…> ["etag"])`; and with the backend's own entity
    /// tags in every mode ([`super::tags_to_internal`]).
    pub fn condition_to_internal(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let tags = super::tags::internal(value.as_bytes());
        let mapped = self.condition_resources(tags.as_deref().unwrap_or(value.as_bytes())).or(tags)?;
        HeaderValue::from_bytes(&mapped).ok()
    }

    fn condition_resources(&self, value: &[u8]) -> Option<Vec<u8>> {
        if !self.translates() {
            return None;
        }
        map_targets(value, Cow::Borrowed, |target| self.target_to_internal(target))
    }

    /// The query of a request, with what its parameters carry. `None` if nothing changes.
    pub fn query_to_internal(self: &Arc<Self>, query: &str) -> Option<String> {
        if !self.translates() {
            return None;
        }
        let mut form = Form::new(self.clone());
        let mut out = Vec::with_capacity(query.len().saturating_add(32));
        form.push(query.as_bytes(), &mut out);
        form.finish(&mut out);
        if form.has_changed() { String::from_utf8(out).ok() } else { None }
    }

    fn target_to_internal(&self, target: &[u8]) -> Option<Vec<u8>> {
        match self.inward.rewrite(target) {
            Cow::Owned(mapped) => Some(mapped),
            Cow::Borrowed(path) => self.path_to_internal(path),
        }
    }

    /// A path that the backend is to lead back to. It has the internal prefix already where a page carried it as data.
    fn return_to_internal(&self, value: &[u8]) -> Option<Vec<u8>> {
        let internal = self.internal.path();
        let is_internal = value.strip_prefix(internal.as_slice()).is_some_and(goes_on);
        if is_internal { None } else { self.path_to_internal(value) }
    }

    fn path_to_internal(&self, path: &[u8]) -> Option<Vec<u8>> {
        let rest = path.strip_prefix(self.public.path().as_slice()).filter(|rest| goes_on(rest))?;
        // `//host` and what browsers take for it are no paths.
        if !path.starts_with(b"/") || matches!(path.get(1), Some(b'/' | b'\\')) {
            return None;
        }
        let path = [self.internal.path().as_slice(), rest].concat();
        Some(if path.starts_with(b"/") { path } else { [b"/".as_slice(), &path].concat() })
    }

    /// The longest beginning of a path that [`Self::return_to_internal`] looks at.
    fn longest_path(&self) -> usize {
        self.public.path().len().max(self.internal.path().len()).saturating_add(1)
    }
}

/// Whether a path goes on with its next segment, or ends, where `rest` begins.
fn goes_on(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'/' | b'?' | b'#' | b'\r'))
}
