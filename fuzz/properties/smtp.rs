//! The mail relay's conversation with a CMS.

use super::mails::ALL;
use super::shown;
use lychgate::mail::{Links, probe, rewrite};
use lychgate::rewrite::Sites;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};
use std::{fs, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Small, so that small inputs reach it; in bytes.
const MESSAGE_LIMIT: u64 = 1024;
/// The longest command, in bytes.
const LONGEST_COMMAND: usize = 4096;

/// SMTP: replies are well formed; lines that come whole or byte by byte get the same; a message passes on only between `DATA` and
/// its end, as it was said; and nobody can make the relay hold more than its limits.
pub fn smtp(data: &[u8]) {
    let lines = converse(data, Cut::Lines, false);
    for talk in [&lines, &converse(data, Cut::Bytes, false)] {
        well_formed(&talk.said());
        let expected = expected(talk);
        assert_eq!(talk.messages.len(), expected.len(), "{}", shown(&talk.said()));
        for (message, expected) in talk.messages.iter().zip(expected) {
            clean(message);
            assert_eq!(shown(message), shown(&expected.unwrap_or_else(|| message.clone())));
        }
        assert_eq!(shown(&talk.said()), shown(&lines.said()), "lines and bytes are answered differently");
    }
    let pipelined = converse(data, Cut::Nowhere, false);
    well_formed(&pipelined.said());
    let count = |said: &[u8], code: &str| replies(said).filter(|line| line.starts_with(code)).count();
    assert!(pipelined.messages.len() <= count(&pipelined.said(), "354"), "a message that was not asked for");
    for message in &pipelined.messages {
        clean(message);
    }
    let endless = converse(data, Cut::Some(256), true);
    well_formed(&endless.said());
    let most = LONGEST_COMMAND.max(2 * usize::try_from(MESSAGE_LIMIT).unwrap()) + 2 * 256;
    assert!(endless.longest_silence() <= most, "{} bytes without a word", endless.longest_silence());
}

/// Every line is a code, a sign that tells whether it is the last, and text; and all lines of a reply have one code.
fn well_formed(said: &[u8]) {
    let mut open: Option<String> = None;
    assert!(said.is_empty() || said.ends_with(b"\r\n"), "half a line: {}", shown(said));
    for line in replies(said) {
        let (code, rest) = line.split_at_checked(3).expect("a code");
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()) && ("2".."6").contains(&code), "{line:?}");
        assert!(rest.starts_with([' ', '-']) && !rest.chars().any(char::is_control), "{line:?}");
        assert!(open.as_ref().is_none_or(|open| open == code), "{line:?} in a reply of {open:?}");
        open = rest.starts_with('-').then(|| code.to_owned());
    }
    assert_eq!(open, None, "a reply without its last line");
}

fn replies(said: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8(said.to_vec()).expect("replies are UTF-8");
    let lines: Vec<String> = text.split_terminator("\r\n").map(str::to_owned).collect();
    lines.into_iter()
}

/// No line end but CR LF, and nothing that a server behind may drop.
fn clean(message: &[u8]) {
    let mut before = 0;
    for byte in message {
        assert_ne!(*byte, 0, "a NUL in {}", shown(message));
        assert_eq!(before == b'\r', *byte == b'\n', "a lone line end in {}", shown(message));
        before = *byte;
    }
    assert_ne!(before, b'\r', "a lone line end in {}", shown(message));
}

/// What must have been passed on, by what was heard after each `354` and what was said then; `None` where that is not so easily
/// said.
fn expected(talk: &Talk) -> Vec<Option<Vec<u8>>> {
    let mut messages = Vec::new();
    for (at, said) in talk.events.iter().enumerate() {
        let Event::Said(said) = said else { continue };
        if !said.starts_with(b"354") && !shown(said).contains(r"\r\n354 ") {
            continue;
        }
        let mut heard = b"\r\n".to_vec();
        let mut answer = None;
        for event in &talk.events[at + 1..] {
            match event {
                Event::Heard(bytes) => heard.extend_from_slice(bytes),
                Event::Said(bytes) if bytes.is_empty() => {}
                Event::Said(bytes) => {
                    answer = Some(bytes);
                    break;
                }
            }
        }
        let accepted = answer.is_some_and(|answer| answer.starts_with(b"250"));
        let end = heard.windows(5).position(|window| window == b"\r\n.\r\n");
        assert!(!accepted || end.is_some(), "accepted before its end: {}", shown(&heard));
        let Some(end) = end.filter(|_| accepted) else { continue };
        assert_eq!(end + 5, heard.len(), "accepted beyond its end: {}", shown(&heard));
        let content = &heard[2..][..end];
        // What a bare line feed is to the dots around it is no property but a choice; see the relay's own tests.
        let is_bare = |at: usize| content[at] == b'\n' && (at == 0 || content[at - 1] != b'\r');
        if (0..content.len()).any(is_bare) {
            messages.push(None);
            continue;
        }
        let lines = content.split_inclusive(|byte| *byte == b'\n');
        let message = lines.map(|line| line.strip_prefix(b".").unwrap_or(line)).collect::<Vec<_>>().concat();
        let rewritten = rewrite(&ALL, &Links::default(), &message).expect("it was accepted").message;
        messages.push(Some(rewritten.unwrap_or(message)));
    }
    messages
}

enum Event {
    Heard(Vec<u8>),
    Said(Vec<u8>),
}

struct Talk {
    events: Vec<Event>,
    /// What was passed on, without the fields that the relay adds.
    messages: Vec<Vec<u8>>,
}

impl Talk {
    fn said(&self) -> Vec<u8> {
        let said = |event: &Event| match event {
            Event::Said(bytes) => bytes.clone(),
            Event::Heard(_) => Vec::new(),
        };
        self.events.iter().flat_map(said).collect()
    }

    fn longest_silence(&self) -> usize {
        let (mut longest, mut silence) = (0, 0);
        for event in &self.events {
            match event {
                Event::Heard(bytes) => silence += bytes.len(),
                Event::Said(bytes) if bytes.is_empty() => {}
                Event::Said(_) => silence = 0,
            }
            longest = longest.max(silence);
        }
        longest
    }
}

/// How what is said to the relay is cut.
#[derive(Clone, Copy)]
enum Cut {
    Lines,
    Bytes,
    Some(usize),
    Nowhere,
}

/// A conversation; what is `endless` repeats its end until nobody listens.
fn converse(data: &[u8], cut: Cut, endless: bool) -> Talk {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    static SITES: LazyLock<Arc<Sites>> = LazyLock::new(|| {
        Arc::new(Sites::new(super::origins(lychgate::rewrite::Mode::Full).iter().map(AsRef::as_ref)))
    });
    let folder = tempfile::tempdir_in(memory()).expect("a folder");
    let events = Arc::new(Mutex::new(Vec::new()));
    let cms = Cms { data: data.to_vec(), at: 0, cut, endless, gone: false, events: Arc::clone(&events) };
    RUNTIME.block_on(probe::converse(cms, Arc::clone(&SITES), folder.path().to_owned(), MESSAGE_LIMIT));
    let events = std::mem::take(&mut *events.lock().unwrap());
    Talk { events, messages: messages(folder.path()) }
}

/// A folder that no disk is waited for, if there is one.
fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn messages(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files.collect();
    // Names end in a number, in hexadecimal.
    files.sort_by_key(|file| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        u64::from_str_radix(name.rsplit('-').next().unwrap(), 16).expect("a number")
    });
    let content = |file: PathBuf| {
        let mut text = fs::read(file).expect("a message");
        // The envelope, and the relay's own `Received`, which has two lines.
        let mut at = text.windows(12).position(|window| window == b"\r\nReceived: ").expect("a trace") + 2;
        for _ in 0..2 {
            at += text[at..].windows(2).position(|window| window == b"\r\n").expect("a line end") + 2;
        }
        text.drain(..at);
        text
    };
    files.into_iter().map(content).collect()
}

/// The CMS's end of the line.
struct Cms {
    data: Vec<u8>,
    at: usize,
    cut: Cut,
    endless: bool,
    gone: bool,
    events: Arc<Mutex<Vec<Event>>>,
}

impl AsyncRead for Cms {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        const ENOUGH: usize = 16 * 1024;
        if self.gone {
            return Poll::Ready(Ok(()));
        }
        if self.at == self.data.len() && self.endless && self.data.len() < ENOUGH {
            let end = self.data[self.data.len().saturating_sub(16)..].to_vec();
            self.data.extend(end.repeat(256 / end.len().max(1)));
        }
        let rest = &self.data[self.at..];
        let count = match self.cut {
            Cut::Lines => rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1),
            Cut::Bytes => 1,
            Cut::Some(count) => count,
            Cut::Nowhere => rest.len(),
        };
        let piece = rest[..count.min(rest.len()).min(buffer.remaining())].to_vec();
        buffer.put_slice(&piece);
        self.at += piece.len();
        self.events.lock().unwrap().push(Event::Heard(piece));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Cms {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.events.lock().unwrap().push(Event::Said(bytes.to_vec()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gone = true;
        Poll::Ready(Ok(()))
    }
}
