//! A body of JSON that would sign its request in past the gate.
//!
//! Plone's REST service takes a name and a password from the members of any body that is an object, whatever page it is
//! posted to (plone.restapi, `JWTAuthenticationPlugin.extractCredentials`; of older versions whatever its type). So an object's own
//! members are read as the body passes, in the spellings that JSON has for a name. Whatever is no object is let be at
//! its first byte.

use crate::forward::Inspect;

/// What a name may take as it is written, for each byte of it: `\u0061`.
const LONGEST_ESCAPE: usize = 6;

/// Refuses an object that has members of all these names, in pieces of any size.
pub(super) struct Members {
    /// The names, and whether they were seen.
    names: Vec<(String, bool)>,
    state: State,
    next: Option<Box<dyn Inspect>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Before the first brace; whether anything before it belongs to UTF-16 or UTF-32 alone.
    Before { is_wide: bool },
    /// Behind the first brace, where those have a zero byte.
    Opened,
    /// Within, so many braces and brackets deep.
    Within { depth: usize, is_name: bool },
    /// In a text; what it says, as far as it may be one of the names.
    Text { depth: usize, name: Option<Vec<u8>>, is_escaped: bool },
    /// Behind the object, or in what is none.
    Past,
}

impl Members {
    /// For these names, none of them empty; `next` inspects the same.
    pub(super) fn new(names: &[String], next: Option<Box<dyn Inspect>>) -> Self {
        let names = names.iter().map(|name| (name.clone(), false)).collect();
        Self { names, state: State::Before { is_wide: false }, next }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        for byte in bytes {
            match &mut self.state {
                State::Past => return Ok(()),
                State::Before { is_wide } => match byte {
                    0 | 0xFE | 0xFF => *is_wide = true,
                    b' ' | b'\t' | b'\r' | b'\n' | 0xEF | 0xBB | 0xBF => {}
                    b'{' if *is_wide => return Err("it is written in a charset of its own"),
                    b'{' => self.state = State::Opened,
                    _ => self.state = State::Past,
                },
                State::Opened if *byte == 0 => return Err("it is written in a charset of its own"),
                State::Opened => {
                    self.state = State::Within { depth: 1, is_name: true };
                    self.step(*byte)?;
                }
                State::Within { .. } | State::Text { .. } => self.step(*byte)?,
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        match &mut self.state {
            State::Within { depth, is_name } => match byte {
                b'"' => {
                    let name = (*depth == 1 && *is_name).then(Vec::new);
                    self.state = State::Text { depth: *depth, name, is_escaped: false };
                }
                b'{' | b'[' => *depth += 1,
                b'}' | b']' if *depth == 1 => self.state = State::Past,
                b'}' | b']' => *depth -= 1,
                b',' | b':' if *depth == 1 => *is_name = byte == b',',
                _ => {}
            },
            State::Text { depth, name, is_escaped } => {
                if byte == b'"' && !*is_escaped {
                    let name = name.take();
                    self.state = State::Within { depth: *depth, is_name: false };
                    return name.map_or(Ok(()), |name| self.seen(&name));
                }
                *is_escaped = byte == b'\\' && !*is_escaped;
                let longest = self.names.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
                match name {
                    Some(text) if text.len() < longest * LONGEST_ESCAPE => text.push(byte),
                    _ => *name = None,
                }
            }
            State::Before { .. } | State::Opened | State::Past => {}
        }
        Ok(())
    }

    fn seen(&mut self, written: &[u8]) -> Result<(), &'static str> {
        let quoted = [b"\"", written, b"\""].concat();
        // What is no text in JSON makes no object either.
        let Ok(found) = serde_json::from_slice::<String>(&quoted) else { return Ok(()) };
        for (name, seen) in &mut self.names {
            *seen |= *name == found;
        }
        let signs_in = self.names.iter().all(|(_, seen)| *seen);
        if signs_in { Err("it signs in past the gate") } else { Ok(()) }
    }
}

impl Inspect for Members {
    fn inspect(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.read(bytes)?;
        self.next.as_mut().map_or(Ok(()), |next| next.inspect(bytes))
    }

    fn finish(&mut self) -> Result<(), &'static str> {
        self.next.as_mut().map_or(Ok(()), |next| next.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(body: &[u8], size: usize) -> bool {
        let mut members = Members::new(&["login".to_owned(), "password".to_owned()], None);
        body.chunks(size)
            .try_for_each(|piece| members.inspect(piece))
            .and_then(|()| members.finish())
            .is_err()
    }

    fn wide(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn an_object_with_a_name_and_a_password_is_refused_in_every_spelling() {
        let plain = r#"{"login":"a","password":"b"}"#;
        let marked = |mark: &[u8], text: Vec<u8>| [mark, &text].concat();
        let wide32: Vec<u8> = plain.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (name, body, refused) in [
            ("plain", plain.into(), true),
            ("other way round", br#"{"password":"b","login":"a"}"#.to_vec(), true),
            ("spaced", b" \r\n\t{ \"login\" : \"a\" ,\n \"password\" : [] }".to_vec(), true),
            ("escaped", br#"{"\u006cog\u0069n":1,"\u0070assword":2}"#.to_vec(), true),
            (
                "behind other things",
                br#"{"a":{"b":["}",{}]},"c":"\"","login":1,"password":2}"#.to_vec(),
                true,
            ),
            ("behind a backslash", br#"{"a\\":"\\","login":1,"password":2}"#.to_vec(), true),
            ("behind a long name", format!("{{\"{}\":1,{}", "x".repeat(999), &plain[1..]).into_bytes(), true),
            ("cut off, as a form", br#"{"login":"a","password":"b"#.to_vec(), true),
            ("UTF-8 with a mark", marked(b"\xEF\xBB\xBF", plain.into()), true),
            ("UTF-16", wide(plain, u16::to_le_bytes), true),
            ("UTF-16, the other", wide(plain, u16::to_be_bytes), true),
            ("UTF-16 with a mark", marked(b"\xFF\xFE", wide(plain, u16::to_le_bytes)), true),
            ("UTF-32", wide32, true),
            ("further in", br#"{"user":{"login":"a","password":"b"}}"#.to_vec(), false),
            ("as values", br#"{"a":"login","b":"password"}"#.to_vec(), false),
            ("one of them", br#"{"username":"a","password":"b"}"#.to_vec(), false),
            ("a list", br#"[{"login":"a","password":"b"}]"#.to_vec(), false),
            ("text about it", br#"see {"login":"a","password":"b"}"#.to_vec(), false),
            ("behind the object", br#"{} {"login":"a","password":"b"}"#.to_vec(), false),
            ("an icon", b"\0\0\x01\0\x01\0".to_vec(), false),
            ("nothing", Vec::new(), false),
        ] {
            for size in [1, 2, 7, 4096] {
                assert_eq!(refuses(&body, size), refused, "{name}, {size} bytes at a time");
            }
        }
    }
}
