//! Who may reach which path: the operator's rules, as a value that a test can read.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};

use crate::config::values::schema_as;

/// In more ways than this no path is read: each is judged by the rules, and a visitor chooses how often the root is named in it.
const MOST_READINGS: usize = 8;

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
    /// Whether the CMS finds at a path what lies elsewhere ([`crate::cms::PathRules::acquires`]). Not a key: the dialogue says it.
    #[serde(skip)]
    pub acquires: bool,
    /// What may stand before a name without changing it ([`crate::cms::PathRules::view_prefixes`]). No key either.
    #[serde(skip)]
    pub view_prefixes: Vec<String>,
    /// How the names begin that lead nowhere else ([`crate::cms::PathRules::transparent`]). No key either.
    #[serde(skip)]
    pub transparent: Vec<String>,
    /// How the names begin behind which files lie ([`crate::cms::PathRules::resources`]). No key either.
    #[serde(skip)]
    pub resources: Vec<String>,
    /// What the CMS calls its own root: the last name in the path of the backend. No key either.
    #[serde(skip)]
    pub root: Option<Vec<u8>>,
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
    /// The same paths by their [`plain`] names, where that makes a difference.
    #[serde(skip)]
    plain: Option<Pattern>,
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
    /// Closes a folder, named as it is, to everyone.
    pub fn closing(folder: &[u8]) -> Self {
        let path = folder.iter().chain(b"/").map(|byte| Piece::Byte(*byte)).chain([Piece::Anything]);
        Self {
            path: Pattern::new(path.collect()),
            networks: Vec::new(),
            client_certificate: false,
            access: Access::Deny,
            plain: None,
        }
    }

    /// Whether it is about `path`. One that closes a path closes it by its other names, too.
    fn fits(&self, path: &[u8], plain: &[u8]) -> bool {
        self.path.matches(path) || self.has_other_names(path, plain) && self.by_plain_name().matches(plain)
    }

    /// The same of a path at which the CMS may have found what lies elsewhere; `tail` takes the beginning off.
    fn is_found_at(&self, path: &[u8], plain: &[u8], tail: impl Fn(&[u8]) -> &[u8]) -> bool {
        self.path.is_found_at(tail(path))
            || self.has_other_names(path, plain) && self.by_plain_name().is_found_at(tail(plain))
    }

    fn has_other_names(&self, path: &[u8], plain: &[u8]) -> bool {
        self.closes() && (self.plain.is_some() || path != plain)
    }

    fn by_plain_name(&self) -> &Pattern {
        self.plain.as_ref().unwrap_or(&self.path)
    }

    /// Whether it keeps anybody from anything.
    fn closes(&self) -> bool {
        self.access != Access::Public || !self.networks.is_empty() || self.client_certificate
    }

    fn is_for(&self, from: From) -> bool {
        (from.certificate || !self.client_certificate)
            && (self.networks.is_empty()
                || self.networks.iter().any(|network| network.contains(&from.client)))
    }
}

impl Settings {
    /// The same for a CMS that reads each name without these prefixes.
    pub fn with_view_prefixes(mut self, prefixes: &[String]) -> Self {
        self.view_prefixes = prefixes.iter().filter(|prefix| !prefix.is_empty()).cloned().collect();
        for rule in &mut self.rules {
            rule.plain = rule.path.plain(&self.view_prefixes);
        }
        self
    }

    /// The other name of a path: without the slash at its end, which to many servers makes no difference (to Zope none at all), and without
    /// what may stand before a name.
    fn plain<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        let path = match path.strip_suffix(b"/") {
            Some(shorter) if !shorter.is_empty() => shorter,
            _ => path,
        };
        let bare = |segment| bare(segment, &self.view_prefixes);
        if path.split(|byte| *byte == b'/').all(|segment| bare(segment).len() == segment.len()) {
            return Cow::Borrowed(path);
        }
        Cow::Owned(path.split(|byte| *byte == b'/').map(bare).collect::<Vec<_>>().join(&b'/'))
    }

    /// Whether anything is for whoever has signed in.
    pub fn asks_to_sign_in(&self) -> bool {
        self.default == Access::SignedIn || self.rules.iter().any(|rule| rule.access == Access::SignedIn)
    }

    /// Whether some visitors may reach `path` and others not because of where they come from, rather than who they are.
    pub fn depends_on_place(&self, path: &[u8]) -> bool {
        let depends = |rule: &Rule| rule.client_certificate || !rule.networks.is_empty();
        self.readings(path).iter().any(|path| {
            let plain = self.plain(path);
            let mut rules = self.rules.iter().filter(|rule| rule.fits(path, &plain));
            rules.next().is_some_and(depends) || self.acquired(path, &plain).any(depends)
        })
    }

    /// What `path` (percent-decoded, below the site's public address) asks of a visitor: the most of what it asks for in any of the
    /// ways in which a CMS reads it.
    pub fn access(&self, path: &[u8], from: From) -> Access {
        let bare = without_parameters(path).map(|bare| self.as_written(&bare, from));
        let readings = self.readings(path);
        // No page has such an address, and each reading takes its time.
        let unclear = (readings.len() > MOST_READINGS).then_some(Access::Deny);
        let read = readings.iter().take(MOST_READINGS).map(|path| {
            let plain = self.plain(path);
            let acquired = self.acquired(path, &plain).map(|rule| self.of_pattern(&rule.path, from));
            acquired.fold(self.as_written(path, from), Access::max)
        });
        read.chain(bare).chain(unclear).max().unwrap_or(Access::Deny)
    }

    /// The paths at which a CMS that acquires finds the same, the one that is written first. It finds its own root below any
    /// folder, too (`/news/Plone/@@view` is a view of the whole site), and some names lead to where they stand.
    fn readings<'p>(&self, path: &'p [u8]) -> Vec<Cow<'p, [u8]>> {
        let mut readings = vec![Cow::Borrowed(path)];
        if !self.acquires {
            return readings;
        }
        if let Some(root) = &self.root {
            let slashes = memchr::memchr_iter(b'/', path).chain([path.len()]);
            let behind = slashes.filter_map(|at| {
                let (before, rest) = path.split_at_checked(at)?;
                let name = before.rsplit(|byte| *byte == b'/').next()?;
                let is_root = bare(name, &self.view_prefixes) == root.as_slice();
                let rest: &[u8] = if rest.is_empty() { b"/" } else { rest };
                is_root.then_some(Cow::Borrowed(rest))
            });
            readings.extend(behind.take(MOST_READINGS));
        }
        let through: Vec<_> = readings.iter().filter_map(|path| self.without_transparent(path)).collect();
        readings.extend(through.into_iter().map(Cow::Owned));
        readings
    }

    /// The path without the names that lead nowhere else, but for those before a file (`/++webresource++x/++theme++y/a.css`), which
    /// is nothing else without them; `None` if that makes no difference.
    fn without_transparent(&self, path: &[u8]) -> Option<Vec<u8>> {
        let begins =
            |name: &[u8], with: &[String]| with.iter().any(|start| name.starts_with(start.as_bytes()));
        let is_transparent = |name: &[u8]| begins(bare(name, &self.view_prefixes), &self.transparent);
        if !segments(path).any(is_transparent) {
            return None;
        }
        let (mut names, mut passed, mut is_before_file) = (Vec::new(), false, false);
        // From the end, so that what follows is known.
        for name in segments(path).collect::<Vec<_>>().into_iter().rev() {
            if !is_transparent(name) {
                // The start alone names no file.
                is_before_file = self
                    .resources
                    .iter()
                    .any(|start| name.strip_prefix(start.as_bytes()).is_some_and(|rest| !rest.is_empty()));
            } else if !is_before_file {
                passed = true;
                continue;
            }
            names.push(name);
        }
        names.reverse();
        let end: &[u8] = if path.ends_with(b"/") && !names.is_empty() { b"/" } else { b"" };
        passed.then(|| [b"/", &names.join(&b'/')[..], end].concat())
    }

    /// The rules that close what a CMS that acquires may have found at `path`, although it lies elsewhere. Zope looks for each name
    /// in all the folders above, too: what is at `/secret/a` is at `/news/secret/a` and at `/secret/news/a`.
    ///
    /// So a rule also holds where the names in its pattern stand further apart or further down. Where a rule above it says
    /// otherwise of just that place, as `/projects/secret/**` does of what `/secret/**` would hold for, only what stands behind
    /// that place counts.
    fn acquired(&self, path: &[u8], plain: &[u8]) -> impl Iterator<Item = &Rule> {
        let rules = if self.acquires { self.rules.as_slice() } else { &[] };
        let decided = rules.iter().find(|rule| rule.fits(path, plain)).map(|rule| rule.path.place());
        rules.iter().filter(|rule| rule.closes()).filter(move |rule| {
            let behind = match decided.as_ref().filter(|place| rule.path.is_found_at(place)) {
                Some(place) => segments(place).count(),
                // Order has decided already.
                None if rule.fits(path, plain) => 1,
                None => 0,
            };
            !(behind > 0 && rule.path.is_anywhere())
                && rule.is_found_at(path, plain, |path| tail(path, behind))
        })
    }

    /// What the rules with this very pattern ask for.
    fn of_pattern(&self, pattern: &Pattern, from: From) -> Access {
        let mut same = self.rules.iter().filter(|rule| rule.path == *pattern);
        same.find(|rule| rule.is_for(from)).map_or(Access::Deny, |rule| rule.access)
    }

    /// What the path asks for as it is written.
    fn as_written(&self, path: &[u8], from: From) -> Access {
        let (mut otherwise, plain) = (self.default, self.plain(path));
        for rule in self.rules.iter().filter(|rule| rule.fits(path, &plain)) {
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
        let readings = self.readings(path);
        let below = readings.iter().take(MOST_READINGS).map(|path| self.below_as_written(path, from));
        below.max().unwrap_or(Access::Deny)
    }

    fn below_as_written(&self, path: &[u8], from: From) -> Access {
        // The folder itself may have been found elsewhere, by its last names alone.
        let most = if self.acquires { usize::MAX } else { 1 };
        let folders = memchr::memchr_iter(b'/', path).filter_map(|at| path.get(at..));
        // Nothing is named below a folder whose own name is longer.
        let longest = self.rules.iter().map(|rule| rule.path.place().len()).max().unwrap_or_default();
        let folders = folders.take(most).filter(|folder| folder.len() <= longest + 1);
        let named = folders.filter(|folder| *folder != b"/" || path == b"/");
        named.map(|folder| self.access_within(folder, from)).max().unwrap_or(Access::Public)
    }

    fn access_within(&self, path: &[u8], from: From) -> Access {
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

/// The names in a path.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty())
}

/// A name without all that may stand before it.
fn bare<'s>(mut name: &'s [u8], prefixes: &[String]) -> &'s [u8] {
    while let Some(rest) = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix.as_bytes())) {
        name = rest;
    }
    name
}

/// The path without its first `count` names.
fn tail(path: &[u8], count: usize) -> &[u8] {
    (0..count).fold(path, |path, _| {
        let name = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
        let rest = path.get(name..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        rest.get(end..).unwrap_or_default()
    })
}

/// The path as servers read it that take `;` for the beginning of parameters of a segment (RFC 3986, section 3.3), as those of Java
/// do; `None` if that makes no difference.
pub fn without_parameters(path: &[u8]) -> Option<Vec<u8>> {
    if !path.contains(&b';') {
        return None;
    }
    let names = segments(path).map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default());
    let names: Vec<&[u8]> = names.filter(|name| !name.is_empty()).collect();
    let end: &[u8] = if path.ends_with(b"/") && !names.is_empty() { b"/" } else { b"" };
    Some([b"/", &names.join(&b'/')[..], end].concat())
}

/// A pattern of paths: `*` stands for anything within one segment, `**` for anything at all.
/// A pattern that ends in `/**` also fits the path before it. Case matters, as it does to Zope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
    /// The same with [`Piece::Between`] behind each slash.
    apart: Vec<Piece>,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    /// `*`
    Within,
    /// `**`
    Anything,
    /// Nothing, or whole segments; in no pattern as it is written, see [`Pattern::is_found_at`].
    Between,
}

impl Piece {
    const fn byte(&self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(*byte),
            Self::Within | Self::Anything | Self::Between => None,
        }
    }
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
        Self::new(pieces)
    }

    fn new(pieces: Vec<Piece>) -> Self {
        let apart = pieces.iter().flat_map(|piece| {
            let between = (*piece == Piece::Byte(b'/')).then_some(Piece::Between);
            std::iter::once(*piece).chain(between)
        });
        Self { apart: apart.collect(), pieces }
    }

    /// The same without what may stand before a name, where a name follows; `None` if that makes no difference.
    fn plain(&self, prefixes: &[String]) -> Option<Self> {
        let names = self.pieces.split(|piece| *piece == Piece::Byte(b'/')).map(|name| {
            let plain: Vec<u8> = name.iter().map_while(Piece::byte).collect();
            let start = plain.len() - bare(&plain, prefixes).len();
            if start < plain.len() { name.get(start..).unwrap_or(name) } else { name }
        });
        let pieces = names.collect::<Vec<_>>().join(&Piece::Byte(b'/'));
        (pieces != self.pieces).then(|| Self::new(pieces))
    }

    /// What stands before its first star.
    fn place(&self) -> Vec<u8> {
        self.pieces.iter().map_while(Piece::byte).collect()
    }

    /// The folder, if it stands for one with all that is in it (`/public/**`), other than the whole site.
    pub fn folder(&self) -> Option<String> {
        let place = self.pieces.strip_suffix(&[Piece::Byte(b'/'), Piece::Anything])?;
        let plain = place.iter().all(|piece| matches!(piece, Piece::Byte(_)));
        (plain && !place.is_empty())
            .then(|| String::from_utf8_lossy(&self.place()).trim_end_matches('/').to_owned())
    }

    /// The page, if it stands for one alone, other than the front page, a view or what has an ending like a file's.
    pub fn page(&self) -> Option<String> {
        let plain: Vec<u8> = self.pieces.iter().map(Piece::byte).collect::<Option<_>>()?;
        let page = String::from_utf8_lossy(&plain).into_owned();
        let name = page.rsplit('/').next().unwrap_or_default();
        let is_one =
            !name.is_empty() && !name.contains('.') && !name.starts_with("@@") && !name.starts_with("++");
        is_one.then_some(page)
    }

    /// The pattern, if it holds for all that is behind a name that begins with `start` (`/++theme++mine/**`).
    pub fn behind(&self, start: &str) -> Option<String> {
        let bytes = self.pieces.iter().flat_map(|piece| match piece {
            Piece::Byte(byte) => vec![*byte],
            Piece::Within => b"*".to_vec(),
            Piece::Anything => b"**".to_vec(),
            Piece::Between => Vec::new(),
        });
        let text = String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned();
        text.split_once(start).is_some_and(|(_, rest)| rest.contains("**")).then_some(text)
    }

    /// Whether it begins with a star and so holds at any depth.
    fn is_anywhere(&self) -> bool {
        !matches!(self.pieces.first(), Some(Piece::Byte(_)))
    }

    /// Whether `path` fits.
    pub fn matches(&self, path: &[u8]) -> bool {
        let folder = self.pieces.strip_suffix(&[Piece::Byte(b'/'), Piece::Anything]);
        fits(&self.pieces, path) || folder.is_some_and(|folder| fits(folder, path))
    }

    /// Whether `path` would fit without some of its segments.
    fn is_found_at(&self, path: &[u8]) -> bool {
        let folder = self.apart.strip_suffix(&[Piece::Byte(b'/'), Piece::Between, Piece::Anything]);
        fits(&self.apart, path) || folder.is_some_and(|folder| fits(folder, path))
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
    let (mut few, mut many) = ([false; 64], Vec::new());
    let reached = few.get_mut(..pattern.len()).unwrap_or_else(|| {
        many.resize(pattern.len(), false);
        &mut many
    });
    let mut comes = true;
    for (piece, here) in pattern.iter().zip(&mut *reached) {
        *here = comes;
        comes &= !matches!(piece, Piece::Byte(_));
    }
    for byte in path {
        comes = false;
        for (piece, here) in pattern.iter().zip(&mut *reached) {
            let was = *here;
            *here = comes
                || was
                    && match piece {
                        Piece::Byte(_) => false,
                        Piece::Within => *byte != b'/',
                        Piece::Anything | Piece::Between => true,
                    };
            comes = match piece {
                Piece::Byte(wanted) => was && wanted == byte,
                Piece::Within | Piece::Anything => *here,
                Piece::Between => comes || was && *byte == b'/',
            };
        }
    }
    comes
}

#[cfg(test)]
mod tests;
