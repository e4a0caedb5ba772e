//! The authority of an address: which host stands there, with which port, and whether it ends where it seems to.

use super::spelling::{
    Left, Read, Sym, dot, first_letter, is_host_byte, is_host_char, left, letter, read, symbol, unspelled,
};

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
    /// Whether `http://host` without a port is ours, which it is wherever `//host` is.
    pub(super) with_scheme: bool,
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
        let (label, rest) = self.label();
        let mut next = at.saturating_add(label.len());
        let mut spelled = None;
        // A first label is searched for in plain letters, or by its first letter spelled.
        let rest = match text.get(at) {
            Some(b'%' | b'\\' | b'&') if let Some(&first @ b'a'..=b'z') = label.first() => {
                match first_letter(text, at, end, first) {
                    Sym::Yes(len) => next = at.saturating_add(len),
                    Sym::No => return Err(Miss::No),
                    Sym::More => return Err(Miss::More),
                }
                self.host.get(1..).unwrap_or_default()
            }
            _ => {
                let seen = text.get(at..next.min(text.len())).unwrap_or_default();
                if !label.get(..seen.len()).is_some_and(|label| label.eq_ignore_ascii_case(seen)) {
                    return Err(Miss::No);
                }
                if seen.len() < label.len() {
                    return Err(if end { Miss::No } else { Miss::More });
                }
                rest
            }
        };
        let is_bracketed = self.host.first() == Some(&b'[');
        for &wanted in rest {
            let sym = match wanted {
                wanted if is_bracketed && is_host_byte(wanted) => unspelled(text, next, end, wanted),
                b'.' => dot(text, next, end),
                wanted if is_host_byte(wanted) => letter(text, next, end, wanted),
                wanted => symbol(text, next, end, wanted),
            };
            let len = match sym {
                Sym::Yes(len) => len,
                Sym::No => return Err(Miss::No),
                Sym::More => return Err(Miss::More),
            };
            let after = next.saturating_add(len);
            if wanted == b'.' {
                spelled.get_or_insert((next, after));
            }
            next = after;
        }
        Ok(Host { end: next, dot: spelled })
    }

    /// The letters and digits that it begins with, and the rest.
    pub(super) fn label(&self) -> (&[u8], &[u8]) {
        let length = self.host.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        self.host.split_at_checked(length).unwrap_or_default()
    }

    /// Whether it is an IPv6 address without brackets.
    pub(super) fn is_in_groups(&self) -> bool {
        self.host.contains(&b':') && self.host.first() != Some(&b'[')
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
        if let Sym::Yes(len) = symbol(text, host.end, true, b':')
            && let Ok((Some(port), _)) = number(text, host.end.saturating_add(len), true)
            && self.ports.contains(&port)
        {
            return true;
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
                let (port, after) = number(text, digits, end)?;
                if after > digits {
                    if !with_port || !port.is_some_and(|port| self.ports.contains(&port)) {
                        return Err(Miss::No);
                    }
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

/// The number that the digits at `at` make, in any spelling, and where they end.
fn number(text: &[u8], at: usize, end: bool) -> Result<(Option<u16>, usize), Miss> {
    /// No port has more. What is longer is none, wherever it ends.
    const MOST: usize = 6;
    let (mut value, mut next) = (0_u32, at);
    for _ in 0..MOST {
        let (digit, len) = match text.get(next) {
            Some(byte) if byte.is_ascii_digit() => (u32::from(*byte), 1),
            _ => match read(text, next, end) {
                Read::More => return Err(Miss::More),
                Read::Char(c @ 0x30..=0x39, len) => (c, len),
                _ => break,
            },
        };
        value = value.saturating_mul(10).saturating_add(digit.saturating_sub(0x30));
        next = next.saturating_add(len);
    }
    Ok((u16::try_from(value).ok(), next))
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
