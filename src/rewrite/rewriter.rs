//! The way of one answer's bytes: decode, narrow, map links, map addresses, widen, encode.

use super::coding::{Coding, Decoder, Encoder, STEP};
use super::folds::Folds;
use super::html::Links;
use super::lazy::LazyLinks;
use super::links::Way;
use super::origins::{Mode, Origins};
use super::plan::Plan;
use super::stream::Stream;
use super::wide::{Order, Wide};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

pub(super) struct Rewriter {
    coded: Option<Coded>,
    text: Text,
}

/// A body that comes encoded: decoded, mapped, encoded again.
pub(super) struct Coded {
    coding: Coding,
    decoder: Decoder,
    /// Made when it is known whether there is anything to encode.
    encoder: Option<Encoder>,
}

/// The way of text, once it is decoded, out or in.
pub(super) struct Text {
    opening: Opening,
    wide: Wide,
    links: Tags,
    stream: Stream,
}

/// Who reads the tags, or the folds.
enum Tags {
    Nobody,
    All(Box<Links>),
    IfNeeded(Box<LazyLinks>),
    Folds(Box<Folds>),
}

/// Whether it is text at all.
enum Opening {
    Text,
    /// Its first bytes will tell.
    Unknown(Vec<u8>),
    /// It is none.
    Binary,
}

/// How many bytes tell. That is no longer than an address.
const TELLING: usize = 64;

impl fmt::Debug for Rewriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewriter")
            .field("html", &!matches!(self.text.links, Tags::Nobody))
            .finish_non_exhaustive()
    }
}

impl Rewriter {
    /// What the plan says; nothing for [`Plan::Pass`].
    pub(super) fn new(origins: &Arc<Origins>, plan: Plan) -> Option<Self> {
        let way = || Way::outward(origins.clone());
        let links = |xml| match (LazyLinks::new(way(), xml), origins.mode()) {
            (Some(links), _) => Tags::IfNeeded(Box::new(links)),
            (None, Mode::Safety) => Tags::Nobody,
            (None, Mode::Forwarded | Mode::Full) => Tags::All(Box::new(Links::new(way(), xml))),
        };
        let mut opening = Opening::Text;
        let (coding, map, links) = match plan {
            Plan::Pass => return None,
            Plan::Unnamed(coding) => {
                opening = Opening::Unknown(Vec::new());
                (coding, origins.outward(), if origins.maps_paths() { links(false) } else { Tags::Nobody })
            }
            Plan::Folded(coding) => {
                let folds = Folds::new(origins.outward().clone());
                (coding, origins.outward(), Tags::Folds(Box::new(folds)))
            }
            Plan::Text(coding) => (coding, origins.outward(), Tags::Nobody),
            Plan::Styled(coding) => (coding, origins.styles(), Tags::Nobody),
            Plan::Html(coding) => (coding, origins.outward(), links(false)),
            Plan::Xhtml(coding) => (coding, origins.outward(), links(true)),
        };
        let coded = coding.map(Coded::new);
        let text = Text { opening, wide: Wide::new(None), links, stream: Stream::new(map.clone()) };
        Some(Self { coded, text })
    }

    /// Before the first byte: the text is labelled as UTF-16.
    pub(super) fn label(&mut self, order: Option<Order>) {
        self.text.wide = Wide::new(order);
    }

    /// How many internal names went out.
    pub(super) fn remaining(&self) -> usize {
        self.text.stream.remaining()
    }

    /// Takes some of `pending`: all of it, or a step's worth if it has to be decoded.
    pub(super) fn push(&mut self, pending: &mut Bytes, out: &mut impl FnMut(Bytes)) -> io::Result<()> {
        let Self { coded, text } = self;
        let Some(coded) = coded else {
            text.push(mem::take(pending), false, out);
            return Ok(());
        };
        coded.push(pending, |plain| collected(|out| text.push(plain, false, &mut |piece| out(piece))), out)
    }

    pub(super) fn finish(&mut self, out: &mut impl FnMut(Bytes)) -> io::Result<()> {
        let Self { coded, text } = self;
        let Some(coded) = coded else {
            text.push(Bytes::new(), true, out);
            return Ok(());
        };
        coded.finish(|plain| collected(|out| text.push(plain, true, &mut |piece| out(piece))), out)
    }
}

impl Coded {
    pub(super) fn new(coding: Coding) -> Self {
        Self { coding, decoder: Decoder::new(coding), encoder: None }
    }

    /// Takes a step's worth of `pending`, which `map` maps while it is decoded.
    pub(super) fn push(
        &mut self,
        pending: &mut Bytes,
        map: impl FnOnce(Bytes) -> Vec<Bytes>,
        out: &mut impl FnMut(Bytes),
    ) -> io::Result<()> {
        let step = pending.split_to(pending.len().min(STEP));
        let pieces = map(Bytes::from(self.decoder.push(&step)?));
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None if self.decoder.is_plain() => self.encoder.insert(Encoder::Plain),
            None => self.encoder.insert(Encoder::new(self.coding)?),
        };
        for piece in pieces {
            emit(encoder.push(&piece)?, out);
        }
        if pending.is_empty() {
            emit(encoder.flush()?, out);
        }
        Ok(())
    }

    pub(super) fn finish(
        &mut self,
        map: impl FnOnce(Bytes) -> Vec<Bytes>,
        out: &mut impl FnMut(Bytes),
    ) -> io::Result<()> {
        let pieces = map(Bytes::from(self.decoder.finish()?));
        // Without an encoder not a byte came: a `HEAD` or an empty body.
        let Some(mut encoder) = self.encoder.take() else { return Ok(()) };
        for piece in pieces {
            emit(encoder.push(&piece)?, out);
        }
        emit(encoder.finish()?, out);
        Ok(())
    }
}

fn collected(push: impl FnOnce(&mut dyn FnMut(Bytes))) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    push(&mut |piece| pieces.push(piece));
    pieces
}

impl Text {
    /// For the body of a request: with its links, if it is a page.
    pub(super) fn inward(origins: &Arc<Origins>, order: Option<Order>, plan: Plan) -> Self {
        let links = |xml| Tags::All(Box::new(Links::new(Way::inward(origins.clone()), xml)));
        let (map, links) = match plan {
            Plan::Html(_) => (origins.inward(), links(false)),
            Plan::Xhtml(_) => (origins.inward(), links(true)),
            Plan::Styled(_) => (origins.inward_styles(), Tags::Nobody),
            Plan::Folded(_) => {
                (origins.inward(), Tags::Folds(Box::new(Folds::new(origins.inward().clone()))))
            }
            Plan::Pass | Plan::Text(_) | Plan::Unnamed(_) => (origins.inward(), Tags::Nobody),
        };
        Self { opening: Opening::Text, wide: Wide::new(order), links, stream: Stream::new(map.clone()) }
    }

    pub(super) fn push(&mut self, chunk: Bytes, end: bool, out: &mut impl FnMut(Bytes)) {
        let Some(chunk) = self.opening.decide(chunk, end) else { return };
        if matches!(self.opening, Opening::Binary) {
            if !chunk.is_empty() {
                out(chunk);
            }
            return;
        }
        let Self { wide, links, stream, .. } = self;
        let text = links.push(wide.narrow(chunk, end));
        let mut widened = |piece| {
            let piece = wide.widen(piece);
            if !piece.is_empty() {
                out(piece);
            }
        };
        stream.push(text, &mut widened);
        if !end {
            return;
        }
        stream.push(links.finish(), &mut widened);
        stream.finish(&mut widened);
        let rest = wide.finish();
        if !rest.is_empty() {
            out(rest);
        }
    }
}

impl Opening {
    /// Gives what is decided, once it is.
    fn decide(&mut self, chunk: Bytes, end: bool) -> Option<Bytes> {
        let Self::Unknown(seen) = self else { return Some(chunk) };
        seen.extend_from_slice(&chunk);
        let start = seen.get(..TELLING).unwrap_or(seen);
        let is_binary = is_binary(start);
        if !is_binary && start.len() < TELLING && !end {
            return None;
        }
        let text = Bytes::from(mem::take(seen));
        *self = if is_binary { Self::Binary } else { Self::Text };
        Some(text)
    }
}

/// Whether no text begins so (WHATWG's MIME Sniffing, sections 3 and 7.1), not even in UTF-16.
fn is_binary(start: &[u8]) -> bool {
    let is_wide =
        matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0] | [_, 0, _] | [0] | [0, _] | [0, _, 0])
            || matches!(
                start,
                [b'\t'..=b'~', 0, b'\t'..=b'~', 0, ..] | [0, b'\t'..=b'~', 0, b'\t'..=b'~', ..]
            );
    let is_telling = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    start.starts_with(b"%PDF-") || (!is_wide && start.iter().any(is_telling))
}

impl Tags {
    fn push(&mut self, text: Bytes) -> Bytes {
        match self {
            Self::Nobody => text,
            Self::All(links) => links.push(text),
            Self::IfNeeded(links) => links.push(text),
            Self::Folds(folds) => folds.push(&text, false),
        }
    }

    fn finish(&mut self) -> Bytes {
        match self {
            Self::Nobody => Bytes::new(),
            Self::All(links) => links.finish(),
            Self::IfNeeded(links) => links.finish(),
            Self::Folds(folds) => folds.push(&[], true),
        }
    }
}

fn emit(bytes: Vec<u8>, out: &mut impl FnMut(Bytes)) {
    if !bytes.is_empty() {
        out(Bytes::from(bytes));
    }
}
