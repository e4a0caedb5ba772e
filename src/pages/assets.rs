//! The style sheet, the script and the mark, served by the gate itself.
//!
//! Their addresses carry a hash of their content (`gate.0123456789abcdef.css`), so a browser keeps them for good and
//! still sees a change at once. The folder `assets/` beside the operator's templates replaces ours and adds others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use sha2::{Digest, Sha256};

use super::problem::Problem;

const EMBEDDED: [(&str, &str); 3] = [
    ("gate.css", include_str!("assets/gate.css")),
    ("gate.js", include_str!("assets/gate.js")),
    ("mark.svg", include_str!("assets/mark.svg")),
];

/// What an operator may add, by file extension: nothing that a browser would run as a page.
const TYPES: [(&str, &str); 9] = [
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("ico", "image/x-icon"),
];

/// A year, the most that RFC 9111 caches are expected to honour; the address changes with the content.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// One file, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its content.
    pub bytes: Bytes,
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// For `Cache-Control`.
    pub cache_control: &'static str,
}

impl From<Asset> for Response<Bytes> {
    fn from(asset: Asset) -> Self {
        let length = asset.bytes.len();
        let mut response = Self::new(asset.bytes);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        headers.insert(header::CONTENT_LENGTH, length.into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(asset.cache_control));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // An SVG opened by itself is a document that could run scripts.
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        response
    }
}

/// All assets, by their plain name.
#[derive(Debug)]
pub(super) struct Assets(BTreeMap<String, (String, Asset)>);

impl Assets {
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let mut assets = Self(BTreeMap::new());
        let mut problems = Vec::new();
        for (name, content) in EMBEDDED {
            if let Some((_, extension)) = name.rsplit_once('.') {
                assets.add(name, extension, Bytes::from_static(content.as_bytes()));
            }
        }
        for (extension, _) in TYPES {
            for file in
                folder.map(|folder| super::files_of(&folder.join("assets"), extension)).unwrap_or_default()
            {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                match fs::read(&file) {
                    Ok(content) => assets.add(name, extension, content.into()),
                    Err(error) => {
                        problems.push(Problem::new(&file, None, format!("cannot be read: {error}")))
                    }
                }
            }
        }
        if problems.is_empty() { Ok(assets) } else { Err(problems) }
    }

    fn add(&mut self, name: &str, extension: &str, bytes: Bytes) {
        let Some((_, content_type)) = TYPES.iter().find(|(known, _)| *known == extension) else { return };
        let mut hash = String::with_capacity(16);
        for byte in Sha256::digest(&bytes).iter().take(8) {
            let _ = write!(hash, "{byte:02x}");
        }
        let stem = name.strip_suffix(extension).unwrap_or(name);
        let hashed = format!("{stem}{hash}.{extension}");
        self.0.insert(name.to_owned(), (hashed, Asset { bytes, content_type, cache_control: FOR_GOOD }));
    }

    /// The file name with the hash, for a link to the asset.
    pub(super) fn hashed(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|(hashed, _)| hashed.as_str())
    }

    /// What to send for `name`, the part of the path behind `assets/`. A hash that is not ours (a page of the gate
    /// before or beside this one, during an update) or none gets what there is, but it is not kept.
    pub(super) fn find(&self, name: &str) -> Option<Asset> {
        let found = |plain: &str| self.0.get(plain);
        let plain = name.rsplit_once('.').and_then(|(front, extension)| {
            let (stem, hash) = front.rsplit_once('.')?;
            let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hash.then(|| format!("{stem}.{extension}"))
        });
        let (hashed, asset) = found(name).or_else(|| found(plain.as_deref()?))?;
        let cache_control = if hashed == name { FOR_GOOD } else { "no-cache" };
        Some(Asset { cache_control, ..asset.clone() })
    }
}
