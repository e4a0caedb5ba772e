//! The authority of an address: which host stands there, with which port, and whether it ends where it seems to.

use super::spelling::{Left, Read, Sym, is_host_byte, is_host_char, left, read, symbol};

/// Where something stands: from, to.
pub(super) type Span = (usize, usize);

/// One host that is to be replaced, and where it is recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Lower case; IPv6 in brackets.
    pub(super) host: Vec<u8>,
    /// Explicit ports that are ours.
    pub(super) ports: Vec<u16>,
    /// Whether `//host` without a port is ours.
    pub(super) without_port: bool,
    /// Whether the bare word `host` without a port is ours.
    pub(super) as_word: bool,
    /// Whether `host:port` without `//` is ours.
    pub(super) as_authority: bool,
    /// Whose host it is: 0 for the site's own, else one more than the place among [`super::grammar::Grammar::others`].
    pub(super) site: usize,
    /// Set when host and port are those of the target too, and only the scheme tells them apart (`true`: https).
    pub(super) only_scheme: Option<bool>,
    /// Set when all else is the target's too, and only the path prefix tells them apart.
    pub(super) only_prefix: bool,
    /// Whether the host alone, whatever its port, must not get out.
    pub(super) secret: bool,
}

/// Why there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// It is something else.
    No,
    /// The bytes end before it is certain; more may come.
    More,
}

/// A host that was read.
pub(super) struct Host {
    pub(super) end: usize,
    pub(super) dot: Option<Span>,
}

/// The port behind a host, or the end of the authority without one.
pub(super) struct Port {
    pub(super) end: usize,
    pub(super) colon: Option<Span>,
}

impl Name {
    /// Whether this host stands at `at`; nothing is said yet about what follows.
    pub(super) fn at(&self, text: &[u8], at: usize, end: bool) -> Result<Host, Miss> {
        let plain = at.saturating_add(self.host.len());
        if text.get(at..plain).is_some_and(|seen| seen.eq_ignore_ascii_case(&self.host)) {
            return Ok(Host { end: plain, dot: None });
        }
        let mut next = at;
        let mut dot = None;
        for &wanted in &self.host {
            if is_host_byte(wanted) {
                match text.get(next) {
                    Some(byte) if byte.eq_ignore_ascii_case(&wanted) => next = next.saturating_add(1),
                    None if !end => return Err(Miss::More),
                    _ => return Err(Miss::No),
                }
                continue;
            }
            let len = match symbol(text, next, end, wanted) {
                Sym::Yes(len) => len,
                Sym::No => return Err(Miss::No),
                Sym::More => return Err(Miss::More),
            };
            let after = next.saturating_add(len);
            if wanted == b'.' {
                dot.get_or_insert((next, after));
            }
            next = after;
        }
        Ok(Host { end: next, dot })
    }

    /// Whether this host, left as it is at `at`, says something about the inside: a secret one anywhere, another one with
    /// a port that is ours.
    pub(super) fn remains(&self, text: &[u8], at: usize) -> bool {
        if self.only_prefix {
            return false;
        }
        let Ok(host) = self.at(text, at, true) else { return false };
        if left(text, at) == Left::Host {
            return false;
        }
        if let Sym::Yes(len) = symbol(text, host.end, true, b':') {
            let digits = text.get(host.end.saturating_add(len)..).unwrap_or_default();
            let count = digits.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
            let port = digits.get(..count).and_then(|digits| std::str::from_utf8(digits).ok());
            if port.and_then(|port| port.parse().ok()).is_some_and(|port| self.ports.contains(&port)) {
                return true;
            }
        }
        let is_longer = match read(text, host.end, true) {
            Read::Char(0x2e, len) => {
                matches!(read(text, host.end.saturating_add(len), true), Read::Char(c, _) if is_host_char(c))
            }
            Read::Char(c, _) => is_host_char(c),
            _ => false,
        };
        self.secret && !is_longer
    }

    /// Reads the trailing dot and the port behind the host, and makes sure that the authority ends there.
    pub(super) fn port(
        &self,
        text: &[u8],
        host: usize,
        portless: bool,
        with_port: bool,
        end: bool,
    ) -> Result<Port, Miss> {
        let mut at = host;
        if let Sym::Yes(len) = symbol(text, at, end, b'.') {
            // The dot of the root, if the authority goes on or a path follows; else the end of a sentence.
            let after = at.saturating_add(len);
            match read(text, after, end) {
                Read::Char(0x3a | 0x2f | 0x3f | 0x23, _) => at = after,
                Read::Char(c, _) if is_host_char(c) || c == 0x2e => return Err(Miss::No),
                Read::More => return Err(Miss::More),
                _ => return if portless { Ok(Port { end: at, colon: None }) } else { Err(Miss::No) },
            }
        }
        match symbol(text, at, end, b':') {
            Sym::More => return Err(Miss::More),
            Sym::No => {}
            Sym::Yes(len) => {
                let digits = at.saturating_add(len);
                let rest = text.get(digits..).unwrap_or_default();
                let count = rest.iter().take(6).take_while(|byte| byte.is_ascii_digit()).count();
                if rest.get(count).is_none() && !end && count < 6 {
                    return Err(Miss::More);
                }
                if count > 0 {
                    let port = rest.get(..count).and_then(|digits| std::str::from_utf8(digits).ok());
                    let port = port.and_then(|digits| digits.parse().ok());
                    if !with_port || !port.is_some_and(|port| self.ports.contains(&port)) {
                        return Err(Miss::No);
                    }
                    let after = digits.saturating_add(count);
                    return ends_authority(text, after, end)
                        .map(|()| Port { end: after, colon: Some((at, digits)) });
                }
                // `host:` and no port: a colon of the sentence, unless it is glued to what follows (`//user:password@host`).
                return match read(text, digits, end) {
                    Read::More => Err(Miss::More),
                    Read::Char(c, _) if is_host_char(c) => Err(Miss::No),
                    _ if portless => Ok(Port { end: at, colon: None }),
                    _ => Err(Miss::No),
                };
            }
        }
        if !portless {
            return Err(Miss::No);
        }
        ends_authority(text, at, end).map(|()| Port { end: at, colon: None })
    }
}

/// Refuses what makes the authority before `at` a longer or another one.
fn ends_authority(text: &[u8], at: usize, end: bool) -> Result<(), Miss> {
    match read(text, at, end) {
        Read::More => Err(Miss::More),
        Read::Char(0x40, _) => Err(Miss::No),
        Read::Char(c, _) if is_host_char(c) => Err(Miss::No),
        Read::Char(c @ (0x2e | 0x3a), len) => match read(text, at.saturating_add(len), end) {
            Read::More => Err(Miss::More),
            Read::Char(next, _) if is_host_char(next) && (c == 0x2e || next < 0x3a) => Err(Miss::No),
            _ => Ok(()),
        },
        Read::Char(..) | Read::End => Ok(()),
    }
}

/// The most bytes of user information (`//user:password@`) looked back over.
pub(super) const USERINFO: usize = 64;

/// Whether the at sign before `at` ends the user information of a URL, rather than a mail name.
pub(super) fn has_userinfo(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(USERINFO)..at).unwrap_or_default();
    let is_userinfo = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&*+,;=:%@#".contains(byte);
    let count = before.iter().rev().take_while(|byte| is_userinfo(byte)).count();
    let (outside, inside) = before.split_at(before.len().saturating_sub(count));
    outside.ends_with(b"//")
        || outside.ends_with(b"/\\/")
        || inside.windows(6).any(|six| six.eq_ignore_ascii_case(b"%2f%2f"))
        || inside.windows(10).any(|ten| ten.eq_ignore_ascii_case(b"%252f%252f"))
}
