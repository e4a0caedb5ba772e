//! A door for `fuzz/properties` to a conversation with the relay. Nothing else calls it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::next::{Next, Stop};
use super::relay::Relay;
use super::session::Session;
use super::trace::Trace;
use super::{Links, settings};
use crate::clock::SystemClock;
use crate::config::values::Size;
use crate::rewrite::Sites;

/// Talks with a CMS until it is over; messages go into `folder`.
pub async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    sites: Arc<Sites>,
    folder: PathBuf,
    message_limit: u64,
) {
    let settings =
        settings::Relay { message_limit: Size::bytes(message_limit), ..settings::Relay::default() };
    let relay = Relay {
        next: Next::new(Stop::Folder(folder), Duration::from_secs(60)),
        settings,
        shown: None,
        signer: None,
        trace: Trace::of(&["https://www.example.org".to_owned()]),
        sites,
        links: Arc::new(Links::default()),
        clock: Arc::new(SystemClock),
        metrics: Arc::default(),
        drain: Duration::ZERO,
        prefix: "probe".to_owned(),
        messages: AtomicU64::new(0),
    };
    let (_stopping, stopped) = watch::channel(false);
    let mut session = Session::new(stream, Arc::new(relay), stopped, false);
    session.talk_out().await;
}
