//! Who the client is: the peer of the connection, or what a proxy that we trust says of it.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The address a request is judged by: limits, rules and logs use it. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

/// More entries than this in `X-Forwarded-For` are nobody's honest way.
const MOST_HOPS: usize = 32;

impl ClientIp {
    /// Decides who the client is.
    ///
    /// The rightmost address of `X-Forwarded-For` that is not itself a trusted proxy is the client, provided
    /// the peer is a trusted proxy. An entry that is no address ends the search at the last address that was
    /// vouched for: what a stranger wrote to its left is worth nothing (authentik CVE-2024-47070).
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let mut known = peer.to_canonical();
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        if trusted.is_empty() || !is_trusted(&known) {
            return Self(known);
        }
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).take(MOST_HOPS) {
            match parse_entry(entry) {
                Some(address) => known = address,
                None => break,
            }
            if !is_trusted(&known) {
                break;
            }
        }
        Self(known)
    }

    /// The address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }
}

/// `192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1` or `[2001:db8::1]:1234`.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let address = text
        .parse()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(peer: &str, lines: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        ClientIp::resolve(peer.parse().unwrap(), &headers, &trusted).ip().to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_address_no_trusted_proxy_owns() {
        for (name, peer, lines, client) in [
            ("no header", "10.0.0.1", &[][..], "10.0.0.1"),
            ("stranger says so", "192.0.2.9", &["198.51.100.1"], "192.0.2.9"),
            ("one hop", "10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            (
                "leftmost is the client's own invention",
                "10.0.0.1",
                &["127.0.0.1, 198.51.100.1"],
                "198.51.100.1",
            ),
            ("two proxies", "10.0.0.1", &["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("several lines are one list", "10.0.0.1", &["203.0.113.5", "198.51.100.1"], "198.51.100.1"),
            ("only proxies", "10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("no address: CVE-2024-47070", "10.0.0.1", &["a"], "10.0.0.1"),
            ("empty", "10.0.0.1", &[""], "10.0.0.1"),
            ("no address at the right", "10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("obfuscated", "10.0.0.1", &["_obf"], "10.0.0.1"),
            ("garbage behind a real one", "10.0.0.1", &["evil, 198.51.100.1"], "198.51.100.1"),
            ("port", "10.0.0.1", &["198.51.100.1:1234"], "198.51.100.1"),
            ("brackets and port", "10.0.0.1", &["[2001:db8::7]:1234"], "2001:db8::7"),
            ("mapped entry", "10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("mapped peer", "::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ] {
            assert_eq!(resolve(peer, lines), client, "{name}");
        }
        let flood = vec!["10.0.0.2"; 10_000].join(", ");
        assert_eq!(resolve("10.0.0.1", &[&flood]), "10.0.0.2", "ten thousand hops end early");
    }
}
