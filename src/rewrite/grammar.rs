//! What an address looks like, and what it becomes: the truth that the search in [`super::map`] finds fast.
//!
//! ```text
//! match      = [ scheme ":" ] "/" "/" authority [ prefix ]      a URL, or one without a scheme
//!            | authority [ prefix ]                             a bare host, where no longer name goes on to the left
//!            | prefix                                           a path, where one certainly is a link ([`Paths`])
//! authority  = host [ "." ] [ ":" port ]                        followed by something that ends it
//! prefix     = "/" segment …                                    followed by something that ends it
//! ```
//! Each character but a letter or digit may be spelled in any way [`super::spelling`] knows. What ends an address matters as much
//! as what begins it: `http://plone.internal:8080evil`, `http://plone.internal.example.com` and `http://plone.internal@evil.example`
//! are other hosts, and `/Plonex` is another path.

use super::authority::{Miss, Name, Span, USERINFO, has_userinfo};
use super::prefix::{Prefix, USER, becomes_user, prefix_at};
use super::spelling::{self, LONGEST, Left, Read, Sym, read, symbol};

/// What addresses become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) secure: bool,
    pub(super) host: Vec<u8>,
    /// Only where it isn't the scheme's default.
    pub(super) port: Option<u16>,
    /// Segments of the path the site lives under.
    pub(super) prefix: Vec<Vec<u8>>,
}

/// Names to find, the path prefix that is dropped behind them, and the target.
#[derive(Clone, Debug)]
pub(super) struct Grammar {
    /// Longest first; among equals the site's own.
    pub(super) names: Vec<Name>,
    pub(super) prefix: Vec<Vec<u8>>,
    pub(super) target: Target,
    /// Prefixes and targets of other sites, whose names are found too. Several may live on one host, each below its own prefix.
    pub(super) others: Vec<(Vec<Vec<u8>>, Target)>,
    /// Where paths are mapped too.
    pub(super) paths: Paths,
    /// Paths that begin so are mapped already.
    pub(super) spared: Vec<Vec<u8>>,
}

/// Where a path is a link, for who knows nothing of the tags around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// Nowhere.
    Nowhere,
    /// In CSS's `url(…)` and `@import "…"`, in an XML element `href`, and where a script or style sheet says where its source is.
    Links,
    /// At the beginning of each string, as in an import map.
    Strings,
}

/// The outcome of looking for a match that starts at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    No,
    More,
    Found(Found),
}

/// A match: `start..end` is to be replaced, and these are the spellings it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    kind: Kind,
    /// Whose address it is, as in [`Name::site`].
    site: usize,
    dot: Option<Span>,
    port_colon: Option<Span>,
    /// The slash the prefix begins with; set only if the prefix was found.
    prefix_slash: Option<Span>,
    /// Whether what follows would become user information if nothing kept it from the host.
    apart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Url {
        socket: bool,
        colon: Span,
        slashes: Span,
        last_slash: Span,
    },
    Relative {
        slashes: Span,
        last_slash: Span,
    },
    /// The host of a URL with user information, which stays as it is.
    User,
    /// A host by itself.
    Word {
        after_slash: bool,
    },
    Path,
}

const SCHEMES: [(&[u8], bool, bool); 4] =
    [(b"https", true, false), (b"http", false, false), (b"wss", true, true), (b"ws", false, true)];

/// Bytes before a host that may belong to its match.
pub(super) const BEFORE_HOST: usize = 5 + 3 * LONGEST;

/// The most bytes before a match that can bear on it.
pub(super) const CONTEXT: usize = if spelling::LEFT > USERINFO + 16 { spelling::LEFT } else { USERINFO + 16 };

macro_rules! need {
    ($sym:expr) => {
        match $sym {
            Sym::Yes(len) => len,
            Sym::No => return Step::No,
            Sym::More => return Step::More,
        }
    };
}

impl Found {
    /// Whether the path prefix was part of it.
    pub(super) fn has_prefix(&self) -> bool {
        self.prefix_slash.is_some()
    }

    /// Whether a slash is written behind it that was not there.
    pub(super) fn is_kept_apart(&self) -> bool {
        self.apart
    }
}

impl Grammar {
    /// The longest a match and what must be seen behind it can be.
    pub(super) fn longest(&self) -> usize {
        // Each character may be spelled.
        let host = self.names.iter().map(|name| name.host.len());
        let length = |segments: &[Vec<u8>]| {
            segments.iter().map(|segment| segment.len().saturating_add(1)).sum::<usize>()
        };
        let others = self.others.iter().map(|(prefix, _)| length(prefix)).max().unwrap_or(0);
        let prefix = length(&self.prefix).max(length(&self.spared)).max(others);
        // Host; its dot, colon and port; the prefix; two characters behind.
        let characters = host
            .max()
            .unwrap_or(0)
            .saturating_add(2)
            .saturating_add(6)
            .saturating_add(prefix)
            .saturating_add(2);
        // And before all that scheme, colon, slashes; behind it what may be user information.
        BEFORE_HOST.saturating_add(LONGEST.saturating_mul(characters.saturating_add(USER)))
    }

    /// Which bytes a match can start with.
    pub(super) fn starts(&self) -> [bool; 256] {
        let mut starts = [false; 256];
        let hosts = self.names.iter().filter_map(|name| name.host.first().copied());
        for byte in b"hw/\\%&".iter().copied().chain(hosts) {
            for byte in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                if let Some(start) = starts.get_mut(usize::from(byte)) {
                    *start = true;
                }
            }
        }
        starts
    }

    /// Authorities with the prefix, plainly spelled, whose URLs become [`Self::plain_target`] whichever scheme they have.
    pub(super) fn plain_tails(&self) -> Vec<Vec<u8>> {
        let mut tails = Vec::new();
        // Below the prefix there may be another site's.
        if self.others.iter().any(|(other, _)| other.starts_with(&self.prefix)) {
            return tails;
        }
        for name in self.names.iter().filter(|name| name.site == 0 && name.only_scheme.is_none()) {
            let ports = name.ports.iter().map(|port| format!(":{port}"));
            for port in ports.chain(name.with_scheme.then(String::new)) {
                let mut tail = [name.host.as_slice(), port.as_bytes()].concat();
                for segment in &self.prefix {
                    tail.push(b'/');
                    tail.extend_from_slice(segment);
                }
                tails.push(tail);
            }
        }
        tails
    }

    /// The target as a plain URL.
    pub(super) fn plain_target(&self) -> Vec<u8> {
        let mut target = if self.target.secure { b"https://".to_vec() } else { b"http://".to_vec() };
        target.extend_from_slice(&self.target.host);
        if let Some(port) = self.target.port {
            target.extend_from_slice(format!(":{port}").as_bytes());
        }
        for segment in &self.target.prefix {
            target.push(b'/');
            target.extend_from_slice(segment);
        }
        target
    }

    /// Looks for a match that starts exactly at `at`. Reads at most [`CONTEXT`] bytes before and [`Self::longest`] after.
    pub(super) fn at(&self, text: &[u8], at: usize, end: bool) -> Step {
        let rest = text.get(at..).unwrap_or_default();
        let Some(&first) = rest.first() else { return Step::No };
        if matches!(first | 0x20, b'h' | b'w') {
            for (scheme, secure, socket) in SCHEMES {
                let seen = rest.get(..scheme.len()).unwrap_or(rest);
                if !scheme.get(..seen.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(seen)) {
                    continue;
                }
                if seen.len() < scheme.len() {
                    if end {
                        continue;
                    }
                    return Step::More;
                }
                match self.url(text, at, scheme.len(), secure, socket, end) {
                    Step::No => {}
                    step => return step,
                }
            }
        }
        if matches!(first, b'/' | b'\\' | b'%' | b'&') {
            match self.relative(text, at, end) {
                Step::No => {}
                step => return step,
            }
            match self.path(text, at, end) {
                Step::No => {}
                step => return step,
            }
        }
        self.bare(text, at, end)
    }

    fn url(&self, text: &[u8], start: usize, scheme: usize, secure: bool, socket: bool, end: bool) -> Step {
        let colon = start.saturating_add(scheme);
        let slash = colon.saturating_add(need!(symbol(text, colon, end, b':')));
        let second = slash.saturating_add(need!(symbol(text, slash, end, b'/')));
        let host = second.saturating_add(need!(symbol(text, second, end, b'/')));
        let kind =
            Kind::Url { socket, colon: (colon, slash), slashes: (slash, host), last_slash: (second, host) };
        self.authority(text, start, host, kind, Some(secure), end)
    }

    fn relative(&self, text: &[u8], start: usize, end: bool) -> Step {
        let second = start.saturating_add(need!(symbol(text, start, end, b'/')));
        let host = second.saturating_add(need!(symbol(text, second, end, b'/')));
        let kind = Kind::Relative { slashes: (start, host), last_slash: (second, host) };
        self.authority(text, start, host, kind, None, end)
    }

    fn bare(&self, text: &[u8], start: usize, end: bool) -> Step {
        let first = text.get(start).map(u8::to_ascii_lowercase);
        let is_spelled = matches!(first, Some(b'%' | b'&' | b'\\'));
        let starts = |name: &Name| {
            is_spelled || name.host.first().copied() == first || name.host.first() == Some(&b'[')
        };
        if !self.names.iter().any(starts) {
            return Step::No;
        }
        let kind = match spelling::left(text, start) {
            Left::Host => return Step::No,
            // The rest of an IPv6 address, which is not for this grammar to take apart.
            _ if matches!(text.get(..start), Some([.., b'[' | b':'])) && self.in_groups(text, start) => {
                return Step::No;
            }
            Left::At if has_userinfo(text, start) => Kind::User,
            left => Kind::Word { after_slash: left == Left::Slash },
        };
        self.authority(text, start, start, kind, None, end)
    }

    /// Whether an IPv6 address without brackets stands at `start`.
    fn in_groups(&self, text: &[u8], start: usize) -> bool {
        let mut words = self.names.iter().filter(|name| name.is_in_groups());
        words.any(|name| name.at(text, start, true).is_ok())
    }

    fn authority(
        &self,
        text: &[u8],
        start: usize,
        at: usize,
        kind: Kind,
        scheme: Option<bool>,
        end: bool,
    ) -> Step {
        let mut best: Option<(Option<usize>, Found)> = None;
        for name in &self.names {
            let step = name.at(text, at, end).and_then(|host| {
                if name.only_scheme.is_some_and(|only| scheme != Some(only)) {
                    return Err(Miss::No);
                }
                let (portless, with_port) = match kind {
                    // A path segment that happens to be called like the host is not an address.
                    Kind::Word { after_slash } => (name.as_word && !after_slash, name.as_authority),
                    Kind::Url { .. } => (name.with_scheme, true),
                    _ => (name.without_port, true),
                };
                name.port(text, host.end, portless, with_port, end).map(|port| (host, port))
            });
            match step {
                Ok((host, port)) => {
                    let found = Found {
                        start,
                        end: port.end,
                        kind,
                        site: name.site,
                        dot: host.dot,
                        port_colon: port.colon,
                        prefix_slash: None,
                        apart: false,
                    };
                    match self.with_prefix(text, found, end) {
                        Step::Found(found) if name.only_prefix && !found.has_prefix() => {}
                        Step::Found(found) if self.others.is_empty() => return Step::Found(found),
                        Step::Found(found) => {
                            let claim = self.claim(&found);
                            if best.is_none_or(|(other, _)| claim > other) {
                                best = Some((claim, found));
                            }
                        }
                        step => return step,
                    }
                }
                Err(Miss::No) => {}
                Err(Miss::More) => return Step::More,
            }
        }
        best.map_or(Step::No, |(_, found)| Step::Found(found))
    }

    /// How surely a match is its site's own: the length of the prefix it carries; an address without it is anybody's.
    pub(super) fn claim(&self, found: &Found) -> Option<usize> {
        let (prefix, _) = self.site(found.site);
        (found.has_prefix() || prefix.is_empty()).then(|| prefix.iter().map(Vec::len).sum())
    }

    /// Prefix and target of a site.
    pub(super) fn site(&self, site: usize) -> (&[Vec<u8>], &Target) {
        let other = site.checked_sub(1).and_then(|index| self.others.get(index));
        other.map_or((&self.prefix, &self.target), |(prefix, target)| (prefix, target))
    }

    /// Takes the prefix into a match if it stands behind it.
    fn with_prefix(&self, text: &[u8], found: Found, end: bool) -> Step {
        let (prefix, target) = self.site(found.site);
        if prefix.is_empty() {
            return Step::Found(found);
        }
        match prefix_at(prefix, text, found.end, end) {
            Prefix::Ends(slash, after) => {
                let apart =
                    if target.prefix.is_empty() { becomes_user(text, after, end) } else { Some(false) };
                apart.map_or(Step::More, |apart| {
                    Step::Found(Found { end: after, prefix_slash: Some(slash), apart, ..found })
                })
            }
            Prefix::More => Step::More,
            Prefix::No => Step::Found(found),
        }
    }

    /// Looks for a path that starts exactly at `start`, where one is a link.
    pub(super) fn path(&self, text: &[u8], start: usize, end: bool) -> Step {
        if text.get(start) != Some(&b'/') || self.paths == Paths::Nowhere {
            return Step::No;
        }
        let before = text.get(..start).unwrap_or_default();
        let is_link = match self.paths {
            Paths::Nowhere => false,
            Paths::Links => is_link_position(before),
            Paths::Strings => before.ends_with(b"\""),
        };
        if !is_link {
            return Step::No;
        }
        // What is looked for is plain.
        let name = text.get(start.saturating_add(1)..).unwrap_or_default();
        let is_plain = |segment: &Vec<u8>| segment.iter().zip(name).all(|(wanted, seen)| wanted == seen);
        if !self.prefix.first().is_none_or(is_plain) {
            return Step::No;
        }
        match prefix_at(&self.spared, text, start, end) {
            Prefix::Ends(..) => return Step::No,
            Prefix::More => return Step::More,
            Prefix::No => {}
        }
        let found = |slash, end| {
            Step::Found(Found {
                start,
                end,
                kind: Kind::Path,
                site: 0,
                dot: None,
                port_colon: None,
                prefix_slash: Some(slash),
                apart: false,
            })
        };
        if self.prefix.is_empty() {
            // All paths get the other prefix, but for those to another host.
            let name = start.saturating_add(1);
            return match read(text, name, end) {
                Read::More => Step::More,
                Read::Char(0x2f | 0x5c, _) => Step::No,
                _ => found((start, name), name),
            };
        }
        match prefix_at(&self.prefix, text, start, end) {
            Prefix::Ends(slash, end) => found(slash, end),
            Prefix::More => Step::More,
            Prefix::No => Step::No,
        }
    }

    /// Writes what replaces `found`.
    pub(super) fn write(&self, text: &[u8], found: &Found, out: &mut Vec<u8>) {
        let span = |(start, end): Span| text.get(start..end).unwrap_or_default();
        let (prefix, target) = self.site(found.site);
        // The spellings that colons and slashes missing in the match are written in.
        let (mut colon, mut slash): (&[u8], &[u8]) = (b":", b"/");
        match found.kind {
            Kind::Url { socket, colon: spelled, slashes, last_slash } => {
                out.extend_from_slice(match (socket, target.secure) {
                    (false, true) => b"https".as_slice(),
                    (false, false) => b"http",
                    (true, true) => b"wss",
                    (true, false) => b"ws",
                });
                colon = span(spelled);
                slash = span(last_slash);
                out.extend_from_slice(colon);
                out.extend_from_slice(span(slashes));
            }
            Kind::Relative { slashes, last_slash } => {
                slash = span(last_slash);
                colon = slash;
                out.extend_from_slice(span(slashes));
            }
            Kind::User | Kind::Word { .. } | Kind::Path => {}
        }
        if let Some(spelled) = found.port_colon {
            colon = span(spelled);
        }
        if let Some(spelled) = found.prefix_slash {
            slash = span(spelled);
        }
        // A word gets no port.
        let is_word = matches!(found.kind, Kind::Word { .. }) && found.port_colon.is_none();
        if becomes_a_tag(text, found, target) {
            out.push(b' ');
        }
        if found.kind != Kind::Path {
            match found.dot.map(span) {
                // Not as a dot of Chinese or Japanese, behind which a second look would see an end.
                Some(dot) if dot != b"." && symbol(dot, 0, true, b'.') == Sym::Yes(dot.len()) => {
                    for &byte in &target.host {
                        if byte == b'.' { out.extend_from_slice(dot) } else { out.push(byte) }
                    }
                }
                _ => out.extend_from_slice(&target.host),
            }
            if let Some(port) = target.port
                && !is_word
            {
                spelling::respell(colon, b':', out);
                out.extend_from_slice(port.to_string().as_bytes());
            }
        }
        if found.prefix_slash.is_some() || (prefix.is_empty() && !is_word) {
            for segment in &target.prefix {
                spelling::respell(slash, b'/', out);
                out.extend_from_slice(segment);
            }
            // The slash alone was found, and begins what follows.
            if found.kind == Kind::Path && prefix.is_empty() {
                out.extend_from_slice(slash);
            }
        }
        if found.apart {
            spelling::respell(slash, b'/', out);
        }
    }
}

/// Whether the match stands where a letter begins a tag and a digit or bracket does not: `<10.0.0.5 onclick=…>` is text to a browser
/// and to who cleaned the page, `<www.example.org onclick=…>` would be a tag.
fn becomes_a_tag(text: &[u8], found: &Found, target: &Target) -> bool {
    let is_letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    let before = text.get(..found.start).unwrap_or_default();
    matches!(found.kind, Kind::Word { .. } | Kind::User)
        && (before.ends_with(b"<") || before.ends_with(b"</"))
        && !is_letter(text.get(found.start))
        && is_letter(target.host.first())
}

/// Whether `before` ends with what only a link follows: CSS's `url(` and `@import`, an XML element's `href>`, `//# sourceMappingURL=`.
fn is_link_position(before: &[u8]) -> bool {
    let start = before.len().saturating_sub(CONTEXT);
    let mut before = before.get(start..).unwrap_or_default();
    if before.ends_with(b"href>") || before.ends_with(b" sourceMappingURL=") {
        return true;
    }
    for quote in [b"&quot;".as_slice(), b"&#34;", b"&#39;", b"&apos;", b"\"", b"'"] {
        if let Some(unquoted) = before.strip_suffix(quote) {
            let outside = unquoted.trim_ascii_end();
            if ends_with_ignore_case(outside, b"@import") {
                return true;
            }
            before = unquoted;
            break;
        }
    }
    ends_with_ignore_case(before.trim_ascii_end(), b"url(")
}

fn ends_with_ignore_case(text: &[u8], end: &[u8]) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}
