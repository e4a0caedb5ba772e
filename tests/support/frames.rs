//! HTTP/2 frames by hand, for what no proper client sends.

use std::io::{Read as _, Write as _};

use super::secure::Stream;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it stood on the wire.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Status(u16),
    /// Reset, for this reason.
    Reset(u32),
    /// With the connection.
    Closed,
}

/// A connection after its preface.
pub struct Wire(Stream);

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block, every field written out (RFC 7541, section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            // An integer with a prefix of seven bits (section 5.1).
            let mut length = text.len();
            if length < 127 {
                block.push(u8::try_from(length).unwrap());
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push(u8::try_from(length % 128 + 128).unwrap());
                    length /= 128;
                }
                block.push(u8::try_from(length).unwrap());
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

impl Wire {
    /// Says hello with these settings (identifier and value).
    pub fn new(stream: Stream, settings: &[(u16, u32)]) -> Self {
        let mut wire = Self(stream);
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        wire.send(frame(SETTINGS, 0, 0, &payload));
        wire
    }

    /// Sends bytes; `false` when the other side no longer takes them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).is_ok() && self.0.flush().is_ok()
    }

    /// Asks for something on a stream.
    pub fn ask(&mut self, stream: u32, fields: &[(&str, &str)]) -> bool {
        self.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(fields)))
    }

    /// The next frame; `None` when the connection has ended.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.fill(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads so many bytes, even where the other side takes none any more: it may have said why.
    fn fill(&mut self, mut room: &mut [u8]) -> Option<()> {
        while !room.is_empty() {
            match self.0.conn.reader().read(room) {
                Ok(0) => return None,
                Ok(count) => room = &mut room[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.0.conn.read_tls(&mut self.0.sock).ok()?;
                    self.0.conn.process_new_packets().ok()?;
                }
                Err(_) => return None,
            }
        }
        Some(())
    }

    /// Waits for the head of the answer on a stream, or its end.
    pub fn end_of(&mut self, stream: u32) -> End {
        while let Some(frame) = self.frame() {
            match frame.kind {
                HEADERS if frame.stream == stream => return End::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => {
                    return End::Reset(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
                }
                _ => {}
            }
        }
        End::Closed
    }

    /// Reads until the connection ends; whether it said goodbye, and why.
    pub fn goodbye(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.frame() {
            if frame.kind == GOAWAY {
                reason = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        reason
    }
}

/// The status at the beginning of a header block: `:status` comes first.
fn status(block: &[u8]) -> u16 {
    match *block {
        [first, ..] if first & 0x80 != 0 => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(first & 0x7f) - 8]
        }
        [_, length, ref rest @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&rest[..usize::from(length)]).unwrap().parse().unwrap()
        }
        // Digits in the code of RFC 7541, appendix B: 0 to 2 in five bits, the others in six.
        [_, length, ref rest @ ..] => {
            let mut bits = rest[..usize::from(length & 0x7f)]
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
            let mut number = 0;
            for _ in 0..3 {
                let mut code = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
                if code > 2 {
                    code = (code << 1 | bits.next().unwrap()) - 0x19 + 3;
                }
                number = number * 10 + code;
            }
            number
        }
        _ => panic!("no status in {block:?}"),
    }
}
