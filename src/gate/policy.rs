//! Who may reach which path: the operator's rules, as a value that a test can read.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::config::values::schema_as;

/// What a path asks of a visitor; the later, the stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Anyone may pass.
    Public,
    /// Only who has signed in.
    #[default]
    SignedIn,
    /// Nobody.
    Deny,
}

/// `[site.access]` of `proxy.toml`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What holds for a path that no rule names; `"signed-in"` unless said otherwise.
    #[serde(default)]
    pub default: Access,
    /// Tried in their order; the first that fits decides.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One rule: paths, perhaps networks, and what they ask for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which paths, below the site's public address.
    pub path: Pattern,
    /// The networks the rule is for; empty: all. A path that is named for some networks is closed to all
    /// others, unless a later rule opens it to them: the default does not.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Whether it is only for who shows a certificate of `server.tls.client_ca`; like a network, it closes the path to others.
    #[serde(default)]
    pub client_certificate: bool,
    /// What it asks for.
    pub access: Access,
}

/// Where a visitor comes from, as far as rules ask.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The address.
    pub client: IpAddr,
    /// Whether a certificate of an authority that the gate trusts was shown.
    pub certificate: bool,
}

impl Rule {
    fn is_for(&self, from: From) -> bool {
        (from.certificate || !self.client_certificate)
            && (self.networks.is_empty()
                || self.networks.iter().any(|network| network.contains(&from.client)))
    }
}

impl Settings {
    /// Whether anything is for whoever has signed in.
    pub fn asks_to_sign_in(&self) -> bool {
        self.default == Access::SignedIn || self.rules.iter().any(|rule| rule.access == Access::SignedIn)
    }

    /// Whether some visitors may reach `path` and others not because of where they come from, rather than who they are.
    pub fn depends_on_place(&self, path: &[u8]) -> bool {
        let mut rules = self.rules.iter().filter(|rule| rule.path.matches(path));
        rules.next().is_some_and(|rule| rule.client_certificate || !rule.networks.is_empty())
    }

    /// What `path` (percent-decoded, below the site's public address) asks of a visitor.
    pub fn access(&self, path: &[u8], from: From) -> Access {
        let mut otherwise = self.default;
        for rule in self.rules.iter().filter(|rule| rule.path.matches(path)) {
            if rule.is_for(from) {
                return rule.access;
            }
            otherwise = Access::Deny;
        }
        otherwise
    }

    /// The most that anything below `path` asks of a visitor, as far as rules name it by its place. Those that begin with a star
    /// (`**/edit`) are about views and files wherever they are, and nothing that is copied or moved.
    pub fn access_below(&self, path: &[u8], from: From) -> Access {
        let folder = [path.strip_suffix(b"/").unwrap_or(path), b"/"].concat();
        let below = self.rules.iter().filter_map(|rule| {
            let place = rule.path.place();
            let there = place.strip_suffix(b"/").unwrap_or(&place);
            place.starts_with(&folder).then(|| match rule.path.matches(there) {
                true => self.access(there, from),
                false if rule.is_for(from) => rule.access,
                false => Access::Deny,
            })
        });
        below.max().unwrap_or(Access::Public)
    }
}

/// A pattern of paths: `*` stands for anything within one segment, `**` for anything at all.
/// A pattern that ends in `/**` also fits the path before it. Case matters, as it does to Zope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// `*`
    Within,
    /// `**`
    Anything,
}

impl Pattern {
    fn parse(text: &str) -> Self {
        let (mut pieces, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
        while let Some((piece, after)) = match rest {
            [] => None,
            [b'*', b'*', after @ ..] => Some((Piece::Anything, after)),
            [b'*', after @ ..] => Some((Piece::Within, after)),
            [byte, after @ ..] => Some((Piece::Byte(*byte), after)),
        } {
            pieces.push(piece);
            rest = after;
        }
        Self(pieces)
    }

    /// What stands before its first star.
    fn place(&self) -> Vec<u8> {
        let plain = self.0.iter().map_while(|piece| match piece {
            Piece::Byte(byte) => Some(*byte),
            Piece::Within | Piece::Anything => None,
        });
        plain.collect()
    }

    /// Whether `path` fits.
    pub fn matches(&self, path: &[u8]) -> bool {
        let folder = self.0.strip_suffix(&[Piece::Byte(b'/'), Piece::Anything]);
        fits(&self.0, path) || folder.is_some_and(|folder| fits(folder, path))
    }
}

schema_as!(Pattern, String);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.starts_with('/') && !text.starts_with("**") {
            return Err(de::Error::custom(format!("a path pattern begins with a slash: write \"/{text}\"")));
        }
        if text.contains('%') || text.contains('?') {
            return Err(de::Error::custom(
                "a path pattern is compared with the decoded path, without query: write it without `%` and `?`",
            ));
        }
        Ok(Self::parse(&text))
    }
}

/// In time that grows with pattern and path and no faster: a visitor chooses the path. Every way in which the pattern could
/// fit is followed at once, byte by byte.
fn fits(pattern: &[Piece], path: &[u8]) -> bool {
    // Most patterns begin with plain text, and most paths with another.
    let plain = pattern.iter().zip(path).take_while(|(piece, byte)| **piece == Piece::Byte(**byte)).count();
    let (pattern, path) = (pattern.get(plain..).unwrap_or_default(), path.get(plain..).unwrap_or_default());
    if matches!(pattern.first(), None | Some(Piece::Byte(_))) {
        return pattern.is_empty() && path.is_empty();
    }
    // For each piece, whether the bytes so far fit all pieces before it.
    let mut reached = vec![false; pattern.len()];
    let mut comes = true;
    for (piece, here) in pattern.iter().zip(&mut reached) {
        *here = comes;
        comes &= !matches!(piece, Piece::Byte(_));
    }
    for byte in path {
        comes = false;
        for (piece, here) in pattern.iter().zip(&mut reached) {
            let was = *here;
            *here = comes
                || was
                    && match piece {
                        Piece::Byte(_) => false,
                        Piece::Within => *byte != b'/',
                        Piece::Anything => true,
                    };
            comes = match piece {
                Piece::Byte(wanted) => was && wanted == byte,
                Piece::Within | Piece::Anything => *here,
            };
        }
    }
    comes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, path, expected) in [
            ("/robots.txt", "/robots.txt", true),
            ("/robots.txt", "/robots.txt/x", false),
            ("/robots.txt", "/a/robots.txt", false),
            ("/++resource++**", "/++resource++plone/a.css", true),
            ("/++resource++**", "/docs/++resource++plone", false),
            ("**/++resource++**", "/docs/++resource++plone", true),
            ("/manage**", "/manage_main", true),
            ("/manage**", "/Manage", false),
            ("/docs/*", "/docs/a", true),
            ("/docs/*", "/docs/a/b", false),
            ("/docs/*/edit", "/docs/a/edit", true),
            ("/docs/**", "/docs", true),
            ("/docs/**", "/docs/a/b", true),
            ("/docs/**", "/docsx", false),
            ("/**", "/", true),
            ("/*.css", "/a.css", true),
            ("/*.css", "/a.css/secret", false),
            ("/a**b**c", "/a-b-b-c", true),
            ("/a**b**c", "/a-c-b", false),
            ("/***", "/a/b", true),
            ("/*a*/*b*", "/xax/xbx", true),
            ("/*a*/*b*", "/xax/x/xbx", false),
            ("", "", true),
            ("**", "", true),
            ("/*", "/", true),
        ] {
            assert_eq!(Pattern::parse(pattern).matches(path.as_bytes()), expected, "{pattern} and {path}");
        }
    }

    #[test]
    fn no_path_makes_a_pattern_slow() {
        // Backtracking took time that grew with the length to the power of the stars: a year for this one.
        let pattern = Pattern::parse(&"**a*".repeat(12));
        assert!(pattern.matches("a".repeat(8 * 1024).as_bytes()));
        assert!(!Pattern::parse(&("**a*".repeat(12) + "c")).matches("a".repeat(8 * 1024).as_bytes()));
    }

    #[test]
    fn what_depends_on_where_a_visitor_comes_from_is_known() {
        let settings: Settings = toml::from_str(
            r#"
            rules = [
              { path = "/open/**", access = "public" },
              { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
              { path = "/open/**", networks = ["10.0.0.0/8"], access = "deny" },
              { path = "/card/**", client_certificate = true, access = "public" },
            ]"#,
        )
        .unwrap();
        for (path, expected) in [("/open/a", false), ("/office/a", true), ("/card/a", true), ("/docs", false)]
        {
            assert_eq!(settings.depends_on_place(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn the_strictest_rule_below_a_folder_is_known() {
        let settings: Settings = toml::from_str(
            r#"
            default = "public"
            rules = [
              { path = "/docs/open/**", access = "public" },
              { path = "/docs/closed/**", access = "deny" },
              { path = "/docs/office/**", networks = ["10.0.0.0/8"], access = "signed-in" },
              { path = "/media/*/private", access = "signed-in" },
              { path = "**/manage**", access = "deny" },
            ]"#,
        )
        .unwrap();
        for (path, inside, outside) in [
            ("/", Access::Deny, Access::Deny),
            ("/docs", Access::Deny, Access::Deny),
            ("/docs/", Access::Deny, Access::Deny),
            ("/docs/open", Access::Public, Access::Public),
            ("/docs/closed", Access::Deny, Access::Deny),
            ("/docs/office/", Access::SignedIn, Access::Deny),
            ("/doc", Access::Public, Access::Public),
            ("/media", Access::SignedIn, Access::SignedIn),
        ] {
            for (client, want) in [("10.0.0.1", inside), ("192.0.2.1", outside)] {
                let from = From { client: client.parse().unwrap(), certificate: false };
                assert_eq!(settings.access_below(path.as_bytes(), from), want, "{path} from {client}");
            }
        }
    }

    #[test]
    fn the_first_rule_that_fits_path_and_network_decides() {
        let settings: Settings = toml::from_str(
            r#"
            default = "signed-in"
            rules = [
              { path = "/robots.txt", access = "public" },
              { path = "/manage**", networks = ["127.0.0.0/8"], access = "signed-in" },
              { path = "/office/**", networks = ["10.0.0.0/8"], access = "public" },
              { path = "/office/**", access = "signed-in" },
              { path = "/old/**", access = "deny" },
              { path = "/admin/**", networks = ["10.0.0.0/8"], client_certificate = true, access = "signed-in" },
            ]"#,
        )
        .unwrap();
        for (name, path, client, access) in [
            ("public by rule", "/robots.txt", "192.0.2.1", Access::Public),
            ("nothing else is", "/robots.txt2", "192.0.2.1", Access::SignedIn),
            ("named network", "/manage_main", "127.0.0.1", Access::SignedIn),
            ("a path named for networks is closed to others", "/manage_main", "192.0.2.1", Access::Deny),
            ("open inside", "/office/a", "10.1.1.1", Access::Public),
            ("a later rule opens it to others", "/office/a", "192.0.2.1", Access::SignedIn),
            ("denied", "/old/a", "127.0.0.1", Access::Deny),
            ("default", "/docs", "192.0.2.1", Access::SignedIn),
            ("the network alone", "/admin/a", "10.1.1.1", Access::Deny),
        ] {
            let from = From { client: client.parse().unwrap(), certificate: false };
            assert_eq!(settings.access(path.as_bytes(), from), access, "{name}");
        }
        for (client, access) in [("10.1.1.1", Access::SignedIn), ("192.0.2.1", Access::Deny)] {
            let from = From { client: client.parse().unwrap(), certificate: true };
            assert_eq!(settings.access(b"/admin/a", from), access, "a certificate from {client}");
        }
    }
}
