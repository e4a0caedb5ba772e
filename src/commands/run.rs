//! `lychgate run`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::confine::confine;
use super::reload::{self, Watch};
use crate::clock::SystemClock;
use crate::listen::{self, Running};
use crate::observe;
use crate::random::SystemRandom;
use crate::state::Shared;

pub(super) fn run(file: &Path) -> ExitCode {
    match start(file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("lychgate: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn start(file: &Path) -> Result<(), String> {
    let (config, warnings) = super::configuration(file)?;
    observe::start(&config.log);
    confine(&config);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = super::runtime()?;
    // Before anything else: a signal that nobody waits for ends the process.
    let signals = runtime.block_on(async { Signals::new() });
    let mut signals = signals.map_err(|error| format!("cannot wait for signals: {error}"))?;
    let mut watch = Watch::new(file, &config);
    let shared =
        Arc::new(runtime.block_on(Shared::open(config, Arc::new(SystemClock), Arc::new(SystemRandom)))?);
    let mut running = listen::start(&shared)?;
    for site in &shared.sites {
        tracing::info!(site = site.name, public = %site.public, "serving");
    }
    for address in running.addresses() {
        tracing::info!(%address, "listening");
    }
    for address in running.tls_addresses() {
        tracing::info!(%address, "listening, with TLS");
    }
    if let Some(address) = running.mail_address() {
        tracing::info!(%address, "taking mail");
    }
    if let Some(address) = running.admin_address() {
        tracing::info!(%address, "answering operators");
    }
    drop(shared);
    runtime.block_on(until_told(&mut running, file, &mut watch, &mut signals));
    tracing::info!("stopping: no new connections; requests in flight may end");
    running.stop();
    tracing::info!("stopped");
    Ok(())
}

/// The signals that mean something.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Reloads whenever there is reason to, until the gate is to stop.
async fn until_told(running: &mut Running, file: &Path, watch: &mut Watch, signals: &mut Signals) {
    loop {
        let is_asked = tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => true,
            () = tokio::time::sleep(reload::LOOK_EVERY) => false,
        };
        let has_changed = watch.has_changed();
        if is_asked || has_changed && running.shared().config.server.reload_on_change {
            reload::reload(running, file);
            watch.follow(&running.shared().config);
        }
    }
}
