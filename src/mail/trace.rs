//! The gate's mark on a message, and by it, loops.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

use super::message;
use crate::clock;

/// How many servers a message may have passed (RFC 5321, section 6.3, asks for 100 at least; no CMS's own mail comes near).
const MOST_HOPS: usize = 50;

/// The name and the mark that the gate leaves in `Received`.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    name: String,
    mark: String,
}

/// A message has been here before, or nearly everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loops;

impl Trace {
    /// For a gate of these public addresses. Several gates of the same sites bear the same mark, and a restart keeps it.
    pub(super) fn of(public: &[String]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"lychgate mail trace");
        for address in public {
            hash.update([0]);
            hash.update(address);
        }
        let mark = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let url = public.first().and_then(|address| url::Url::parse(address).ok());
        // An address stands in brackets (RFC 5321, section 4.1.3).
        let name = match url.as_ref().and_then(url::Url::host) {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(address)) => format!("[{address}]"),
            Some(url::Host::Ipv6(address)) => format!("[IPv6:{address}]"),
            None => "[127.0.0.1]".to_owned(),
        };
        Self { name, mark }
    }

    /// What the gate calls itself among mail servers: the first site's public host.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a message goes round in circles.
    ///
    /// # Errors
    /// If it does.
    pub(super) fn check(&self, message: &[u8]) -> Result<(), Loops> {
        let (mut hops, mut been_here) = (0_usize, false);
        let mark = format!("(Lychgate {})", self.mark);
        message::fields(message, |field| {
            if field.name.eq_ignore_ascii_case("received") {
                hops = hops.saturating_add(1);
                been_here |= memchr::memmem::find(field.value, mark.as_bytes()).is_some();
            }
        });
        if been_here || hops > MOST_HOPS { Err(Loops) } else { Ok(()) }
    }

    /// The field that the gate puts before the message (RFC 5321, section 4.4). It has no `from`: that is the inside.
    pub(super) fn received(&self, protocol: &str, id: &str, now: clock::Timestamp) -> String {
        let now = Timestamp::from_millisecond(now.as_millis()).unwrap_or_default().to_zoned(TimeZone::UTC);
        let date = jiff::fmt::rfc2822::to_string(&now).unwrap_or_default();
        format!(
            "Received: by {} (Lychgate {})\r\n\twith {protocol} id {id}; {date}\r\n",
            self.name, self.mark
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        Trace::of(&["https://www.example.org".to_owned(), "https://b.example".to_owned()])
    }

    #[test]
    fn it_names_nothing_but_the_public_host() {
        let now = clock::Timestamp::from_millis(1_700_000_000_000);
        let received = trace().received("ESMTP", "1-a", now);
        let (before, after) = received.split_once(&trace().mark).unwrap();
        assert_eq!(before, "Received: by www.example.org (Lychgate ");
        assert_eq!(after, ")\r\n\twith ESMTP id 1-a; Tue, 14 Nov 2023 22:13:20 +0000\r\n");
    }

    #[test]
    fn an_address_is_named_as_one() {
        for (public, name) in [
            ("https://www.example.org:8443/portal", "www.example.org"),
            ("http://192.0.2.1:8080", "[192.0.2.1]"),
            ("http://[2001:db8::1]", "[IPv6:2001:db8::1]"),
        ] {
            assert_eq!(Trace::of(&[public.to_owned()]).name(), name);
        }
    }

    #[test]
    fn loops_are_known_by_the_mark_and_by_their_length() {
        let own = trace().received("ESMTP", "1", clock::Timestamp::from_millis(0));
        let other = own.replace(&trace().mark, "0123456789abcdef");
        for (row, fields, want) in [
            ("fresh", String::new(), Ok(())),
            ("another gate's", other.clone(), Ok(())),
            ("ours", own.clone(), Err(Loops)),
            (
                "ours, below others",
                format!("{other}Subject: a\r\n{}", own.replace("Received", "RECEIVED")),
                Err(Loops),
            ),
            ("50 hops", other.repeat(50), Ok(())),
            ("51 hops", other.repeat(51), Err(Loops)),
            ("in the body", format!("Subject: a\r\n\r\n{own}"), Ok(())),
        ] {
            assert_eq!(trace().check(format!("{fields}\r\n").as_bytes()), want, "{row}");
        }
    }
}
