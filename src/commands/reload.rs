//! Using the configuration anew, without a restart: when to, and what is said of it.
//!
//! The file is read and checked as `lychgate check` does; one that has an error changes nothing. What is put in use, and how no
//! connection notices, is [`Running::reload`]'s.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use toml::Spanned;

use crate::config::{Config, Finding};
use crate::listen::Running;

/// How often the files are looked at: a handful of `stat`s.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// More files than this are not looked for in the folder of templates.
const MOST_TEMPLATES: usize = 256;

/// Reads the file and uses what it says, or goes on as before; the log tells which.
pub(super) fn reload(running: &mut Running, file: &Path) {
    let findings = match Config::read(file) {
        Err(findings) => findings,
        Ok((config, mut findings)) => {
            findings.extend(config.try_files(file));
            if !findings.iter().any(Finding::is_error) {
                findings.iter().for_each(|warning| tracing::warn!("{warning}"));
                return put(running, config);
            }
            findings
        }
    };
    for finding in findings {
        if finding.is_error() {
            tracing::error!("not reloaded: {finding}");
        } else {
            tracing::warn!("{finding}");
        }
    }
}

fn put(running: &mut Running, config: Config) {
    let before = running.shared();
    match running.reload(config) {
        Ok(fixed) => {
            opened(&before.config, &running.shared().config);
            for key in fixed {
                tracing::warn!("{key} has changed, which a gate that runs cannot use: restart to use it");
            }
            let shared = running.shared();
            let sites = shared.sites.iter().map(|site| site.name.as_str()).collect::<Vec<_>>().join(", ");
            tracing::info!(sites, "reloaded");
        }
        Err(sentence) => tracing::error!("not reloaded: {sentence}"),
    }
}

/// Says which sites became more open: half a file that was being copied may be a configuration, too.
fn opened(before: &Config, now: &Config) {
    for site in now.sites.iter().map(Spanned::as_ref) {
        let Some(old) =
            before.sites.iter().map(Spanned::as_ref).find(|old| old.name.as_ref() == site.name.as_ref())
        else {
            continue;
        };
        let (was, is) = (old.access.rules.len(), site.access.rules.len());
        if is < was || site.access.default < old.access.default {
            tracing::warn!(
                site = site.name.as_ref().as_str(),
                rules_before = was,
                rules = is,
                "the site has fewer rules of access, or a more open default, than before; see that the file is whole \
                 (write another beside it and rename that)"
            );
        }
    }
}

/// Notices that `proxy.toml` or a file that was read with it has changed.
pub(super) struct Watch {
    file: PathBuf,
    /// Other files that were read.
    read: Vec<PathBuf>,
    templates: Option<PathBuf>,
    /// What they looked like when they were last found changed, or at the beginning.
    known: Marks,
    /// What they looked like a moment ago: a file that is still being written is left alone until it is not.
    last: Marks,
}

/// For each file, what changes with it. Those that cannot be looked at have none.
type Marks = Vec<(PathBuf, Option<(SystemTime, u64, u64)>)>;

impl Watch {
    /// Takes the files as they are now for known.
    pub(super) fn new(file: &Path, config: &Config) -> Self {
        let mut watch = Self {
            file: file.to_owned(),
            read: Vec::new(),
            templates: None,
            known: Marks::new(),
            last: Marks::new(),
        };
        watch.follow(config);
        watch
    }

    /// Looks at the files that `config` names from now on.
    pub(super) fn follow(&mut self, config: &Config) {
        if (&self.read, &self.templates) != (&config.read_files, &config.pages.templates)
            || self.known.is_empty()
        {
            self.read.clone_from(&config.read_files);
            self.templates.clone_from(&config.pages.templates);
            self.last = self.marks();
            let known = |file: &PathBuf| self.known.iter().find(|(known, _)| known == file);
            let marks = self.last.iter().map(|mark| known(&mark.0).unwrap_or(mark).clone());
            self.known = marks.collect();
        }
    }

    /// Whether a file has changed since this last said so, and is as it was a moment ago.
    pub(super) fn has_changed(&mut self) -> bool {
        let marks = self.marks();
        let has_settled = marks == self.last;
        self.last = marks;
        if !has_settled || self.last == self.known {
            return false;
        }
        self.known.clone_from(&self.last);
        true
    }

    fn marks(&self) -> Marks {
        let mut files = vec![self.file.clone()];
        files.extend_from_slice(&self.read);
        if let Some(folder) = &self.templates {
            add_files_below(folder, &mut files);
        }
        let marked = files.into_iter().map(|file| {
            let mark = std::fs::metadata(&file)
                .and_then(|found| Ok((found.modified()?, found.len(), found.ino())))
                .ok();
            (file, mark)
        });
        marked.collect()
    }
}

/// Adds the folder, its files, and those of its own folders, in an order that stays.
fn add_files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    let start = files.len();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if files.len() - start >= MOST_TEMPLATES {
                return;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            files.push(entry.path());
        }
    }
    if let Some(found) = files.get_mut(start..) {
        found.sort();
    }
}
