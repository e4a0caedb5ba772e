//! The way of one answer's bytes: decode, narrow, map links, map addresses, widen, encode.

use super::coding::{Coding, Decoder, Encoder, STEP};
use super::headers::Plan;
use super::html::Links;
use super::lazy::LazyLinks;
use super::links::Way;
use super::origins::{Mode, Origins};
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

struct Coded {
    coding: Coding,
    decoder: Decoder,
    /// Made when it is known whether there is anything to encode.
    encoder: Option<Encoder>,
}

/// The way of text, once it is decoded, out or in.
pub(super) struct Text {
    wide: Wide,
    links: Tags,
    stream: Stream,
}

/// Who reads the tags.
enum Tags {
    Nobody,
    All(Box<Links>),
    IfNeeded(Box<LazyLinks>),
}

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
        let (coding, map, links) = match plan {
            Plan::Pass => return None,
            Plan::Text(coding) => (coding, origins.outward(), Tags::Nobody),
            Plan::Styled(coding) => (coding, origins.styles(), Tags::Nobody),
            Plan::Html(coding) => (coding, origins.outward(), links(false)),
            Plan::Xhtml(coding) => (coding, origins.outward(), links(true)),
        };
        let coded = coding.map(|coding| Coded { coding, decoder: Decoder::new(coding), encoder: None });
        Some(Self { coded, text: Text { wide: Wide::new(None), links, stream: Stream::new(map.clone()) } })
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
        let Some(coded) = &mut self.coded else {
            self.text.push(mem::take(pending), false, out);
            return Ok(());
        };
        let step = pending.split_to(pending.len().min(STEP));
        let plain = Bytes::from(coded.decoder.push(&step)?);
        let mut pieces = Vec::new();
        self.text.push(plain, false, &mut |piece| pieces.push(piece));
        let encoder = match &mut coded.encoder {
            Some(encoder) => encoder,
            None if coded.decoder.is_plain() => coded.encoder.insert(Encoder::Plain),
            None => coded.encoder.insert(Encoder::new(coded.coding)?),
        };
        for piece in pieces {
            emit(encoder.push(&piece)?, out);
        }
        if pending.is_empty() {
            emit(encoder.flush()?, out);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut impl FnMut(Bytes)) -> io::Result<()> {
        let Some(coded) = &mut self.coded else {
            self.text.push(Bytes::new(), true, out);
            return Ok(());
        };
        let plain = Bytes::from(coded.decoder.finish()?);
        let mut pieces = Vec::new();
        self.text.push(plain, true, &mut |piece| pieces.push(piece));
        // Without an encoder not a byte came: a `HEAD` or an empty body.
        let Some(mut encoder) = coded.encoder.take() else { return Ok(()) };
        for piece in pieces {
            emit(encoder.push(&piece)?, out);
        }
        emit(encoder.finish()?, out);
        Ok(())
    }
}

impl Text {
    /// For the body of a request: with its links, if it is a page.
    pub(super) fn inward(origins: &Arc<Origins>, order: Option<Order>, plan: Plan) -> Self {
        let links = |xml| Tags::All(Box::new(Links::new(Way::inward(origins.clone()), xml)));
        let (map, links) = match plan {
            Plan::Html(_) => (origins.inward(), links(false)),
            Plan::Xhtml(_) => (origins.inward(), links(true)),
            Plan::Styled(_) => (origins.inward_styles(), Tags::Nobody),
            Plan::Pass | Plan::Text(_) => (origins.inward(), Tags::Nobody),
        };
        Self { wide: Wide::new(order), links, stream: Stream::new(map.clone()) }
    }

    pub(super) fn push(&mut self, chunk: Bytes, end: bool, out: &mut impl FnMut(Bytes)) {
        let Self { wide, links, stream } = self;
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

impl Tags {
    fn push(&mut self, text: Bytes) -> Bytes {
        match self {
            Self::Nobody => text,
            Self::All(links) => links.push(text),
            Self::IfNeeded(links) => links.push(text),
        }
    }

    fn finish(&mut self) -> Bytes {
        match self {
            Self::Nobody => Bytes::new(),
            Self::All(links) => links.finish(),
            Self::IfNeeded(links) => links.finish(),
        }
    }
}

fn emit(bytes: Vec<u8>, out: &mut impl FnMut(Bytes)) {
    if !bytes.is_empty() {
        out(Bytes::from(bytes));
    }
}
