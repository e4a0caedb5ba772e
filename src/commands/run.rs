//! `lychgate run`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::clock::SystemClock;
use crate::config::Config;
use crate::random::SystemRandom;
use crate::state::Shared;
use crate::{listen, observe};

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
    let (config, warnings) = Config::read(file)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    observe::start(&config.log);
    leave_no_core();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let shared =
        Arc::new(runtime.block_on(Shared::open(config, Arc::new(SystemClock), Arc::new(SystemRandom)))?);
    let running = listen::start(&shared)?;
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
    runtime.block_on(signalled()).map_err(|error| format!("cannot wait for signals: {error}"))?;
    tracing::info!("stopping: no new connections; requests in flight may end");
    running.stop();
    tracing::info!("stopped");
    Ok(())
}

/// Passwords and sessions pass through this memory: no core is dumped of it, and no process of the same user may look into it.
fn leave_no_core() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let done = set_dumpable_behavior(DumpableBehavior::NotDumpable).and(setrlimit(Resource::Core, none));
    if let Err(error) = done {
        tracing::warn!(%error, "a crash may leave a core file that holds secrets");
    }
}

async fn signalled() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
