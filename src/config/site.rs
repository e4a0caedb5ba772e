//! `[[site]]` of `proxy.toml`: one public address and what stands behind it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::backends::Backends;
use super::url::SiteUrl;
use super::values::Size;
use crate::{forward, gate, identity, recovery, rewrite};

/// One site.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// A short name, for logs and commands.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// The only address that internet users ever see.
    #[schemars(with = "SiteUrl")]
    pub public_url: Spanned<SiteUrl>,
    /// Where the site really is: one address or a list. No client has any influence on it.
    #[schemars(with = "Backends")]
    pub backend_url: Spanned<Backends>,
    /// The dialogue by which its forms are spoken to.
    #[serde(default = "plone")]
    #[schemars(with = "String")]
    pub cms: Spanned<String>,
    /// Values in the place of the dialogue's own `[settings]`; none.
    #[serde(default)]
    pub cms_settings: BTreeMap<String, String>,
    /// How the backend learns its public address; by Zope's VirtualHostMonster path.
    #[serde(default)]
    pub virtual_hosting: VirtualHosting,
    /// Who vouches for a password; the CMS's own login form.
    #[serde(default)]
    pub sign_in: SignIn,
    /// Whose local users sign in here: another site's, by its name; its own if left out.
    #[schemars(with = "Option<String>")]
    pub users: Option<Spanned<String>>,
    /// The fields that tell the backend who is signed in; none.
    #[serde(default)]
    pub identity_headers: identity::Headers,
    /// The largest form, in bytes, that is kept for a person whose session has run out until they have signed in again; 1 MiB,
    /// at most 64 MiB. `"0"` keeps none.
    #[serde(default = "one_mebibyte")]
    pub hold_posts: Size,
    /// Further names and addresses of the backend, which must not get out either.
    #[serde(default)]
    pub internal_names: Vec<String>,
    /// Who may reach what.
    #[serde(default)]
    pub access: gate::policy::Settings,
    /// Forgotten passwords.
    #[serde(default)]
    pub password_reset: recovery::Settings,
    /// How patient the gate is with the backend, and how it chooses among several.
    #[serde(default)]
    pub forward: forward::Settings,
    /// What is rewritten besides what is known, and what is done about what stays.
    #[serde(default)]
    pub rewrite: rewrite::Settings,
}

fn one_mebibyte() -> Size {
    Size::bytes(1 << 20)
}

fn plone() -> Spanned<String> {
    Spanned::new(0..0, "plone".to_owned())
}

/// How the backend learns its public address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VirtualHosting {
    /// By a path that begins with `/VirtualHostBase/…`: Zope, with a VirtualHostMonster.
    #[default]
    Zope,
    /// By the `Host` and `X-Forwarded-*` fields.
    Forwarded,
    /// Not at all: its links are rewritten.
    Rewrite,
}

/// Who vouches for a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignIn {
    /// The CMS's own login form.
    #[default]
    Backend,
    /// The gate: it has users of its own.
    Local,
}
