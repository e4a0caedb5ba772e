//! Rewriting a body while it passes, in constant memory.
//!
//! Whatever way a body is cut, the same bytes come out as if it had been rewritten whole: what is undecided at the
//! end of a piece is held back, never more than an address can be long, and nothing is held that cannot begin one. A
//! piece in which nothing is replaced is handed on as it is, without a copy.

use super::map::{Map, Scan};
use bytes::Bytes;
use std::sync::Arc;

/// One body on its way through a [`Map`].
#[derive(Debug)]
pub struct Stream {
    map: Arc<Map>,
    /// The end of what was seen: first what was handed on and only serves as context, then what is held back.
    carry: Vec<u8>,
    /// How many bytes of `carry` are context.
    context: usize,
    remaining: usize,
    changed: bool,
}

impl Stream {
    /// Starts at the beginning of a body.
    pub fn new(map: Arc<Map>) -> Self {
        Self { map, carry: Vec::new(), context: 0, remaining: 0, changed: false }
    }

    /// Takes the next piece; hands what is decided to `out`, in one to three pieces, none of them empty.
    pub fn push(&mut self, chunk: Bytes, out: &mut impl FnMut(Bytes)) {
        if chunk.is_empty() {
            return;
        }
        if self.is_fresh() {
            return self.pass(chunk, 0, 0, out);
        }
        // Over the seam: what was carried, and as much of the piece as any decision on it can depend on.
        let carried = self.carry.len();
        let reach = self.map.context().saturating_add(self.map.longest());
        let taken = chunk.len().min(reach);
        self.carry.extend_from_slice(chunk.get(..taken).unwrap_or_default());
        let mut written = Vec::new();
        let scan = self.map.scan(&self.carry, self.context, self.context, false, &mut written);
        self.note(&scan);
        if taken == chunk.len() {
            if !scan.changed {
                written.extend_from_slice(self.carry.get(self.context..scan.upto).unwrap_or_default());
            }
            emit(written, out);
            self.keep(scan.upto);
            return;
        }
        // The piece goes on, and its decided part is long enough to be its own context.
        let from = scan.upto.saturating_sub(carried);
        let literal = if scan.changed {
            from
        } else {
            written.extend_from_slice(self.carry.get(self.context..carried).unwrap_or_default());
            0
        };
        emit(written, out);
        self.pass(chunk, literal, from, out);
    }

    /// Ends the body: what was held back was no address, or is a whole one now.
    pub fn finish(&mut self, out: &mut impl FnMut(Bytes)) {
        let mut written = Vec::new();
        let scan = self.map.scan(&self.carry, self.context, self.context, true, &mut written);
        self.note(&scan);
        if !scan.changed {
            written.extend_from_slice(self.carry.get(self.context..).unwrap_or_default());
        }
        self.carry.clear();
        self.context = 0;
        emit(written, out);
    }

    /// How many internal names went out because they were no address of ours: another port, part of a path. A secret host
    /// counts wherever it stands, one that is everybody's (`localhost`) with its port only.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Whether anything was replaced so far.
    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    fn note(&mut self, scan: &Scan) {
        self.remaining = self.remaining.saturating_add(scan.remaining);
        self.changed |= scan.changed;
    }

    /// How many bytes are held back.
    pub fn held(&self) -> usize {
        self.carry.len().saturating_sub(self.context)
    }

    /// Whether the next byte is decided as if it were the first.
    fn is_fresh(&self) -> bool {
        self.held() == 0 && self.carry.last().is_none_or(|last| self.map.is_fresh_after(*last))
    }

    /// Scans a piece from `from` on by itself; its bytes before that are context, those from `literal` on still to be handed on.
    fn pass(&mut self, chunk: Bytes, literal: usize, from: usize, out: &mut impl FnMut(Bytes)) {
        let mut written = Vec::new();
        let scan = self.map.scan(&chunk, literal, from, false, &mut written);
        self.note(&scan);
        if scan.changed {
            emit(written, out);
        } else if scan.upto > literal {
            out(chunk.slice(literal..scan.upto));
        }
        let start = scan.upto.saturating_sub(self.map.context());
        self.carry.clear();
        self.carry.extend_from_slice(chunk.get(start..).unwrap_or_default());
        self.context = scan.upto.saturating_sub(start);
    }

    /// Drops what is neither held back nor context.
    fn keep(&mut self, upto: usize) {
        let start = upto.saturating_sub(self.map.context());
        self.carry.drain(..start);
        self.context = upto.saturating_sub(start);
    }
}

fn emit(written: Vec<u8>, out: &mut impl FnMut(Bytes)) {
    if !written.is_empty() {
        out(Bytes::from(written));
    }
}
