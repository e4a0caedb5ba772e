//! Where a site lives, inside and outside, and the two maps between.

use super::authority::Name;
use super::grammar::{Grammar, Paths, Target};
use super::map::Map;
use super::paths::{moved, return_address};
use super::prefix::{Prefix, prefix_at};
use super::settings::Settings;
use http::HeaderValue;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use url::{Host, Url};

/// How much of the work is left to rewriting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The backend was told its public address (virtual hosting) and writes public links itself. Absolute internal
    /// addresses are still mapped, whoever wrote them; and so are paths with its prefix in links, which only people write.
    Safety,
    /// The backend was told its public host and path (`X-Forwarded-Host`, `X-Forwarded-Prefix`), which may be another path than its
    /// own. One that heeds the host but not the path writes `https://public.example.org/Plone/docs` and `/Plone/docs`: where they are
    /// links, these are mapped, and requests inwards; if its own path is none, only what begins with a slash is, and only
    /// where the public path is not there yet. Where the paths are the same, this is [`Mode::Safety`].
    Forwarded,
    /// The backend can't be told: paths that begin with its prefix (`/Plone/docs`) are mapped as well, where they are
    /// links; and requests are mapped inwards.
    Full,
}

/// Why a site's addresses cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginsError {
    /// An address is not `http://…` or `https://…`.
    #[error("{0}: an address must begin with http:// or https:// and name a host")]
    NotHttp(String),
    /// An internal name is not a host, with or without a port.
    #[error(
        "{0}: an internal name is a host name or an address, optionally with a port, such as plone.internal:8080"
    )]
    NotAName(String),
}

/// A site's addresses: what its backend calls itself, and what the internet calls it. Built once per site.
#[derive(Debug)]
pub struct Origins {
    outward: Arc<Map>,
    styles: Arc<Map>,
    style_paths: Arc<Map>,
    strings: Arc<Map>,
    pub(super) inward: Arc<Map>,
    inward_styles: Arc<Map>,
    inward_paths: [Arc<Map>; 2],
    pub(super) mode: Mode,
    pub(super) public: Address,
    pub(super) internal: Address,
    settings: Settings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    secure: bool,
    host: Vec<u8>,
    port: u16,
    prefix: Vec<Vec<u8>>,
}

impl Origins {
    /// `backend` and `public` with their path prefixes; `internal_names` are further hosts, `host` or `host:port`, that
    /// must never get out. A name is recognised with its own port, or the backend's and the default ones if it has none. Loopback
    /// names are everybody's and are recognised with the backend's port only, and all of them if the backend is on one.
    ///
    /// # Errors
    /// If an address is not an HTTP one, or a name is none.
    pub fn new(
        backend: &Url,
        public: &Url,
        internal_names: &[String],
        mode: Mode,
    ) -> Result<Self, OriginsError> {
        let backend = Address::of(backend)?;
        let public = Address::of(public)?;
        let mut names = names_of(&backend, &public, internal_names)?;
        let is_default = matches!(public.port, 80 | 443);
        let own_ports = if is_default { vec![80, 443] } else { vec![public.port] };
        let moves_paths = backend.prefix != public.prefix;
        let (mode, internal) = match mode {
            Mode::Forwarded if !moves_paths => (Mode::Safety, backend),
            // What it calls itself, as far as it was told.
            Mode::Forwarded => (Mode::Forwarded, Address { prefix: backend.prefix, ..public.clone() }),
            mode => (mode, backend),
        };
        if mode == Mode::Forwarded && !internal.prefix.is_empty() {
            names.push(Name {
                host: public.host.clone(),
                ports: own_ports.clone(),
                without_port: is_default,
                with_scheme: is_default,
                as_word: is_default,
                as_authority: true,
                only_scheme: None,
                only_prefix: true,
                site: 0,
                secret: false,
            });
        }
        let outward = Grammar {
            names: merge(names),
            prefix: internal.prefix.clone(),
            target: public.target(),
            paths: Paths::Nowhere,
            others: Vec::new(),
            spared: if mode == Mode::Full { Vec::new() } else { public.prefix.clone() },
        };
        let with_paths = moves_paths && (mode != Mode::Safety || !internal.prefix.is_empty());
        let paths = |paths, names: &[Name]| {
            let paths = if with_paths { paths } else { Paths::Nowhere };
            Arc::new(Map::new(Grammar { paths, names: names.to_vec(), ..outward.clone() }))
        };
        let styles = paths(Paths::Links, &outward.names);
        let (style_paths, strings) = (paths(Paths::Links, &[]), paths(Paths::Strings, &[]));
        let inward = Grammar {
            names: vec![Name {
                host: public.host.clone(),
                ports: own_ports,
                without_port: is_default,
                with_scheme: is_default,
                as_word: false,
                as_authority: false,
                // Where both sides have one host and port, the scheme alone tells them apart.
                only_scheme: (mode == Mode::Full && public.host == internal.host).then_some(public.secure),
                only_prefix: false,
                site: 0,
                secret: false,
            }],
            prefix: public.prefix.clone(),
            target: internal.target(),
            paths: Paths::Nowhere,
            others: Vec::new(),
            spared: Vec::new(),
        };
        let inward_styles = Grammar { paths: Paths::Links, ..inward.clone() };
        let inward_paths = [Paths::Links, Paths::Strings]
            .map(|paths| Arc::new(Map::new(Grammar { paths, names: Vec::new(), ..inward.clone() })));
        Ok(Self {
            outward: Arc::new(Map::new(outward)),
            styles,
            style_paths,
            strings,
            inward: Arc::new(Map::new(inward)),
            inward_styles: Arc::new(Map::new(inward_styles)),
            inward_paths,
            mode,
            public,
            internal,
            settings: Settings::default(),
        })
    }

    /// The same with what `[site.rewrite]` adds.
    #[must_use]
    pub fn with(mut self, settings: &Settings) -> Self {
        self.settings = settings.clone();
        if self.mode == Mode::Safety && !self.settings.links {
            self.styles = Arc::clone(&self.outward);
        }
        self.settings.types.iter_mut().for_each(|name| name.make_ascii_lowercase());
        self.settings.attributes.iter_mut().for_each(|name| name.make_ascii_lowercase());
        self
    }

    /// The same, where `others` are sites of the same gate: their internal addresses, in links from one site to another, become theirs
    /// outside. On a host that several share the longest path decides.
    #[must_use]
    pub fn beside(mut self, others: &[Self]) -> Self {
        if others.is_empty() {
            return self;
        }
        let (public, own) = (self.public.clone(), &self.outward.grammar().names);
        let is_public = |name: &Name| {
            name.host == public.host && (name.without_port || name.ports.contains(&public.port))
        };
        let mut names = own.clone();
        for (site, other) in (1..).zip(others) {
            let theirs = other.outward.grammar().names.iter();
            let theirs = theirs.filter(|name| name.site == 0 && !name.only_prefix && !is_public(name));
            names.extend(theirs.map(|name| Name { site, ..name.clone() }));
        }
        // Stable: among equals the site's own come first.
        names.sort_by_key(|name| std::cmp::Reverse(name.host.len()));
        let others: Vec<_> = others
            .iter()
            .map(|other| (other.outward.grammar().prefix.clone(), other.outward.grammar().target.clone()))
            .collect();
        let with = |map: &Arc<Map>| {
            let (names, others) = (names.clone(), others.clone());
            Arc::new(Map::new(Grammar { names, others, ..map.grammar().clone() }))
        };
        (self.outward, self.styles) = (with(&self.outward), with(&self.styles));
        self
    }

    /// What `[site.rewrite]` says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The map for what comes back: internal → public.
    pub fn outward(&self) -> &Arc<Map> {
        &self.outward
    }

    /// The map for style sheets, scripts and XML that come back: paths in `url(…)`, `@import` and `<href>` are mapped as well.
    pub fn styles(&self) -> &Arc<Map> {
        &self.styles
    }

    /// Of the map for style sheets, the paths alone; `inward`: for those that go in.
    pub(super) fn style_paths(&self, inward: bool) -> &Arc<Map> {
        let [styles, _] = &self.inward_paths;
        if inward { styles } else { &self.style_paths }
    }

    /// The map for the paths with which strings begin, in an import map.
    pub(super) fn strings(&self, inward: bool) -> &Arc<Map> {
        let [_, strings] = &self.inward_paths;
        if inward { strings } else { &self.strings }
    }

    /// The map for XML that goes in: paths in `<href>` are mapped as well.
    pub(super) fn inward_styles(&self) -> &Arc<Map> {
        &self.inward_styles
    }

    /// The map for what goes in: public → internal. Only URLs are mapped, never bare words. Of use in [`Mode::Full`] only:
    /// a backend that was told its public address expects it.
    pub fn inward(&self) -> &Arc<Map> {
        &self.inward
    }

    /// How much of the work is left to rewriting.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether paths are mapped where they are links.
    pub(super) fn maps_paths(&self) -> bool {
        self.internal.prefix != self.public.prefix
            && (self.mode != Mode::Safety || (self.settings.links && !self.internal.prefix.is_empty()))
    }

    /// Whether what goes in is mapped.
    pub(super) fn translates(&self) -> bool {
        match self.mode {
            Mode::Safety => false,
            Mode::Forwarded => !self.internal.prefix.is_empty(),
            Mode::Full => true,
        }
    }

    /// The first segment of the path below which the backend keeps the site; none if it keeps it at its root. `inward`: of
    /// the public path.
    pub(super) fn first_segment(&self, inward: bool) -> Option<&[u8]> {
        let address = if inward { &self.public } else { &self.internal };
        address.prefix.first().map(Vec::as_slice)
    }

    /// Whether a link leads to the site itself.
    pub(super) fn is_own(&self, link: &[u8]) -> bool {
        let link = link.trim_ascii();
        let has_host = link.starts_with(b"//")
            || link.iter().find(|byte| matches!(byte, b':' | b'/' | b'?' | b'#')) == Some(&b':');
        !has_host || self.outward.at_start(link).is_some() || self.inward.at_start(link).is_some()
    }

    /// Whether the public address is https.
    pub fn is_public_secure(&self) -> bool {
        self.public.secure
    }

    /// Internal → public in a whole value. Without an internal address in it, the value itself comes back.
    pub fn rewrite<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.outward.rewrite(bytes)
    }

    /// The same for a value that is one URL, such as that of `Location`: besides, in [`Mode::Full`], a path `/Plone/x`
    /// becomes `/x`, also as the return address in the query (`came_from=/Plone/x`). `None` if nothing changes.
    pub fn location(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let changed = self.link(value.as_bytes())?;
        HeaderValue::from_bytes(&changed).ok()
    }

    /// [`Self::location`] on bytes, which may be spelled as in an HTML attribute.
    pub(super) fn link(&self, value: &[u8]) -> Option<Vec<u8>> {
        let link = self.rewrite_link_origin(value);
        if let Some(mapped) = self.path(&link) {
            return Some(mapped);
        }
        match link {
            Cow::Owned(link) if link != value => Some(link),
            _ => None,
        }
    }

    /// The same without absolute addresses, for who maps those elsewhere.
    pub(super) fn path(&self, link: &[u8]) -> Option<Vec<u8>> {
        if !self.maps_paths() {
            return None;
        }
        let stripped = self.without_prefix(link);
        let (from, to) = (&self.internal.prefix, &self.public.prefix);
        return_address(stripped.as_deref().unwrap_or(link), from, to).or(stripped)
    }

    /// The reverse, for a page that goes in.
    pub(super) fn path_inward(&self, link: &[u8]) -> Option<Vec<u8>> {
        if !self.translates() || !self.maps_paths() {
            return None;
        }
        let (from, to) = (&self.public.prefix, &self.internal.prefix);
        let moved = moved(link, from, to);
        return_address(moved.as_deref().unwrap_or(link), from, to).or(moved)
    }

    fn rewrite_link_origin<'a>(&self, value: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(found) = self.outward.at_start(value) else { return self.rewrite(value) };
        let rest = value.get(found.end..).unwrap_or_default();
        let mut link = Vec::with_capacity(value.len());
        self.outward.grammar().write(value, &found, &mut link);
        // What followed the prefix was a path. Without a slash, `/Plone;@evil.example` would become user information.
        if found.has_prefix()
            && !found.is_kept_apart()
            && !matches!(rest.first(), None | Some(b'/' | b'?' | b'#'))
        {
            link.push(b'/');
        }
        link.extend_from_slice(&self.rewrite(rest));
        Cow::Owned(link)
    }

    /// The path without the internal prefix, or with the public one instead.
    pub(super) fn without_prefix(&self, path: &[u8]) -> Option<Vec<u8>> {
        let is_public = || matches!(prefix_at(&self.public.prefix, path, 0, true), Prefix::Ends(..));
        if self.mode != Mode::Full && is_public() {
            return None;
        }
        moved(path, &self.internal.prefix, &self.public.prefix)
    }

    /// The path of a cookie, mapped outwards in every mode: a browser asks for public paths only. A cookie for the
    /// whole host becomes one for the site's part of it. `None` if nothing changes.
    pub(super) fn cookie_path(&self, path: &[u8]) -> Option<Vec<u8>> {
        if path == b"/" {
            return (!self.public.prefix.is_empty()).then(|| self.public.path());
        }
        self.without_prefix(path)
    }
}

impl Address {
    fn of(url: &Url) -> Result<Self, OriginsError> {
        let not_http = || OriginsError::NotHttp(url.as_str().to_owned());
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(not_http()),
        };
        let host =
            url.host_str().ok_or_else(not_http)?.trim_end_matches('.').to_ascii_lowercase().into_bytes();
        let port = url.port_or_known_default().ok_or_else(not_http)?;
        let prefix = url
            .path()
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|s| s.as_bytes().to_vec())
            .collect();
        Ok(Self { secure, host, port, prefix })
    }

    fn default_port(&self) -> u16 {
        if self.secure { 443 } else { 80 }
    }

    fn target(&self) -> Target {
        Target {
            secure: self.secure,
            host: self.host.clone(),
            port: (self.port != self.default_port()).then_some(self.port),
            prefix: self.prefix.clone(),
        }
    }

    /// As browsers write it in `Origin`.
    pub(super) fn origin(&self) -> Vec<u8> {
        let mut origin = if self.secure { b"https://".to_vec() } else { b"http://".to_vec() };
        origin.extend_from_slice(&self.host);
        if self.port != self.default_port() {
            origin.extend_from_slice(format!(":{}", self.port).as_bytes());
        }
        origin
    }

    /// `/a/b`, or nothing.
    pub(super) fn path(&self) -> Vec<u8> {
        self.prefix.iter().flat_map(|segment| [b"/".as_slice(), segment]).flatten().copied().collect()
    }
}

pub(super) fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

/// All names of the backend, with those that were listed.
fn names_of(backend: &Address, public: &Address, listed: &[String]) -> Result<Vec<Name>, OriginsError> {
    let mut names = vec![name(&backend.host, backend.port, false, backend, public)];
    if is_loopback(&backend.host) {
        for host in [b"localhost".as_slice(), b"127.0.0.1"] {
            names.push(name(host, backend.port, false, backend, public));
        }
    }
    for listed in listed {
        let (host, port) = host_and_port(listed).ok_or_else(|| OriginsError::NotAName(listed.clone()))?;
        names.push(name(&host, port.unwrap_or(backend.port), true, backend, public));
    }
    let alike: Vec<Name> = names.iter().flat_map(alike).collect();
    names.extend(alike);
    Ok(names)
}

/// How `host` is recognised. `listed`: the operator named it as internal.
fn name(host: &[u8], port: u16, listed: bool, internal: &Address, public: &Address) -> Name {
    let default = matches!(port, 80 | 443);
    // A host that means this machine to everybody says nothing without its port.
    let specific = !is_loopback(host) && (listed || host.contains(&b'.') || host.contains(&b':'));
    let secret = specific && !ends_with_label(&public.host, host);
    let mut ports = vec![port];
    if default || !is_loopback(host) {
        ports.extend([80, 443]);
    }
    let mut name = Name {
        host: host.to_vec(),
        ports,
        without_port: default || specific,
        // `//plone` may be a comment, `http://plone` is no other host's.
        with_scheme: default || !is_loopback(host),
        // A word without a dot is a word.
        as_word: secret && host.contains(&b'.'),
        as_authority: true,
        only_scheme: None,
        only_prefix: false,
        site: 0,
        secret: secret && (host.contains(&b'.') || host.contains(&b':')),
    };
    if host == public.host {
        // The host is public; only its port, or only the scheme, is not.
        let same_port = port == public.port || (default && matches!(public.port, 80 | 443));
        if same_port {
            let scheme = internal.secure;
            name.ports = vec![port];
            name.without_port = default;
            name.only_scheme = Some(scheme);
            if scheme == public.secure {
                name.ports.clear();
                name.without_port = false;
            }
        } else {
            name.ports = vec![port];
            name.without_port = default;
        }
        name.with_scheme = name.without_port;
        name.as_word = false;
    }
    name
}

/// The same address as other programs write it: IPv6 in full, or without brackets where it stands by itself; IPv4 as IPv6, or as one number.
fn alike(name: &Name) -> Vec<Name> {
    let Ok(host) = std::str::from_utf8(&name.host) else { return Vec::new() };
    let named = |host: String| Name { host: host.into_bytes(), as_word: false, ..name.clone() };
    // Nothing else calls itself that.
    if is_loopback(&name.host) && !host.starts_with('[') {
        return Vec::new();
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        let number = u32::from(address);
        let [.., high, low] = address.to_ipv6_mapped().segments();
        return vec![
            named(format!("[::ffff:{address}]")),
            named(format!("[::ffff:{high:x}:{low:x}]")),
            named(number.to_string()),
            named(format!("0x{number:x}")),
        ];
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let Some(address) = bare.parse::<Ipv6Addr>().ok().filter(|_| host.starts_with('[')) else {
        return Vec::new();
    };
    let groups = address.segments();
    let joined = |group: fn(&u16) -> String| groups.iter().map(group).collect::<Vec<_>>().join(":");
    let full = [joined(|group| format!("{group:x}")), joined(|group| format!("{group:04x}"))];
    let mut alike: Vec<Name> = full.iter().map(|full| named(format!("[{full}]"))).collect();
    if name.secret {
        let words = full.into_iter().chain([bare.to_owned()]).filter(|word| !word.starts_with(':'));
        alike.extend(words.map(|word| Name { as_word: true, ..named(word) }));
    }
    alike
}

/// Whether `host` is `tail` or a host below it: then `tail` is no secret.
fn ends_with_label(host: &[u8], tail: &[u8]) -> bool {
    host.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with(b"."))
}

/// One entry a host, the longest host first.
fn merge(names: Vec<Name>) -> Vec<Name> {
    let mut merged: Vec<Name> = Vec::new();
    for name in names {
        let same = |other: &&mut Name| {
            other.host == name.host
                && other.only_scheme == name.only_scheme
                && other.only_prefix == name.only_prefix
                && other.site == name.site
        };
        match merged.iter_mut().find(same) {
            Some(other) => {
                other.ports.extend(name.ports);
                other.without_port |= name.without_port;
                other.with_scheme |= name.with_scheme;
                other.as_word |= name.as_word;
            }
            None => merged.push(name),
        }
    }
    merged.retain(|name| !name.ports.is_empty() || name.without_port);
    merged.sort_by_key(|name| std::cmp::Reverse(name.host.len()));
    merged
}

/// `plone.internal`, `plone.internal:8080`, `10.0.0.5`, `fd00::5`, `[fd00::5]:8080`.
fn host_and_port(listed: &str) -> Option<(Vec<u8>, Option<u16>)> {
    if let Ok(address) = listed.parse::<Ipv6Addr>() {
        return Some((format!("[{address}]").into_bytes(), None));
    }
    let (host, port) = match listed.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (listed, None),
    };
    let host = Host::parse(host.trim_end_matches('.')).ok()?;
    Some((host.to_string().to_ascii_lowercase().into_bytes(), port))
}
