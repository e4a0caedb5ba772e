//! Makes the TOML reader's messages say what to do.

use super::finding::nearest;

/// Keys that are part of the file's shape, but that this version does not act on. They are refused, so that nobody
/// relies on what does not happen.
const NOT_YET: &[(&str, &str)] = &[(
    "acme",
    "certificates are not fetched by the gate yet; name files that an ACME client keeps, they are read anew when they change",
)];

/// The message for an operator: what the reader said, with the nearest known key.
pub(super) fn explain(message: &str) -> String {
    let mut words = message.split('`');
    let (Some("unknown field "), Some(key)) = (words.next(), words.next()) else {
        return message.trim_end().to_owned();
    };
    if let Some((_, reason)) = NOT_YET.iter().find(|(name, _)| *name == key) {
        return format!("`{key}`: {reason}; remove it");
    }
    let known: Vec<&str> = words.skip(1).step_by(2).collect();
    format!("there is no key `{key}` here; {}", nearest(key, &known))
}
