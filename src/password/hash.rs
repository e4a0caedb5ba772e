//! How passwords are stored: argon2id, and what is read besides until its user signs in once.

use std::fmt;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use md5::{Digest as _, Md5};
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq as _;

use super::normal;
use crate::random::{self, Random};
use crate::secret::Secret;

/// The dearest hashes that are compared with, so that a damaged file makes no sign-in last for hours: argon2id's memory in KiB
/// (4 GiB) and passes, bcrypt's cost (about 4 s), sha-crypt's rounds (about 1 s).
const MOST_MEMORY: u32 = 4 << 20;
const MOST_PASSES: u32 = 64;
const MOST_BCRYPT_COST: u32 = 16;
const MOST_ROUNDS: u32 = 1_000_000;

/// What hashing with argon2id costs.
#[derive(Clone, Debug)]
pub struct Costs(Params);

impl Costs {
    /// Memory in KiB, passes, lanes.
    ///
    /// # Errors
    /// One sentence, when argon2 cannot work with that.
    pub fn new(memory: u32, passes: u32, lanes: u32) -> Result<Self, String> {
        if memory > MOST_MEMORY || passes > MOST_PASSES {
            return Err(format!(
                "[local_users] asks for too much; memory may be up to {MOST_MEMORY} KiB, passes up to {MOST_PASSES}"
            ));
        }
        Params::new(memory, passes, lanes, None)
            .map(Self)
            .map_err(|error| format!("[local_users] cannot be used: {error}; memory must be 8 KiB a lane at least, passes and lanes 1"))
    }

    /// A new hash, with a salt of 128 random bits.
    ///
    /// # Errors
    /// When there is not the memory.
    pub fn hash(&self, password: &Secret, random: &dyn Random) -> Result<Hash, String> {
        let salt: [u8; 16] = random::bytes(random);
        let hash = self
            .argon2()
            .hash_password_with_salt(normal(password).expose().as_bytes(), &salt)
            .map_err(|error| error.to_string())?;
        Ok(Hash { scheme: Scheme::Argon2id, text: Secret::new(hash.to_string()) })
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.0.clone())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Argon2id,
    Bcrypt,
    ShaCrypt,
    Apr1,
}

/// The hash of a password, of a kind that can be compared with.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    scheme: Scheme,
    text: Secret,
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({:?})", self.scheme)
    }
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It is the password.
    Yes,
    /// It is, and it should be hashed anew: with another kind of hash, or other costs.
    Outdated,
    /// It is not.
    No,
}

impl Hash {
    /// Reads what [`Self::text`] wrote, or a hash of `htpasswd` or `crypt`; none that would take all day.
    pub fn parse(text: &str) -> Option<Self> {
        let scheme = if text.starts_with("$argon2id$") {
            let hash =
                PasswordHash::new(text).ok().filter(|hash| hash.salt.is_some() && hash.hash.is_some())?;
            let costs = Params::try_from(&hash).ok()?;
            if costs.m_cost() > MOST_MEMORY || costs.t_cost() > MOST_PASSES {
                return None;
            }
            Scheme::Argon2id
        } else if ["$2y$", "$2b$", "$2a$"].iter().any(|prefix| text.starts_with(prefix)) {
            text.parse::<bcrypt::HashParts>().ok().filter(|parts| parts.get_cost() <= MOST_BCRYPT_COST)?;
            Scheme::Bcrypt
        } else if text.starts_with("$5$") || text.starts_with("$6$") {
            sha_crypt::PasswordHash::new(text).ok()?;
            let rounds = text.split('$').find_map(|part| part.strip_prefix("rounds="));
            if !rounds.is_none_or(|rounds| rounds.parse().is_ok_and(|rounds: u32| rounds <= MOST_ROUNDS)) {
                return None;
            }
            Scheme::ShaCrypt
        } else if let Some(rest) = text.strip_prefix("$apr1$") {
            let (salt, sum) = rest.split_once('$')?;
            let fits = |part: &str| part.bytes().all(|byte| CRYPT64.contains(&byte));
            if salt.is_empty() || salt.len() > 8 || sum.len() != 22 || !fits(sum) || !fits(salt) {
                return None;
            }
            Scheme::Apr1
        } else {
            return None;
        };
        Some(Self { scheme, text: Secret::new(text) })
    }

    /// As it is stored.
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// Whether it is argon2id, and so made from the normal form of the password.
    fn is_own(&self) -> bool {
        self.scheme == Scheme::Argon2id
    }

    /// Compares; the work is the hash's own. Old kinds were made from the bytes as typed.
    pub fn verify(&self, password: &Secret, costs: &Costs) -> Verified {
        let typed = password.expose().as_bytes();
        let text = self.text.expose();
        let fits = match self.scheme {
            Scheme::Argon2id => PasswordHash::new(text).is_ok_and(|hash| {
                costs.argon2().verify_password(normal(password).expose().as_bytes(), &hash).is_ok()
            }),
            // As httpd does it: what stands behind the 72nd byte counts for nothing. That ends with the first sign-in.
            Scheme::Bcrypt => bcrypt::verify(typed, text).unwrap_or(false),
            Scheme::ShaCrypt => sha_crypt::PasswordHash::new(text).is_ok_and(|hash| {
                use sha_crypt::PasswordVerifier as _;
                ShaCrypt::default().verify_password(typed, &hash).is_ok()
            }),
            Scheme::Apr1 => text.split('$').nth(2).is_some_and(|salt| {
                let made = apr1(typed, salt.as_bytes());
                text.rsplit('$').next().is_some_and(|sum| made.as_bytes().ct_eq(sum.as_bytes()).into())
            }),
        };
        match fits {
            false => Verified::No,
            true if self.is_own() && self.costs_are(costs) => Verified::Yes,
            true => Verified::Outdated,
        }
    }

    fn costs_are(&self, costs: &Costs) -> bool {
        let own = PasswordHash::new(self.text.expose()).ok().and_then(|hash| Params::try_from(&hash).ok());
        own.is_some_and(|own| {
            own.m_cost() == costs.0.m_cost()
                && own.t_cost() == costs.0.t_cost()
                && own.p_cost() == costs.0.p_cost()
        })
    }
}

const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// httpd's own variant of MD5-crypt. No crate of the field has it; it is only compared with, never made to be stored.
fn apr1(password: &[u8], salt: &[u8]) -> String {
    let md5 = |parts: &[&[u8]]| -> [u8; 16] {
        let mut md5 = Md5::new();
        parts.iter().for_each(|part| md5.update(part));
        md5.finalize().into()
    };
    let inner = md5(&[password, salt, password]);
    let mut first = Md5::new();
    first.update(password);
    first.update(b"$apr1$");
    first.update(salt);
    for at in (0..password.len()).step_by(16) {
        let left = password.len().saturating_sub(at).min(16);
        first.update(inner.get(..left).unwrap_or_default());
    }
    let mut bits = password.len();
    while bits > 0 {
        first.update(if bits & 1 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        bits >>= 1;
    }
    let mut sum: [u8; 16] = first.finalize().into();
    for round in 0..1000_u32 {
        let (odd, mut parts): (bool, Vec<&[u8]>) = (round & 1 == 1, Vec::with_capacity(4));
        let before = sum;
        parts.push(if odd { password } else { &before });
        if round % 3 != 0 {
            parts.push(salt);
        }
        if round % 7 != 0 {
            parts.push(password);
        }
        parts.push(if odd { &before } else { password });
        sum = md5(&parts);
    }
    const ORDER: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let byte = |at: usize| u32::from(sum.get(at).copied().unwrap_or(0));
    let mut text = String::with_capacity(22);
    let mut write = |mut value: u32, digits: usize| {
        for _ in 0..digits {
            let digit = CRYPT64.get(usize::try_from(value & 63).unwrap_or(0)).copied().unwrap_or(b'.');
            text.push(char::from(digit));
            value >>= 6;
        }
    };
    for [high, middle, low] in ORDER {
        write(byte(high) << 16 | byte(middle) << 8 | byte(low), 4);
    }
    write(byte(11), 2);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn cheap() -> Costs {
        Costs::new(64, 1, 1).unwrap()
    }

    #[test]
    fn hashes_of_other_programs_are_compared_with_and_called_outdated() {
        for (name, password, hash) in [
            ("apr1 of openssl", "Tr0ub4dor&3", "$apr1$abcdefgh$uKwRFhVF7xIEaribjYms4."),
            (
                "sha256-crypt of openssl",
                "Tr0ub4dor&3",
                "$5$abcdefgh$5trO9qTaLlR3B5F0SFWD25qek6wuypUgQsCdjQ8/IcC",
            ),
            (
                "sha512-crypt of openssl",
                "Tr0ub4dor&3",
                "$6$abcdefgh$4U6jebhBw.wRMvkXtOStfkrjBM/.iDeiWvfh4qpnUke7UGqEpD4aifufCgop0XRNXWgsGN1Da9is/9zY7KCTl.",
            ),
        ] {
            let hash = Hash::parse(hash).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(hash.verify(&Secret::new(password), &cheap()), Verified::Outdated, "{name}");
            assert_eq!(hash.verify(&Secret::new("Tr0ub4dor&4"), &cheap()), Verified::No, "{name}");
            assert_eq!(hash.verify(&Secret::new(""), &cheap()), Verified::No, "{name}");
        }
        let bcrypt = bcrypt::hash_with_salt("Tr0ub4dor&3", 4, [7; 16]).unwrap();
        for text in [
            bcrypt.format_for_version(bcrypt::Version::TwoY),
            bcrypt.format_for_version(bcrypt::Version::TwoB),
        ] {
            let hash = Hash::parse(&text).unwrap();
            assert_eq!(hash.verify(&Secret::new("Tr0ub4dor&3"), &cheap()), Verified::Outdated);
            assert_eq!(hash.verify(&Secret::new("Tr0ub4dor"), &cheap()), Verified::No);
        }
    }

    #[test]
    fn apr1_is_computed_for_every_length() {
        // Made with `openssl passwd -apr1`.
        for (password, salt, hash) in APR1 {
            assert_eq!(apr1(password.as_bytes(), salt.as_bytes()), *hash, "{password}");
        }
    }

    const APR1: &[(&str, &str, &str)] = &[
        ("a", "ab12./AZ", "9.4o1FIVbEs1wEvpn.t6P/"),
        ("ab", "ab12./AZ", "6ct2DcTsdnsqeSm7tm/px/"),
        ("kvq7nwzb", "ab12./AZ", "SzLgmCm11YxkrfTBp136D."),
        ("0123456789abcde", "ab12./AZ", "43pGEFYtzTlnAyN3xUWwI."),
        ("0123456789abcdef", "ab12./AZ", "O0PYJhMIJuuoE/c8H8Nb2."),
        ("0123456789abcdef0", "ab12./AZ", "koq4vOD.aIdEoikjn9PLL0"),
        ("pässwörd", "ab12./AZ", "V43XHaUXfBLqVoLciE9yV1"),
        ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "ab12./AZ", "lkbTIo39tifljGXRLkc33."),
    ];

    #[test]
    fn what_is_no_hash_is_not_taken_for_one() {
        for text in [
            "",
            "secret",
            "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
            "$1$abcdefgh$abcdefghijklmnopqrstuv",
            "$apr1$abcdefgh$short",
            "$apr1$$uKwRFhVF7xIEaribjYms4.",
            "$2y$10$short",
            "$argon2id$v=19$m=1",
            "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA",
            "rOvxCTyDMhn1g",
        ] {
            assert_eq!(Hash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_would_take_all_day_is_not_compared_with() {
        let argon2 = |costs: &str| format!("$argon2id$v=19${costs}$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAA");
        let sha = |rounds: &str| {
            format!(
                "$6${rounds}saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
            )
        };
        let bcrypt = |cost: u8| format!("$2y${cost}$abcdefghijklmnopqrstuuO3vLOGQXwhZWtUwPiVVDJzmy9mtg9oC");
        for (row, text, is_taken) in [
            ("argon2id", argon2("m=4194304,t=64,p=1"), true),
            ("too much memory", argon2("m=4194305,t=1,p=1"), false),
            ("too many passes", argon2("m=64,t=65,p=1"), false),
            ("sha512-crypt", sha("rounds=1000000$"), true),
            ("without rounds", sha(""), true),
            ("too many rounds", sha("rounds=1000001$"), false),
            ("bcrypt", bcrypt(16), true),
            ("too dear", bcrypt(17), false),
        ] {
            assert_eq!(Hash::parse(&text).is_some(), is_taken, "{row}");
        }
        assert!(Costs::new(MOST_MEMORY + 1, 1, 1).is_err() && Costs::new(64, MOST_PASSES + 1, 1).is_err());
    }

    #[test]
    fn one_password_has_one_hash_however_it_is_composed() {
        let hash = cheap().hash(&Secret::new("Cafe\u{301} au\u{a0}lait"), &SystemRandom).unwrap();
        assert_eq!(hash.verify(&Secret::new("Caf\u{e9} au lait"), &cheap()), Verified::Yes);
        assert_eq!(hash.verify(&Secret::new("Cafe au lait"), &cheap()), Verified::No);
        assert_eq!(Hash::parse(hash.text().expose()), Some(hash.clone()));
        assert!(!format!("{hash:?} {:?}", hash.text()).contains("argon2id$"));
    }

    #[test]
    fn other_costs_make_a_hash_outdated() {
        let hash = cheap().hash(&Secret::new("kvq7nwzb"), &SystemRandom).unwrap();
        let dearer = Costs::new(128, 1, 1).unwrap();
        assert_eq!(hash.verify(&Secret::new("kvq7nwzb"), &dearer), Verified::Outdated);
        assert!(
            Costs::new(1, 1, 1).is_err() && Costs::new(64, 0, 1).is_err() && Costs::new(64, 1, 0).is_err()
        );
    }
}
