//! Which form fields mean more to the CMS than what they are called: the page that answers, or who asks.

use serde::Deserialize;

/// What the end of a form field's name can mean to the CMS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRules {
    /// The types that make the field name the page that answers.
    redispatch: Vec<String>,
    /// The media types by which a posted body chooses the page that answers, in ways that nobody reads here.
    #[serde(default)]
    closed_types: Vec<String>,
}

impl FieldRules {
    pub(super) fn is_closed_type(&self, content_type: &[u8]) -> bool {
        let lower = content_type.to_ascii_lowercase();
        self.closed_types.iter().any(|closed| memchr::memmem::find(&lower, closed.as_bytes()).is_some())
    }

    /// A field's name without the types at its end (`:int`, `:method`, the `.x` of an image button).
    pub(super) fn base<'a>(&self, name: &'a str) -> &'a str {
        if self.redispatch.is_empty() {
            return name;
        }
        let mut base = name;
        while let Some((shorter, _)) = strip_type(base) {
            base = shorter;
        }
        base
    }

    pub(super) fn redispatched<'a>(&self, name: &'a str, value: &'a str) -> Option<&'a str> {
        let mut rest = name;
        let mut found = false;
        while let Some((shorter, kind)) = strip_type(rest) {
            found |= self.redispatch.iter().any(|wanted| wanted == kind);
            rest = shorter;
        }
        found.then_some(if rest.is_empty() { value } else { rest })
    }
}

/// Takes the last type from a field's name: `:` and a word that starts with a letter, or `.x`, `.y`.
/// This is how Zope's publisher reads names (ZPublisher, since Zope 2.0).
fn strip_type(name: &str) -> Option<(&str, &str)> {
    if let Some(base) = name.strip_suffix(".x").or_else(|| name.strip_suffix(".y")) {
        return Some((base, ""));
    }
    let (base, kind) = name.rsplit_once(':')?;
    let word = kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    word.then_some((base, kind))
}

/// Whether some CMS reads the field `name` under the name `field`: PHP overlooks blanks before it and what stands behind a zero byte, and
/// has `_` for dots and blanks.
pub(super) fn is_read_as(name: &str, field: &str) -> bool {
    let plain = name.trim_start_matches(' ').split('\0').next().unwrap_or_default();
    name == field || plain.chars().map(|c| if matches!(c, '.' | ' ') { '_' } else { c }).eq(field.chars())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cms::{Dialogue, TakenOver};

    fn plone() -> Dialogue {
        Dialogue::built_in("plone").unwrap().unwrap()
    }

    #[test]
    fn a_field_that_names_the_page_is_seen_in_every_spelling() {
        use TakenOver::{Closed, RequestReset, SignIn};
        let plone = plone();
        for (name, value, wanted) in [
            ("mail_password:method", "x", Some(RequestReset)),
            (":method", "mail_password", Some(RequestReset)),
            (":default_method", "@@mail_password", Some(RequestReset)),
            ("mail_password:action", "", Some(RequestReset)),
            (":action", "docs/mail_password", Some(RequestReset)),
            (":default_action", "login", Some(SignIn)),
            ("mail_password:method:int", "", Some(RequestReset)),
            ("mail_password:int:method", "", Some(RequestReset)),
            ("mail_password:method.x", "", Some(RequestReset)),
            ("mail_password.y:method", "", Some(RequestReset)),
            ("../mail_password:method", "", Some(RequestReset)),
            (":method", "..%2fmail_password", Some(RequestReset)),
            (":method", "mail%5fpassword", Some(RequestReset)),
            ("portal_registration/mailPassword:method", "", Some(Closed)),
            ("folder_delete:method", "mail_password", None),
            ("title", "mail_password", None),
            ("mail_password", "1", None),
            ("ratio:16:9", "login", None),
            ("count:int", "login", None),
        ] {
            assert_eq!(plone.redispatch(name, value), wanted, "{name}={value}");
        }
        assert_eq!(plone.redispatched("folder_delete:method", "x"), Some("folder_delete"));
        assert_eq!(plone.redispatched("count:int", "x"), None);
    }

    #[test]
    fn a_credential_field_is_seen_with_any_type_at_its_end() {
        let plone = plone();
        for (name, is) in [
            ("__ac_name", true),
            ("__ac_password:string", true),
            ("__ac_password:utf8:ustring", true),
            ("__ac_name.x", true),
            ("__ac_names", false),
            ("name", false),
        ] {
            assert_eq!(plone.is_credential_field(name), is, "{name}");
        }
    }

    #[test]
    fn a_field_is_seen_under_the_names_by_which_php_reads_it() {
        for (name, is) in [
            ("pass", true),
            ("  pass", true),
            ("pass\0x", true),
            (" pass\0", true),
            ("passe", false),
            ("\0pass", false),
            ("pass x", false),
        ] {
            assert_eq!(is_read_as(name, "pass"), is, "{name:?}");
        }
        assert!(is_read_as("a.b", "a_b") && is_read_as("a b", "a_b") && is_read_as("a.b", "a.b"));
    }
}
