//! The PROXY protocol, versions 1 and 2: who really connected, in the words of a load balancer before the gate.
//!
//! Only from networks in `trusted_proxies`, whose connections must then begin with it. Not one byte more than the header is
//! read, so what follows is TLS's or HTTP's, whole.

use std::io;
use std::net::IpAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The shortest header there is: `PROXY UNKNOWN` and a line end. Version 2 has 16 bytes at least.
const SHORTEST: usize = 15;
/// The longest of version 1, with its line end.
const LONGEST_TEXT: usize = 107;
/// The longest of version 2 that is read behind its first 16 bytes: two addresses, and room for extensions, which are ignored.
const LONGEST_BINARY: u16 = 2048;

/// Version 2, command `LOCAL`.
const LOCAL: u8 = 0x20;

/// Reads the header and gives the client's address; `None` when the proxy speaks for itself (a health check).
///
/// # Errors
/// `InvalidData` for anything but a header; what the stream says otherwise.
pub(super) async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        header.push(stream.read_u8().await?);
        let length = match header.get(14..16).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()) {
            Some(bytes) => u16::from_be_bytes(bytes),
            None => return Err(wrong()),
        };
        if length > LONGEST_BINARY {
            return Err(wrong());
        }
        let begin = header.len();
        header.resize(begin + usize::from(length), 0);
        stream.read_exact(header.get_mut(begin..).unwrap_or_default()).await?;
    } else if header.starts_with(b"PROXY ") {
        while !header.ends_with(b"\n") {
            if header.len() == LONGEST_TEXT {
                return Err(wrong());
            }
            header.push(stream.read_u8().await?);
        }
        if !header.ends_with(b"\r\n") {
            return Err(wrong());
        }
    } else {
        return Err(wrong());
    }
    // The proxy speaks for itself, whatever family and addresses it names (section 2.2).
    if header.starts_with(v2::PROTOCOL_PREFIX) && header.get(12) == Some(&LOCAL) {
        return Ok(None);
    }
    // What stands behind it is nobody's business (section 2.1), though the crate looks for addresses there.
    if header.strip_prefix(b"PROXY UNKNOWN").is_some_and(|rest| rest.starts_with(b" ") || rest == b"\r\n") {
        return Ok(None);
    }
    // A port is digits alone, which the crate does not hold it to.
    if header.starts_with(b"PROXY ") && header.contains(&b'+') {
        return Err(wrong());
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(v1::Header { addresses, .. })) => Ok(match addresses {
            v1::Addresses::Tcp4(ip) => Some(ip.source_address.into()),
            v1::Addresses::Tcp6(ip) => Some(ip.source_address.into()),
            v1::Addresses::Unknown => None,
        }),
        // Only so do family and transport go together for a stream; others must be refused (section 2.2).
        HeaderResult::V2(Ok(header)) => match (header.addresses, header.protocol) {
            (v2::Addresses::IPv4(ip), v2::Protocol::Stream) => Ok(Some(ip.source_address.into())),
            (v2::Addresses::IPv6(ip), v2::Protocol::Stream) => Ok(Some(ip.source_address.into())),
            (v2::Addresses::Unix(_), v2::Protocol::Stream) => Ok(None),
            (v2::Addresses::Unspecified, v2::Protocol::Unspecified) => Ok(None),
            _ => Err(wrong()),
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(wrong()),
    }
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY header, or a malformed one")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header gives, and what is left to read behind it.
    async fn read(bytes: &[u8]) -> (Result<Option<String>, io::ErrorKind>, usize) {
        let mut rest = bytes;
        let read = read_header(&mut rest).await;
        (read.map(|ip| ip.map(|ip| ip.to_string())).map_err(|error| error.kind()), rest.len())
    }

    fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn a_header_gives_the_client_and_takes_no_byte_of_what_follows() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0, 80, 1, 187];
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 80, 1, 187]].concat();
        let extended = [&v4[..], &[4, 0, 3, 1, 2, 3]].concat();
        for (name, header, expected) in [
            ("TCP4", b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\r\n".to_vec(), Some("192.0.2.1")),
            ("TCP6", b"PROXY TCP6 2001:db8::7 ::1 5 80\r\n".to_vec(), Some("2001:db8::7")),
            ("UNKNOWN", b"PROXY UNKNOWN\r\n".to_vec(), None),
            ("UNKNOWN with more", b"PROXY UNKNOWN a b c d\r\n".to_vec(), None),
            ("UNKNOWN with anything", b"PROXY UNKNOWN TCP6 1 \xff :: 2  5 x y z\r\n".to_vec(), None),
            ("v2 IPv4", binary(0x21, 0x11, &v4), Some("192.0.2.1")),
            ("v2 IPv6", binary(0x21, 0x21, &v6), Some("2001:db8::7")),
            ("v2 with extensions", binary(0x21, 0x11, &extended), Some("192.0.2.1")),
            ("v2 LOCAL", binary(0x20, 0, &[]), None),
            ("v2 LOCAL of no family that there is", binary(0x20, 0x5f, &[]), None),
        ] {
            let whole = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(&whole).await, (Ok(expected.map(str::to_owned)), 16), "{name}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for (name, bytes) in [
            ("HTTP", b"GET / HTTP/1.1\r\nHost: www.example.test\r\n\r\n".to_vec()),
            ("no line end", [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat()),
            ("line feed alone", b"PROXY TCP4 192.0.2.1 10.0.0.1 5 80\n".to_vec()),
            ("UNKNOWN and a line feed alone", b"PROXY UNKNOWN a b\n".to_vec()),
            ("UNKNOWN, a blank and a line feed", b"PROXY UNKNOWN \n".to_vec()),
            ("no address", b"PROXY TCP4 evil 10.0.0.1 5 80\r\n".to_vec()),
            ("a port with a sign", b"PROXY TCP4 192.0.2.1 10.0.0.1 +5 80\r\n".to_vec()),
            ("UDP", b"PROXY UDP4 192.0.2.1 10.0.0.1 5 80\r\n".to_vec()),
            ("v2 longer than any", [v2::PROTOCOL_PREFIX, &[0x21, 0x11, 0xff, 0xff], &[0; 70_000]].concat()),
            ("v2 of version 3", binary(0x31, 0x11, &[0; 12])),
            ("v2 without a transport", binary(0x21, 0x10, &[0; 12])),
            ("v2 by UDP", binary(0x21, 0x22, &[0; 36])),
            ("v2 of no family", binary(0x21, 0x01, &[])),
            ("v2 too short for its family", binary(0x21, 0x11, &[0; 4])),
        ] {
            assert_eq!(read(&bytes).await.0, Err(io::ErrorKind::InvalidData), "{name}");
        }
        assert_eq!(read(b"PROXY TCP4 192.0").await.0, Err(io::ErrorKind::UnexpectedEof));
    }
}
