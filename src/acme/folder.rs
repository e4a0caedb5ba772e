//! The folder in which account and certificates are kept: `FOLDER/SERVER/account.json` and `FOLDER/SERVER/NAME.pem`, the
//! certificate chain with its key in one file, so that the two always belong together.
//!
//! Every file is written beside its place, brought to the disk and then put there, with mode 0600. One gate at a time changes
//! anything: the one that holds the lock.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::certificate::Certificate;
use super::settings::{Directory, Name};
use crate::secret::Secret;

/// The account's file.
const ACCOUNT: &str = "account.json";
/// The file that is locked. It stays: one that is removed and made anew could be locked twice.
const LOCK: &str = "lock";

/// Where everything had from one ACME server is.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// The right to change what is in the folder, until it is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for what its end does")] File);

/// What a file looked like when it was read. The inode is in it for files that are replaced within a second.
pub(super) type Seen = Option<(SystemTime, u64)>;

impl Folder {
    /// Below the folder of `acme`, for this server alone.
    pub(super) fn of(folder: &Path, directory: &Directory) -> Self {
        Self(folder.join(directory.folder()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder if need be, and takes the lock; `None` while another gate has it.
    ///
    /// # Errors
    /// One sentence, when the folder cannot be used.
    pub(super) fn lock(&self) -> Result<Option<Lock>, String> {
        let failed = |error: io::Error| {
            format!(
                "the folder {} for certificates cannot be used: {error}; let the gate's user write there",
                self.0.display()
            )
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(failed)?;
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.0.join(LOCK))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The certificate that is kept for `name`.
    ///
    /// # Errors
    /// One sentence, when it is there and cannot be used.
    pub(super) fn certificate(&self, name: &Name) -> Result<Option<Certificate>, String> {
        let file = self.file(name);
        // Who could read the key may have it still: it is not used any more, and another takes its place.
        read_private(&file)?.map(|_| Certificate::read(&file, name)).transpose()
    }

    /// What the file of `name`'s certificate looks like now.
    pub(super) fn seen(&self, name: &Name) -> Seen {
        let file = fs::metadata(self.file(name)).ok()?;
        Some((file.modified().ok()?, file.ino()))
    }

    /// Puts a new certificate in place of the old one, if it can be used.
    ///
    /// # Errors
    /// One sentence; then the old one stays.
    pub(super) fn keep_certificate(
        &self,
        name: &Name,
        key: &Secret,
        chain: &str,
    ) -> Result<Certificate, String> {
        let text = Secret::new(format!("{}{chain}", key.expose()));
        let mut read = None;
        self.keep(&self.file(name), &text, |file| {
            read = Some(Certificate::read(file, name)?);
            Ok(())
        })?;
        read.ok_or_else(|| "the certificate was not written".to_owned())
    }

    /// The account as it was kept.
    ///
    /// # Errors
    /// One sentence, when it is there and cannot be read.
    pub(super) fn account(&self) -> Result<Option<Secret>, String> {
        read_private(&self.0.join(ACCOUNT))
    }

    /// Keeps the account.
    ///
    /// # Errors
    /// One sentence.
    pub(super) fn keep_account(&self, text: &Secret) -> Result<(), String> {
        self.keep(&self.0.join(ACCOUNT), text, |_| Ok(()))
    }

    /// Forgets it, for a server that knows it no more. Its key stays beside, for an operator who wants to know why.
    pub(super) fn forget_account(&self) {
        if let Err(error) = fs::rename(self.0.join(ACCOUNT), self.0.join("account.old.json")) {
            tracing::warn!(%error, "the old ACME account cannot be put aside");
        }
    }

    fn file(&self, name: &Name) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// Writes `text` beside `file`, has it tried, and puts it in place.
    fn keep(
        &self,
        file: &Path,
        text: &Secret,
        try_it: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<(), String> {
        let failed = |error: io::Error| {
            format!("{} cannot be written: {error}; let the gate's user write there", file.display())
        };
        // Temporary files are made with mode 0600.
        let mut made = tempfile::Builder::new().prefix(".new-").tempfile_in(&self.0).map_err(failed)?;
        made.write_all(text.expose().as_bytes()).map_err(failed)?;
        made.as_file().sync_all().map_err(failed)?;
        try_it(made.path())?;
        made.persist(file).map_err(|error| failed(error.error))?;
        // So that the new name outlives a crash as the bytes do.
        File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

/// Reads a file that holds a key; `None` if there is none.
///
/// # Errors
/// One sentence that names the file: it cannot be read, or others than its owner may.
pub(super) fn read_private(file: &Path) -> Result<Option<Secret>, String> {
    let failed = |error: io::Error| format!("{} cannot be read: {error}", file.display());
    let mode = match fs::metadata(file) {
        Ok(found) => found.permissions().mode() & 0o777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if mode & 0o077 != 0 {
        return Err(format!(
            "{} holds a key and may be read by others (mode {mode:03o}); run: chmod 600 {}",
            file.display(),
            file.display()
        ));
    }
    fs::read_to_string(file).map(|text| Some(Secret::new(text))).map_err(failed)
}
