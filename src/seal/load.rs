//! Finding the secrets that everything is sealed with; the first start makes one.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};

use super::Sealer;
use crate::config::values::{SecretFile, SecretSource, one_or_many, schema_as};
use crate::random::{self, Random};
use crate::secret::Secret;

/// Shorter secrets can be guessed: 32 characters of base64url or hexadecimal are 128 bits and more.
const SHORTEST: usize = 32;

/// One secret or a list; never empty. The first seals, all open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    first: SecretSource,
    older: Vec<SecretSource>,
}

impl Secrets {
    /// `first` alone.
    pub fn one(first: SecretSource) -> Self {
        Self { first, older: Vec::new() }
    }

    /// Reads every one and keeps none; makes nothing, so the first may be a file that is not there yet.
    ///
    /// # Errors
    /// As [`Sealer::open_secrets`].
    pub fn check(&self, folder: &Path) -> Result<(), SecretError> {
        let is_to_come = |source: &SecretSource| matches!(source, SecretSource::File(SecretFile { file }) if !folder.join(file).exists());
        let first = Some(&self.first).filter(|first| !is_to_come(first));
        first.into_iter().chain(&self.older).try_for_each(|source| read(source, folder).map(drop))
    }

    /// Every source, the one that seals first.
    pub fn iter(&self) -> impl Iterator<Item = &SecretSource> {
        std::iter::once(&self.first).chain(&self.older)
    }
}

schema_as!(Secrets, one or many SecretSource);

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "write a text, { file = \"…\" }, { env = \"…\" }, or a list of them";
        let mut all = one_or_many(deserializer, expected)?.into_iter();
        let first = all.next().ok_or_else(|| de::Error::custom("an empty list; give at least one secret"))?;
        Ok(Self { first, older: all.collect() })
    }
}

impl Sealer {
    /// Reads `secrets`; paths are relative to `folder`. If the first is a file that does not exist, it is
    /// made: 32 random bytes as base64url text, readable by its owner only.
    ///
    /// # Errors
    /// A secret that cannot be read, is shorter than 32 characters, or lies in a file that others may read.
    pub fn open_secrets(
        secrets: &Secrets,
        folder: &Path,
        random: Arc<dyn Random>,
    ) -> Result<Self, SecretError> {
        if let SecretSource::File(SecretFile { file }) = &secrets.first {
            make_if_missing(&folder.join(file), &*random)?;
        }
        let first = read(&secrets.first, folder)?;
        let older = secrets.older.iter().map(|source| read(source, folder)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(&first, &older, random))
    }
}

/// A secret that cannot be used, in a sentence for the operator. The secret itself is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read or made.
    #[error(
        "the secret {file} cannot be {what}: {cause}; let the gate's user do that, or name another file in [store] secret"
    )]
    File {
        /// Which file.
        file: PathBuf,
        /// "read" or "made".
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// Others than its owner may read the file.
    #[error("the secret {file} may be read by others (mode {mode:03o}); run: chmod 600 {file}")]
    Exposed {
        /// Which file.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The environment variable is missing or no text.
    #[error("the secret in the environment variable {0} is not set, or is no text")]
    Env(String),
    /// Too few characters.
    #[error(
        "the secret {place} has {length} characters, at least {SHORTEST} are needed; \
         make one with: head -c 32 /dev/urandom | base64"
    )]
    Short {
        /// Where it is written.
        place: String,
        /// How many characters it has.
        length: usize,
    },
}

fn read(source: &SecretSource, folder: &Path) -> Result<Secret, SecretError> {
    let (place, secret) = match source {
        SecretSource::Text(text) => ("in proxy.toml".to_owned(), Secret::new(text.as_str())),
        SecretSource::Env(env) => {
            let value = std::env::var(&env.env).map_err(|_| SecretError::Env(env.env.clone()))?;
            (format!("in the environment variable {}", env.env), Secret::new(value))
        }
        SecretSource::File(SecretFile { file }) => {
            let file = folder.join(file);
            (format!("in {}", file.display()), read_file(file)?)
        }
    };
    let length = secret.expose().chars().count();
    if length < SHORTEST { Err(SecretError::Short { place, length }) } else { Ok(secret) }
}

fn read_file(file: PathBuf) -> Result<Secret, SecretError> {
    let unreadable = |cause| SecretError::File { file: file.clone(), what: "read", cause };
    let mode = fs::metadata(&file).map_err(unreadable)?.permissions().mode() & 0o777;
    // What systemd hands over (LoadCredential=) may look readable by a group: the list of who may read it shows so, with nobody in it but
    // the service.
    let is_credential =
        std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| file.starts_with(folder));
    let others = if is_credential { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(SecretError::Exposed { file, mode });
    }
    let text = Secret::new(fs::read_to_string(&file).map_err(unreadable)?);
    Ok(Secret::new(text.expose().trim_end_matches(['\r', '\n'])))
}

/// Writes a new secret beside `file` and puts it in place only if nobody else did so meanwhile, so that
/// two gates that start together end up with the same one and nobody ever reads half of it.
fn make_if_missing(file: &Path, random: &dyn Random) -> Result<(), SecretError> {
    let failed = |cause| SecretError::File { file: file.to_owned(), what: "made", cause };
    if file.try_exists().map_err(failed)? {
        return Ok(());
    }
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    // Temporary files are made with mode 0600.
    let mut made = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
    let text = Secret::new(random::token::<32>(random));
    made.write_all(text.expose().as_bytes()).and_then(|()| made.write_all(b"\n")).map_err(failed)?;
    made.as_file().sync_all().map_err(failed)?;
    match made.persist_noclobber(file) {
        Ok(_) => {
            tracing::info!(file = %file.display(), "made a new secret");
            Ok(())
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn secrets(toml: &str) -> Result<Secrets, toml::de::Error> {
        #[derive(Deserialize)]
        struct Section {
            secret: Secrets,
        }
        toml::from_str::<Section>(toml).map(|section| section.secret)
    }

    fn open(toml: &str, folder: &Path) -> Result<Sealer, SecretError> {
        Sealer::open_secrets(&secrets(toml).unwrap(), folder, Arc::new(SystemRandom))
    }

    #[test]
    fn the_first_start_makes_a_secret_that_the_second_start_reads() {
        let folder = tempfile::tempdir().unwrap();
        let toml = "secret = { file = \"var/deep/gate.secret\" }";
        let sealed = open(toml, folder.path()).unwrap().seal("p", b"", b"x");
        assert!(open(toml, folder.path()).unwrap().open("p", b"", &sealed).is_some());

        let file = folder.path().join("var/deep/gate.secret");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap().trim_end().len(), 43, "32 bytes as base64url");
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "nothing is left lying about");
    }

    #[test]
    fn a_missing_older_secret_is_an_error_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let error = open("secret = [{ file = \"new\" }, { file = \"old\" }]", folder.path()).unwrap_err();
        assert!(error.to_string().contains("old cannot be read"), "{error}");
        assert!(!folder.path().join("old").exists());
    }

    #[test]
    fn a_secret_others_may_read_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("s");
        fs::write(&file, "x".repeat(40)).unwrap();
        for (mode, fine) in [
            (0o600, true),
            (0o400, true),
            (0o700, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o666, false),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            match open("secret = { file = \"s\" }", folder.path()) {
                Ok(_) => assert!(fine, "{mode:o}"),
                Err(error) => {
                    assert!(!fine, "{mode:o}: {error}");
                    assert!(error.to_string().contains("chmod 600"), "{error}");
                }
            }
        }
    }

    #[test]
    fn short_and_absent_secrets_are_refused_without_showing_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, toml, says) in [
            ("short", "secret = \"hunter2\"", "has 7 characters"),
            ("counted in characters", &*format!("secret = \"{}\"", "é".repeat(31)), "has 31 characters"),
            ("no variable", "secret = { env = \"LYCHGATE_TEST_NOT_SET\" }", "LYCHGATE_TEST_NOT_SET"),
        ] {
            let error = open(toml, folder.path()).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{name}: {error}");
        }
        assert!(open(&format!("secret = \"{}\"", "é".repeat(32)), folder.path()).is_ok());
    }

    #[test]
    fn line_ends_after_a_secret_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let text = "k".repeat(40);
        fs::write(folder.path().join("s"), format!("{text}\r\n")).unwrap();
        fs::set_permissions(folder.path().join("s"), fs::Permissions::from_mode(0o600)).unwrap();
        let sealed = open(&format!("secret = \"{text}\""), folder.path()).unwrap().seal("p", b"", b"x");
        let from_file = open("secret = { file = \"s\" }", folder.path()).unwrap();
        assert!(from_file.open("p", b"", &sealed).is_some());
    }

    #[test]
    fn an_empty_list_of_secrets_is_refused_when_read() {
        assert!(secrets("secret = []").unwrap_err().to_string().contains("at least one secret"));
        assert!(secrets("secret = 5").is_err());
    }
}
