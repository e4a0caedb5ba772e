//! A body of unknown length, kept until its length is known: a chunked one, or one that changes on its way.
//!
//! ZServer refuses a chunked request and NaviServer cuts it off, so a CMS never gets one. What exceeds the memory set
//! aside for it, or for all such bodies together, goes to a file without a name, which the system removes by itself. Of bodies
//! of strangers there are so many at once ([`Strangers`]): each may be a file that stays open for as long as they like.

use std::io::SeekFrom;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::fs::File;
use tokio::io::{AsyncRead as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::body::{BoxError, Inspect, Progress, RequestBody};
use super::pace::Pace;
use super::{Fault, Settings};
use crate::limits::crowd::{Crowd, Slots};
use crate::rewrite::Translation;

/// A body read back from a file.
pub struct Spooled {
    file: File,
    remaining: u64,
    buffer: BytesMut,
    progress: Progress,
}

/// How much is read back at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// How much all bodies together may hold in memory, in bytes; what comes beyond goes to files at once.
const MOST_MEMORY: usize = 64 << 20;
/// How many bodies of strangers may be held at once. Browsers say how long a form is, so honest ones are few.
const MOST_STRANGERS: usize = 256;
/// How many of these one client network may have: whoever sends slowly keeps a place for long, and must not keep all of them.
const MOST_OF_ONE: usize = 32;

/// What is held now.
static MEMORY: AtomicUsize = AtomicUsize::new(0);
static STRANGERS: Semaphore = Semaphore::const_new(MOST_STRANGERS);
/// Whose those of strangers are.
static CLIENTS: LazyLock<Crowd<{ 1 << 12 }>> = LazyLock::new(Crowd::default);

/// A stranger's place, until their request has been answered.
pub struct Strangers {
    _place: SemaphorePermit<'static>,
    client: Slots,
}

impl Strangers {
    /// Takes a place for this client.
    ///
    /// # Errors
    /// [`Fault::Crowded`] when all are taken, or as many as one client network may have.
    pub fn enter(client: IpAddr) -> Result<Self, Fault> {
        let place = STRANGERS.try_acquire().map_err(|_| Fault::Crowded)?;
        let client = CLIENTS.slots(client);
        if CLIENTS.enter(client) >= MOST_OF_ONE {
            CLIENTS.leave(client);
            return Err(Fault::Crowded);
        }
        Ok(Self { _place: place, client })
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        CLIENTS.leave(self.client);
    }
}

/// A body is said to be compressed and cannot be unpacked.
pub const UNREADABLE: Fault = Fault::BodyRefused("it cannot be decoded");

/// Reads `incoming` to its end and makes it, translated where it has to be, a body of known length.
///
/// # Errors
/// [`Fault::BodyTooLarge`] past the site's limit, [`Fault::ClientBody`] when the client breaks off or stands still,
/// [`Fault::BodyRefused`] as `inspect` says or as it cannot be decoded, [`Fault::Spool`] when the disk is full.
pub async fn spool(
    mut incoming: Incoming,
    settings: &Settings,
    mut inspect: Option<Box<dyn Inspect>>,
    mut translation: Option<Translation>,
) -> Result<RequestBody, Fault> {
    let mut kept = Kept { room: settings.spool_above.as_usize(), ..Kept::default() };
    let (mut length, mut pace): (u64, _) = (0, Pace::new(settings.body_rate.as_u64()));
    loop {
        pace.wait();
        let next = next_data(&mut incoming, settings.response_timeout.as_duration()).await?;
        let Some(data) = next else { break };
        if !pace.came(data.len()) {
            return Err(Fault::ClientBody);
        }
        length += data.len() as u64;
        if length > settings.body_limit.as_u64() {
            return Err(Fault::BodyTooLarge);
        }
        if let Some(inspect) = &mut inspect {
            inspect.inspect(&data).map_err(Fault::BodyRefused)?;
        }
        match &mut translation {
            None => kept.add(&data).await?,
            Some(translation) => {
                for piece in translation.push(data).map_err(|_| UNREADABLE)? {
                    kept.add(&piece).await?;
                }
            }
        }
    }
    if let Some(inspect) = &mut inspect {
        inspect.finish().map_err(Fault::BodyRefused)?;
    }
    if let Some(translation) = &mut translation {
        for piece in translation.finish().map_err(|_| UNREADABLE)? {
            kept.add(&piece).await?;
        }
    }
    kept.into_body().await
}

/// What has been read so far.
#[derive(Default)]
struct Kept {
    /// How much may be held in memory.
    room: usize,
    memory: Memory,
    file: Option<File>,
    length: u64,
}

impl Kept {
    async fn add(&mut self, data: &[u8]) -> Result<(), Fault> {
        self.length += data.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(data).await.map_err(Fault::Spool);
        }
        if self.memory.len() + data.len() <= self.room && self.memory.add(data) {
            return Ok(());
        }
        let mut opened = File::from_std(tempfile::tempfile().map_err(Fault::Spool)?);
        opened.write_all(&std::mem::take(&mut self.memory).0).await.map_err(Fault::Spool)?;
        opened.write_all(data).await.map_err(Fault::Spool)?;
        self.file = Some(opened);
        Ok(())
    }

    async fn into_body(self) -> Result<RequestBody, Fault> {
        let Some(mut file) = self.file else {
            return Ok(RequestBody::Full(super::full(Bytes::from_owner(self.memory))));
        };
        file.flush().await.map_err(Fault::Spool)?;
        file.seek(SeekFrom::Start(0)).await.map_err(Fault::Spool)?;
        Ok(RequestBody::Spooled(Spooled {
            file,
            remaining: self.length,
            buffer: BytesMut::new(),
            progress: Progress::sending(),
        }))
    }
}

/// Bytes that are counted for as long as they are held.
#[derive(Default)]
pub(crate) struct Memory(Vec<u8>);

impl Memory {
    /// Whether there is room for these as well.
    pub(crate) fn add(&mut self, data: &[u8]) -> bool {
        if MEMORY.fetch_add(data.len(), Ordering::Relaxed) + data.len() > MOST_MEMORY {
            MEMORY.fetch_sub(data.len(), Ordering::Relaxed);
            return false;
        }
        self.0.extend_from_slice(data);
        true
    }

    /// How many bytes are held.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }
}

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        MEMORY.fetch_sub(self.0.len(), Ordering::Relaxed);
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
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

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
        self.progress.step(self.remaining == 0);
        Poll::Ready(Some(Ok(Frame::data(self.buffer.split_to(count).freeze()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_takes_no_more_than_its_share_of_the_places() {
        let (one, other) = ("192.0.2.77".parse().unwrap(), "192.0.2.78".parse().unwrap());
        let mut places: Vec<_> = (0..MOST_OF_ONE).map(|_| Strangers::enter(one).ok().unwrap()).collect();
        assert!(matches!(Strangers::enter(one), Err(Fault::Crowded)));
        assert!(Strangers::enter(other).is_ok(), "others find room");
        places.pop();
        places.push(Strangers::enter(one).ok().unwrap());
        drop(places);
        assert_eq!(CLIENTS.count(CLIENTS.slots(one)), 0, "nothing is left of who is gone");
    }
}
