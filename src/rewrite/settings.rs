//! `[site.rewrite]` of `proxy.toml`: what is rewritten besides what is known, and what is done about what stays.

use schemars::JsonSchema;
use serde::Deserialize;

/// `[site.rewrite]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Further media types of text, such as `application/x-foo`; none.
    pub types: Vec<String>,
    /// Further HTML attributes that hold one URL, such as `data-target`; none. Of use with `virtual_hosting = "rewrite"` only.
    pub attributes: Vec<String>,
    /// Whether `/Plone/x` in a link becomes `/x` also where the backend knows its public address and only people can have written it;
    /// yes. For a site that really has a folder named like the internal path: no. Another site of the gate at that
    /// public path says so by itself.
    pub links: bool,
    /// What is done when an internal name is found that no rule maps; it is logged.
    pub leaks: Leaks,
}

impl Default for Settings {
    fn default() -> Self {
        Self { types: Vec::new(), attributes: Vec::new(), links: true, leaks: Leaks::default() }
    }
}

/// What is done about an internal name in what leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Leaks {
    /// It is logged, with path and count.
    #[default]
    Log,
    /// It is logged, and the answer is withheld: with a 502 where nothing of it has been sent yet, else by breaking it off.
    Block,
}
