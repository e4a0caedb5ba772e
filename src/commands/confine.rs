//! What the process gives up before it serves anybody: a fault in it then is no way to more than it needs.
//!
//! Whatever runs in it, it leaves no core file, starts no program, signals no other process, gets no rights by a file's
//! setuid bit, and writes nowhere but where the configuration has it write: Linux's Landlock, which needs no privilege
//! and holds for every thread that is started afterwards. What it may read and whom it may speak with is left to the
//! user it runs as, for a reload may name other files and backends. The systemd unit in deploy/ goes further.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::config::Config;
use crate::config::values::SecretSource;
use crate::listen::Address;
use crate::mail::Destination;
use crate::store::StoreUrl;

/// The newest Landlock whose rights are named here: Linux 6.12. An older kernel holds to those that it knows.
const NEWEST: ABI = ABI::V6;

/// Gives it all up. To be called before the first thread is started.
pub(super) fn confine(config: &Config) {
    leave_no_core();
    match keep_to(&places(config)) {
        Ok(RulesetStatus::FullyEnforced) => {
            tracing::debug!("this process writes nowhere else and starts no program")
        }
        Ok(RulesetStatus::PartiallyEnforced) => {
            tracing::debug!("this process keeps to its folders as far as this kernel knows how");
        }
        Ok(RulesetStatus::NotEnforced) => {
            tracing::info!(
                "this kernel has no Landlock (Linux 5.13), or a filter of system calls keeps it from being used: what this process may write is up to its user and unit"
            );
        }
        Err(error) => tracing::warn!(%error, "this process cannot be kept to its own folders"),
    }
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

/// The folders that the gate writes to.
fn places(config: &Config) -> Vec<PathBuf> {
    let StoreUrl::Sqlite(database) = &config.store.url;
    // Made on the first start; afterwards it is only read.
    let secrets = config.store.secret.iter().filter_map(|secret| match secret {
        SecretSource::File(file) => Some(&file.file).filter(|file| !config.folder.join(file).exists()),
        SecretSource::Text(_) | SecretSource::Env(_) => None,
    });
    let sockets =
        config.server.listen.iter().chain(&config.admin.listen).filter_map(|address| match address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) | Address::Handed(_) => None,
        });
    let files = std::iter::once(database).chain(secrets).chain(sockets);
    let mut places: Vec<PathBuf> = files.map(|file| folder_of(&config.folder.join(file))).collect();
    if let Destination::Folder(folder) = &config.mail.send {
        places.push(config.folder.join(folder));
    }
    places.extend(config.acme_folder());
    // Bodies that are large, and SQLite's own temporary files.
    places.extend([std::env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from("/tmp")]);
    places
}

fn folder_of(file: &Path) -> PathBuf {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// From here on, this thread and those that it starts write below `places` only, which are made if they are missing.
fn keep_to(places: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let writing = AccessFs::from_write(NEWEST);
    let allowed: BitFlags<AccessFs> = writing & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writing | AccessFs::Execute)?
        .scope(Scope::Signal)?
        .create()?;
    for place in places {
        // Whoever writes there says what is wrong with it, if anything is.
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(place);
        if let Ok(folder) = PathFd::new(place) {
            rules = rules.add_rule(PathBeneath::new(folder, allowed))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::process::Command;

    use super::*;

    /// In a thread of its own, which alone is confined.
    fn confined<T: Send>(places: &[PathBuf], then: impl FnOnce() -> T + Send) -> T {
        let run = || {
            let kept = keep_to(places).unwrap();
            assert_ne!(
                kept,
                RulesetStatus::NotEnforced,
                "needs a kernel with Landlock (Linux 5.13; CONFIG_SECURITY_LANDLOCK)"
            );
            then()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[test]
    fn it_writes_where_it_has_to_and_nowhere_else() {
        let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = others.path().join("there");
        fs::write(&there, "before").unwrap();
        confined(&[ours.path().to_owned(), ours.path().join("new/folder")], || {
            fs::write(ours.path().join("a"), "b").unwrap();
            fs::rename(ours.path().join("a"), ours.path().join("c")).unwrap();
            fs::write(ours.path().join("new/folder/a"), "b").unwrap();
            tempfile::tempfile_in(ours.path()).unwrap();
            let denied = [
                ("write", fs::write(&there, "after")),
                ("make", fs::write(others.path().join("new"), "")),
                ("remove", fs::remove_file(&there)),
                ("make a folder", fs::create_dir(others.path().join("folder"))),
                ("move away", fs::rename(&there, ours.path().join("there"))),
            ];
            for (what, done) in denied {
                assert!(done.is_err(), "{what}");
            }
            assert_eq!(fs::read_to_string(&there).unwrap(), "before", "reading is not its matter");
        });
    }

    #[test]
    fn the_service_unit_lets_it_confine_itself() {
        // `@system-service` of systemd 252 (Debian 12) has none of these; with it alone the gate under its own unit was held to nothing.
        let unit = include_str!("../../deploy/systemd/lychgate.service");
        let allowed: Vec<&str> = unit
            .lines()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
            .filter(|calls| !calls.starts_with('~'))
            .flat_map(str::split_whitespace)
            .collect();
        for call in
            ["@system-service", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]
        {
            assert!(allowed.contains(&call), "{call}: {allowed:?}");
        }
    }

    #[test]
    fn it_starts_no_program() {
        let folder = tempfile::tempdir().unwrap();
        let started = confined(&[folder.path().to_owned()], || Command::new("/bin/true").status().map(drop));
        assert_eq!(started.unwrap_err().kind(), PermissionDenied);
    }

    #[test]
    fn what_the_configuration_has_written_may_be() {
        let toml = "[server]\nlisten = [\"unix:/run/gate/http.sock\"]\n[admin]\nlisten = \"unix:/run/gate-admin.sock\"\n[mail]\nsend = \"dir:mail\"\n[store]\nurl = \"sqlite:state/gate.db\"\nsecret = { file = \"secrets/gate\" }\n[server.tls]\nlisten = [\"[::]:443\"]\nacme = { directory = \"https://acme.example/dir\", terms_agreed = true, names = [\"a.example\"], folder = \"keys\" }\n[[site]]\nname = \"a\"\npublic_url = \"http://a.example\"\nbackend_url = \"http://127.0.0.1:9\"\n";
        let config = Config::parse(Path::new("proxy.toml"), toml, PathBuf::from("/etc/gate")).unwrap().0;
        let places = places(&config);
        for place in
            ["/etc/gate/state", "/etc/gate/secrets", "/run/gate", "/run", "/etc/gate/mail", "/etc/gate/keys"]
        {
            assert!(places.contains(&PathBuf::from(place)), "{place} in {places:?}");
        }
        assert!(!places.contains(&PathBuf::from("/etc/gate")), "the configuration itself is out of reach");
    }
}
