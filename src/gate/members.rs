//! A body of JSON that would sign its request in past the gate, or that names what its sender must not reach.
//!
//! Plone's REST service takes a name and a password from the members of any body that is an object, whatever page it is
//! posted to (plone.restapi, `JWTAuthenticationPlugin.extractCredentials`; of older versions whatever its type). So an object's own
//! members are read as the body passes, in the spellings that JSON has for a name. Whatever is no object is let be at
//! its first byte.
//!
//! The same service copies and moves what the texts in a member name (`POST /docs/@copy {"source": "/board"}`), out of a place that
//! the rules close as well: those that are paths or addresses are judged like a path. It takes ids of its own, too, which say nothing
//! of a place and are let be: what must not be copied must be closed in the CMS.

use crate::forward::Inspect;

/// What a name may take as it is written, for each byte of it: `\u0061`.
const LONGEST_ESCAPE: usize = 6;

/// The longest text of a member that names sources, in bytes: no path that the gate admits is longer.
const LONGEST_SOURCE: usize = 8 * 1024;

/// How many sources a body may name. Each is judged by the rules, which takes its time.
const MOST_SOURCES: usize = 1024;

/// Whether a path (as it is walked, without any encoding) may be copied or moved from.
pub(super) type Source = Box<dyn Fn(&[u8]) -> bool + Send>;

/// The members whose texts are judged.
pub(super) struct Sources {
    /// Their names.
    pub(super) names: Vec<String>,
    pub(super) may: Source,
}

/// Refuses an object that has members of all these names, in pieces of any size.
pub(super) struct Members {
    /// The names, and whether they were seen.
    names: Vec<(String, bool)>,
    sources: Option<Sources>,
    /// Whether what passes belongs to such a member.
    in_source: bool,
    sources_seen: usize,
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
    /// In a text; what it says, as far as it may be one of the names or a source.
    Text { depth: usize, is_name: bool, text: Option<Vec<u8>>, is_escaped: bool },
    /// Behind the object, or in what is none.
    Past,
}

impl Members {
    /// For these names, none of them empty; `next` inspects the same.
    pub(super) fn new(names: &[String], next: Option<Box<dyn Inspect>>) -> Self {
        let names = names.iter().map(|name| (name.clone(), false)).collect();
        let state = State::Before { is_wide: false };
        Self { names, sources: None, in_source: false, sources_seen: 0, state, next }
    }

    /// Judges the texts in these members, too.
    pub(super) fn with(self, sources: Sources) -> Self {
        Self { sources: Some(sources), ..self }
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
                    let is_name = *depth == 1 && *is_name;
                    let text = (is_name || self.in_source).then(Vec::new);
                    self.state = State::Text { depth: *depth, is_name, text, is_escaped: false };
                }
                b'{' | b'[' => *depth += 1,
                b'}' | b']' if *depth == 1 => self.state = State::Past,
                b'}' | b']' => *depth -= 1,
                b',' | b':' if *depth == 1 => {
                    *is_name = byte == b',';
                    self.in_source &= !*is_name;
                }
                _ => {}
            },
            State::Text { depth, is_name, text, is_escaped } => {
                if byte == b'"' && !*is_escaped {
                    let (text, was_name) = (text.take(), *is_name);
                    self.state = State::Within { depth: *depth, is_name: false };
                    return match text {
                        Some(name) if was_name => self.seen(&name),
                        Some(source) => self.source(&source),
                        None => Ok(()),
                    };
                }
                *is_escaped = byte == b'\\' && !*is_escaped;
                let sources = self.sources.iter().flat_map(|sources| &sources.names);
                let names = self.names.iter().map(|(name, _)| name).chain(sources);
                let longest = match *is_name {
                    true => names.map(String::len).max().unwrap_or_default(),
                    false => LONGEST_SOURCE,
                };
                match text {
                    Some(text) if text.len() < longest * LONGEST_ESCAPE => text.push(byte),
                    // No text so long is a path.
                    Some(text) if !*is_name && is_path(text) => {
                        return Err("it names a source that has no end");
                    }
                    _ => *text = None,
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
        self.in_source = self.sources.as_ref().is_some_and(|sources| sources.names.contains(&found));
        for (name, seen) in &mut self.names {
            *seen |= *name == found;
        }
        let signs_in = self.names.iter().all(|(_, seen)| *seen);
        if signs_in { Err("it signs in past the gate") } else { Ok(()) }
    }
}

impl Members {
    fn source(&mut self, written: &[u8]) -> Result<(), &'static str> {
        let quoted = [b"\"", written, b"\""].concat();
        let Ok(found) = serde_json::from_slice::<String>(&quoted) else { return Ok(()) };
        let path = match found.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').and_then(|at| rest.get(at..)),
            _ => Some(found.as_str()).filter(|text| text.starts_with('/')),
        };
        let (Some(path), Some(sources)) = (path, &self.sources) else { return Ok(()) };
        self.sources_seen += 1;
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        let is_clear = !names.contains(&"..") && self.sources_seen <= MOST_SOURCES;
        if is_clear && (sources.may)(format!("/{}", names.join("/")).as_bytes()) {
            return Ok(());
        }
        Err("it names a source that is not allowed")
    }
}

/// Whether a text, as it is written in JSON, begins like a path or an address.
fn is_path(written: &[u8]) -> bool {
    [&b"/"[..], b"\\", b"http"].iter().any(|start| written.starts_with(start))
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

    #[test]
    fn a_source_is_judged_in_every_spelling_and_nothing_else_is() {
        let refuses = |body: &str, size: usize| {
            let sources = Sources {
                names: vec!["source".to_owned()],
                may: Box::new(|path| !path.starts_with(b"/board") && !path.starts_with(b"/Plone/board")),
            };
            let mut members = Members::new(&["login".to_owned(), "password".to_owned()], None).with(sources);
            body.as_bytes().chunks(size).try_for_each(|piece| members.inspect(piece)).is_err()
        };
        let many = format!("{{\"source\":[{}\"/docs\"]}}", "\"/docs\",".repeat(MOST_SOURCES));
        let long = format!("{{\"source\":\"/{}\"}}", "docs/".repeat(LONGEST_SOURCE * LONGEST_ESCAPE / 4));
        for (name, body, refused) in [
            ("a path", r#"{"source":"/board/a"}"#, true),
            ("slashes and dots", r#"{"source":"//./board"}"#, true),
            ("out of a folder", r#"{"source":"/docs/../board"}"#, true),
            ("an address", r#"{"source":"https://h.example/board"}"#, true),
            ("an inner address", r#"{"source":"http://localhost:8080/Plone/board"}"#, true),
            ("in a list", r#"{"a":1,"source":["/docs","\u002fboard"]}"#, true),
            ("escaped", r#"{"\u0073ource":"\/bo\u0061rd"}"#, true),
            ("more than anyone copies", &many, true),
            ("without end", &long, true),
            ("another path", r#"{"source":"/docs"}"#, false),
            ("an id", r#"{"source":"1234abcd"}"#, false),
            ("another member", r#"{"source":["/docs"],"target":"/board"}"#, false),
            ("further in", r#"{"a":{"source":"/board"}}"#, false),
            ("an address without path", r#"{"source":"https://h.example"}"#, false),
        ] {
            for size in [1, 7, 4096] {
                assert_eq!(refuses(body, size), refused, "{name}, {size} bytes at a time");
            }
        }
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
