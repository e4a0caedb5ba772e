//! `[site.rewrite]` of `proxy.toml`: what is rewritten besides what is known, and what is done about what stays.

use serde::Deserialize;

/// `[site.rewrite]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Further media types of text, such as `application/x-foo`; none.
    pub types: Vec<String>,
    /// Further HTML attributes that hold one URL, such as `data-target`; none. Of use with `virtual_hosting = "rewrite"` only.
    pub attributes: Vec<String>,
    /// What is done when an internal name is found that no rule maps; it is logged.
    pub leaks: Leaks,
}

/// What is done about an internal name in what leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leaks {
    /// It is logged, with path and count.
    #[default]
    Log,
    /// It is logged, and the answer is withheld: with a 502 where nothing of it has been sent yet, else by breaking it off.
    Block,
}
