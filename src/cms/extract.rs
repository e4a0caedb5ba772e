//! Taking one value out of an answer: an account's id, a link's one-time mark.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::answer::Seen;
use super::cookies::{CookieName, CredentialRules};
use super::template::Filling;
use super::values::{CssSelector, HeaderKey, Pointer};

/// Padding or none: cookies have either.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// The longest value that is taken, in bytes.
const CAP: usize = 4096;

/// Where a value stands (exactly one place), and what of it counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Extraction {
    /// A cookie that the answer sets; its value without quotes and percent-encoding.
    cookie: Option<CookieName>,
    /// A value in the JSON of the answer: a text or a number.
    json: Option<Pointer>,
    /// The first element of the page: its text, or an attribute.
    css: Option<CssSelector>,
    attribute: Option<String>,
    /// A header of the answer.
    header: Option<HeaderKey>,
    /// A part of the reset link's token.
    token: Option<String>,
    /// What an earlier answer was asked to keep.
    keep: Option<String>,
    /// Whether it is decoded from Base64 first.
    #[serde(default)]
    base64: bool,
    /// How many bytes to leave out at its beginning.
    #[serde(default)]
    skip: usize,
    /// The value begins behind this text.
    after: Option<String>,
    /// The value ends before this text, which must be there,
    until: Option<String>,
    /// unless this is true: then the value may go to the end.
    #[serde(default)]
    open_end: bool,
}

impl Extraction {
    /// Checks what serde cannot see.
    pub(super) fn check(&self) -> Result<(), String> {
        let places = [
            self.cookie.is_some(),
            self.json.is_some(),
            self.css.is_some(),
            self.header.is_some(),
            self.token.is_some(),
            self.keep.is_some(),
        ];
        if places.into_iter().filter(|place| *place).count() != 1 {
            return Err("a value is taken from one of `cookie`, `json`, `css`, `header`, `token` and `keep`"
                .to_owned());
        }
        if self.attribute.is_some() && self.css.is_none() {
            return Err("`attribute` goes with `css`".to_owned());
        }
        Ok(())
    }

    /// The part of the token that is asked for.
    pub(super) fn token_part(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The value, if it is there and is text without control characters.
    pub(super) fn take(
        &self,
        seen: &Seen<'_>,
        rules: &CredentialRules,
        filling: &Filling<'_>,
    ) -> Option<String> {
        let found = self.find(seen, rules, filling).filter(|found| found.len() <= CAP)?;
        let bytes = if self.base64 { BASE64.decode(found.trim()).ok()? } else { found.into_bytes() };
        let text = std::str::from_utf8(bytes.get(self.skip..)?);
        // What counts may be text though the rest is not.
        let text = match text {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(bytes.get(self.skip..)?.get(..error.valid_up_to())?).ok()?,
        };
        let text = match &self.after {
            Some(after) => text.split_once(after.as_str())?.1,
            None => text,
        };
        let text = match &self.until {
            Some(until) => match text.split_once(until.as_str()) {
                Some((before, _)) => before,
                None if self.open_end => text,
                None => return None,
            },
            None => text,
        };
        let text = text.trim();
        (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
    }

    fn find(&self, seen: &Seen<'_>, rules: &CredentialRules, filling: &Filling<'_>) -> Option<String> {
        if let Some(name) = &self.cookie {
            let set = seen.answer.set_cookies.iter().filter_map(|header| rules.read_any(header));
            let value = set.filter(|cookie| name.is(&cookie.name)).last()?.value?;
            let bare = value.expose().trim_matches('"');
            return percent_encoding::percent_decode_str(bare).decode_utf8().ok().map(Into::into);
        }
        if let Some(pointer) = &self.json {
            return match pointer.find(seen.json.as_ref()?)? {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Number(number) => Some(number.to_string()),
                _ => None,
            };
        }
        if let Some(css) = &self.css {
            return seen.page.as_ref()?.value(css, self.attribute.as_deref());
        }
        if let Some(name) = &self.header {
            return seen.answer.headers.get(name.name())?.to_str().ok().map(str::to_owned);
        }
        if let Some(kept) = &self.keep {
            return filling.kept.get(kept).map(|kept| kept.expose().to_owned());
        }
        filling.token_part(self.token.as_deref()?).map(str::to_owned)
    }
}
