//! Passwords of local users: what is accepted, how they are hashed, and old hashes read.
//!
//! | file | what |
//! |---|---|
//! | `policy` | which new passwords are accepted |
//! | `common` | passwords that everybody thinks of |
//! | `hash` | argon2id, and what is read besides |
//! | `htpasswd` | files of old gates |
//! | `pool` | a few hashes at a time, off the threads that serve |
//!
//! Called by [`crate::identity`] and [`crate::recovery`] and by `lychgate users`.
//!
//! # What it defends against
//! - A stolen store: argon2id with the parameters that OWASP's Password Storage Cheat Sheet asks for (19 MiB, 2 passes, 1 lane;
//!   the second recommended set of RFC 9106, section 4, needs 64 MiB), a salt of 128 random bits each.
//! - Guessing: no password that everybody thinks of, none like the name; no rules of composition, which only make people
//!   choose `Password1!` (NIST SP 800-63B-4, section 3.1.1.2; ASVS 5.0, 6.2).
//! - A flood of sign-ins: so many hashes at once as are configured, and a queue that ends.
//!
//! One password has several spellings in Unicode. All are made one before hashing as the OpaqueString profile of PRECIS does
//! (RFC 8265, section 4.2.2): every space is U+0020, and normalisation form C. Unlike it, no character is forbidden.

mod common;
mod hash;
mod htpasswd;
mod policy;
mod pool;

use schemars::JsonSchema;
use serde::Deserialize;
use unicode_normalization::UnicodeNormalization as _;

use crate::config::values::Size;
use crate::secret::Secret;

pub use self::hash::{Costs, Hash, Verified};
pub use self::htpasswd::{Entry, Refused, read as read_htpasswd};
pub use self::policy::{LONGEST, Unfit, check};
pub use self::pool::{Busy, Hasher};

/// `[local_users]` of `proxy.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The memory that a hash needs; 19 MiB (OWASP). At least 8 KiB for each lane.
    pub memory: Size,
    /// How often the memory is gone through; 2 (OWASP).
    pub passes: u32,
    /// How many lanes; 1 (OWASP).
    pub lanes: u32,
    /// How many hashes are computed at once, each on a thread of its own; 2.
    pub hashing_at_once: usize,
    /// The shortest password that is accepted, in characters; 8 (NIST SP 800-63B-4 and ASVS 5.0, 6.2.1, ask for no less).
    pub shortest_password: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory: Size::bytes(19 << 20), passes: 2, lanes: 1, hashing_at_once: 2, shortest_password: 8 }
    }
}

impl Settings {
    /// What hashing costs.
    ///
    /// # Errors
    /// One sentence, when argon2 cannot work with that.
    pub fn costs(&self) -> Result<Costs, String> {
        let memory = u32::try_from(self.memory.as_u64() >> 10).unwrap_or(u32::MAX);
        Costs::new(memory, self.passes, self.lanes)
    }
}

/// The one spelling of a password that is hashed.
fn normal(password: &Secret) -> Secret {
    // All that Unicode calls a space separator (general category Zs).
    const SPACES: [char; 5] = ['\u{a0}', '\u{1680}', '\u{202f}', '\u{205f}', '\u{3000}'];
    let spaced = password
        .expose()
        .chars()
        .map(|c| if SPACES.contains(&c) || ('\u{2000}'..='\u{200a}').contains(&c) { ' ' } else { c });
    Secret::new(spaced.nfc().collect::<String>())
}
