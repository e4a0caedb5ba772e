//! Addresses in commands, as they came and as they go on.
//!
//! The command parser takes quotes away, knows no address literals (`a@[192.0.2.1]`, RFC 5321, section 4.1.3), and takes
//! `<postmaster>`, which every server has (section 4.5.1), for nobody. Here is put back what it takes.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::reply::Reply;

/// Stands where an address literal stood while the command is parsed: a name that nobody can have (RFC 2606).
const PLACEHOLDER: &[u8] = b"address-literal.invalid";

/// What the parser does not know of a command's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spelled {
    /// The literal in the place of the domain, with its brackets.
    literal: Option<String>,
    is_postmaster: bool,
}

impl Spelled {
    /// The command as the parser can read it.
    pub(super) fn of(mut line: Vec<u8>) -> (Vec<u8>, Self) {
        let is_postmaster = line.to_ascii_lowercase().windows(12).any(|part| part == b"<postmaster>");
        let mut spelled = Self { literal: None, is_postmaster };
        if let Some((start, end)) = literal(&line) {
            let text = line.get(start..end).and_then(|text| std::str::from_utf8(text).ok());
            spelled.literal = text.map(str::to_owned);
            line.splice(start..end, PLACEHOLDER.iter().copied());
        }
        (line, spelled)
    }

    /// The address as it is written in a command: `<a@b>`, `<"a b"@c>`, `<a@[192.0.2.1]>`, `<>`.
    ///
    /// # Errors
    /// What the CMS is told of an address that no server could be told.
    pub(super) fn path(&self, address: &str, utf8: bool) -> Result<String, Reply> {
        if address.chars().any(char::is_control) {
            return Err(Reply::new(553, "5.1.3 No such form of an address"));
        }
        if !address.is_ascii() && !utf8 {
            return Err(Reply::new(553, "5.6.7 An address beyond ASCII needs SMTPUTF8"));
        }
        let Some((local, domain)) = address.rsplit_once('@') else {
            let postmaster = if self.is_postmaster && address.is_empty() { "postmaster" } else { address };
            return Ok(format!("<{postmaster}>"));
        };
        if domain.contains(['<', '>', ' ', '"']) {
            return Err(Reply::new(553, "5.1.3 No such form of an address"));
        }
        let domain = match &self.literal {
            Some(literal) if domain.as_bytes() == PLACEHOLDER => literal,
            _ => domain,
        };
        // The parser takes the quotes away.
        let plain =
            |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        if local.chars().all(plain) {
            return Ok(format!("<{local}@{domain}>"));
        }
        let quoted: String = local
            .chars()
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        Ok(format!("<\"{quoted}\"@{domain}>"))
    }
}

/// Where in a command an address literal stands, with its brackets: between `@` and `>`, outside quotes.
fn literal(line: &[u8]) -> Option<(usize, usize)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            b'@' if !is_quoted => {
                let start = at.saturating_add(1);
                let rest = line.get(start..)?;
                let Some(inner) = rest.strip_prefix(b"[") else { continue };
                let length = memchr::memchr(b']', inner)?;
                let text = std::str::from_utf8(inner.get(..length)?).ok()?;
                let is_address = text.parse::<Ipv4Addr>().is_ok() || is_ipv6(text);
                let is_end = inner.get(length.saturating_add(1)) == Some(&b'>');
                return (is_address && is_end)
                    .then_some((start, start.saturating_add(length).saturating_add(2)));
            }
            _ => {}
        }
    }
    None
}

fn is_ipv6(text: &str) -> bool {
    let (tag, address) = text.split_at_checked(5).unwrap_or_default();
    tag.eq_ignore_ascii_case("IPv6:") && address.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp_proto::Request;

    fn path(line: &str) -> Result<String, u16> {
        let (line, spelled) = Spelled::of(format!("{line}\r\n").into_bytes());
        match Request::parse(&mut line.iter()) {
            Ok(Request::Mail { from }) => spelled.path(&from.address, false).map_err(|reply| reply.code),
            Ok(_) => panic!("another command"),
            Err(_) => Err(0),
        }
    }

    #[test]
    fn addresses_go_on_as_they_came_and_cannot_break_out() {
        for (line, want) in [
            ("MAIL FROM:<a@b.example>", Ok("<a@b.example>")),
            ("MAIL FROM:<>", Ok("<>")),
            ("MAIL FROM:<PostMaster>", Ok("<postmaster>")),
            ("MAIL FROM:<\"a b\\\"c\"@d.example>", Ok("<\"a b\\\"c\"@d.example>")),
            ("MAIL FROM:<\"a> SIZE=1\"@d.example>", Ok("<\"a> SIZE=1\"@d.example>")),
            ("MAIL FROM:<a@[192.0.2.1]>", Ok("<a@[192.0.2.1]>")),
            ("MAIL FROM:<a@[ipv6:2001:db8::1]> SIZE=1", Ok("<a@[ipv6:2001:db8::1]>")),
            ("MAIL FROM:<\"a@[192.0.2.1]>\"@d.example>", Ok("<\"a@[192.0.2.1]>\"@d.example>")),
            ("MAIL FROM:<\"\\\"@[192.0.2.1]>\"@[192.0.2.2]>", Ok("<\"\\\"@[192.0.2.1]>\"@[192.0.2.2]>")),
            ("MAIL FROM:<a@address-literal.invalid>", Ok("<a@address-literal.invalid>")),
            ("MAIL FROM:<a@[192.0.2]>", Err(0)),
            ("MAIL FROM:<a@[192.0.2.1]x>", Err(0)),
            ("MAIL FROM:<a@[192.0.2.1> SIZE=1 ]>", Err(0)),
            ("MAIL FROM:<a@[IPv6:192.0.2.1]>", Err(0)),
            ("MAIL FROM:<a@[tag:x>y]>", Err(0)),
            ("MAIL FROM:<\"a\u{1}\"@d.example>", Err(553)),
            ("MAIL FROM:<ü@b.example>", Err(553)),
        ] {
            assert_eq!(path(line), want.map(str::to_owned), "{line}");
        }
        assert_eq!(Spelled::default().path("ü@b.example", true), Ok("<ü@b.example>".to_owned()));
    }
}
