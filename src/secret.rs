//! Values that must never be seen.

use std::fmt;

use zeroize::Zeroizing;

/// A password, key, token or cookie value: wiped when dropped, and printed as `[secret]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes `value` over.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself. Every call is a place where it could get out: hand it on, never print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is this value, in a time that does not tell how much of it was right.
    pub fn matches(&self, guess: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_bytes().ct_eq(guess).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
