//! Local users: the gate's own, in its store.
//!
//! The store is asked each time, so what an operator changes holds at once. What does not fit takes as long as what does: an unknown
//! user's password is compared with a decoy of the same costs. A hash that was imported costs what it costs until its user
//! signs in for the first time; the refusal's floor covers the usual ones, so import and let people sign in, or mail them.

use unicode_normalization::UnicodeNormalization as _;

use super::{Person, Stamp, Vouched};
use crate::account;
use crate::cms::KeptCookies;
use crate::password::{Busy, Hash, Verified};
use crate::secret::Secret;
use crate::store::{Known, UserChange, UserRow};
use crate::visit::Visit;

/// The longest name of a user, in characters.
const LONGEST_NAME: usize = 128;

/// The name of a local user: 1 to 128 characters in normal form C, none of them a control character, no space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserName(String);

impl std::str::FromStr for UserName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name: String = text.trim().nfc().collect();
        // Marks that turn the direction of writing make one name look like another.
        let odd = |c: char| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        if name.is_empty()
            || name.chars().count() > LONGEST_NAME
            || name.contains(odd)
            || account::canonical(&name).is_empty()
        {
            return Err(format!(
                "`{}` is no user name; write 1 to {LONGEST_NAME} characters that can be seen",
                text.escape_default()
            ));
        }
        Ok(Self(name))
    }
}

impl UserName {
    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared.
    pub fn canonical(&self) -> String {
        account::canonical(&self.0)
    }
}

/// What a comparison with a local user's password came to, with a word for the log.
pub(super) async fn vouch(visit: &Visit<'_>, typed: &str, password: &Secret) -> (Vouched, &'static str) {
    let shared = visit.shared();
    let found = shared.accounts.find_user(visit.site.users.clone(), Known::Name(account::canonical(typed)));
    let user = match found.await {
        Ok(user) => user,
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "local users cannot be looked up");
            return (Vouched::Unreachable, "store");
        }
    };
    let stored =
        user.as_ref().and_then(|user| user.password.as_ref()).and_then(|hash| Hash::parse(hash.expose()));
    let has_password = stored.is_some();
    let verified = match shared.hasher.verify(stored, password).await {
        Ok(verified) => verified,
        Err(Busy) => return (Vouched::Limited(Busy::RETRY_AFTER), "busy"),
    };
    match user {
        None => (Vouched::No, "unknown"),
        Some(user) if user.disabled => (Vouched::No, "disabled"),
        Some(_) if !has_password => (Vouched::No, "no password"),
        Some(_) if verified == Verified::No => (Vouched::No, "wrong password"),
        Some(user) => {
            if verified == Verified::Outdated {
                rehash(visit, &user, password).await;
            }
            let stamp = Stamp { id: user.id, version: user.version };
            let person = Person {
                user: user.name,
                user_id: None,
                kept: KeptCookies::default(),
                groups: user.groups,
                stamp: Some(stamp),
            };
            (Vouched::Yes(person), "")
        }
    }
}

/// Hashes a password that is right as new ones are. If that fails, the next sign-in tries again.
async fn rehash(visit: &Visit<'_>, user: &UserRow, password: &Secret) {
    let shared = visit.shared();
    let Ok(hash) = shared.hasher.hash(password).await else { return };
    let change = UserChange::Rehashed { version: user.version, hash: hash.text().clone() };
    match shared.accounts.change_user(user.id, change, shared.clock.now(), Vec::new()).await {
        Ok(_) => tracing::info!(
            id = visit.caller.request_id,
            site = visit.site.name,
            user = user.name,
            "password hashed anew"
        ),
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "a password cannot be stored hashed anew")
        }
    }
}

/// Whether the user is as they were when the password was compared.
pub(super) async fn is_unchanged(visit: &Visit<'_>, name: &str, stamp: &Stamp) -> bool {
    let known = Known::Name(account::canonical(name));
    match visit.shared().accounts.find_user(visit.site.users.clone(), known).await {
        Ok(user) => user
            .is_some_and(|user| (user.id, user.version, user.disabled) == (stamp.id, stamp.version, false)),
        Err(error) => {
            tracing::error!(id = visit.caller.request_id, %error, "local users cannot be looked up");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_can_be_seen() {
        for (text, name) in [
            ("jane", Some("jane")),
            (" Jane Doe ", Some("Jane Doe")),
            ("Zoe\u{308}", Some("Zo\u{eb}")),
            ("jane@example.org", Some("jane@example.org")),
            ("", None),
            ("  ", None),
            ("a\r\nb", None),
            ("a\u{202e}b", None),
            ("a\u{0}", None),
        ] {
            assert_eq!(text.parse::<UserName>().ok().as_ref().map(UserName::as_str), name, "{text:?}");
        }
        assert!("x".repeat(128).parse::<UserName>().is_ok() && "x".repeat(129).parse::<UserName>().is_err());
    }
}
