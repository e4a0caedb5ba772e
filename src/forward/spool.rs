//! A body of unknown length, kept until its length is known.
//!
//! ZServer refuses a chunked request and NaviServer cuts it off, so a CMS never gets one. What exceeds the memory set
//! aside for it goes to a file without a name, which the system removes by itself.

use std::io::SeekFrom;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::fs::File;
use tokio::io::{AsyncRead as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};

use super::body::{BoxError, Inspect, RequestBody};
use super::{Fault, Settings};

/// A body read back from a file.
pub struct Spooled {
    file: File,
    remaining: u64,
    buffer: BytesMut,
}

/// How much is read back at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// Reads `incoming` to its end and makes it a body of known length.
///
/// # Errors
/// [`Fault::BodyTooLarge`] past the site's limit, [`Fault::ClientBody`] when the client breaks off or stands still,
/// [`Fault::BodyRefused`] as `inspect` says, [`Fault::Spool`] when the disk is full.
pub async fn spool(
    mut incoming: Incoming,
    settings: &Settings,
    mut inspect: Option<Box<dyn Inspect>>,
) -> Result<RequestBody, Fault> {
    let mut memory = BytesMut::new();
    let mut file: Option<File> = None;
    let mut length: u64 = 0;
    while let Some(data) = next_data(&mut incoming, settings.response_timeout.as_duration()).await? {
        length += data.len() as u64;
        if length > settings.body_limit.as_u64() {
            return Err(Fault::BodyTooLarge);
        }
        if let Some(inspect) = &mut inspect {
            inspect.inspect(&data).map_err(Fault::BodyRefused)?;
        }
        if let Some(file) = &mut file {
            file.write_all(&data).await.map_err(Fault::Spool)?;
        } else if memory.len() + data.len() <= settings.spool_above.as_usize() {
            memory.extend_from_slice(&data);
        } else {
            let mut opened = File::from_std(tempfile::tempfile().map_err(Fault::Spool)?);
            opened.write_all(&std::mem::take(&mut memory)).await.map_err(Fault::Spool)?;
            opened.write_all(&data).await.map_err(Fault::Spool)?;
            file = Some(opened);
        }
    }
    if let Some(inspect) = &mut inspect {
        inspect.finish().map_err(Fault::BodyRefused)?;
    }
    match file {
        None => Ok(RequestBody::Full(super::full(memory.freeze()))),
        Some(mut file) => {
            file.flush().await.map_err(Fault::Spool)?;
            file.seek(SeekFrom::Start(0)).await.map_err(Fault::Spool)?;
            Ok(RequestBody::Spooled(Spooled { file, remaining: length, buffer: BytesMut::new() }))
        }
    }
}

async fn next_data(incoming: &mut Incoming, limit: Duration) -> Result<Option<Bytes>, Fault> {
    loop {
        match tokio::time::timeout(limit, incoming.frame()).await {
            Err(_) | Ok(Some(Err(_))) => return Err(Fault::ClientBody),
            Ok(None) => return Ok(None),
            // Trailers are not passed on: their names were not admitted.
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

impl Spooled {
    pub(super) fn length(&self) -> u64 {
        self.remaining
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        self.buffer.resize(CHUNK, 0);
        let mut read = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.file).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Some(Err("the spooled body ended early".into())));
        }
        self.remaining = self.remaining.saturating_sub(count as u64);
        Poll::Ready(Some(Ok(Frame::data(self.buffer.split_to(count).freeze()))))
    }
}
