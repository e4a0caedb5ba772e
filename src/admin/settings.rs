//! `[admin]` of `proxy.toml`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::listen::Address;

/// Where operators ask.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// An address of this machine, or a Unix socket; none: nobody is answered.
    pub listen: Option<Address>,
    /// Lets it listen where others can reach it; not so. Whoever can sees the names of users and the addresses of backends.
    pub danger_anywhere: bool,
}

impl Settings {
    /// What is wrong with it, if anything.
    pub fn finding(&self) -> Option<String> {
        match &self.listen {
            Some(Address::Tcp(address)) if !address.ip().is_loopback() && !self.danger_anywhere => {
                Some(format!(
                    "`{address}` lets others than this machine see who is signed in; write \"127.0.0.1:{}\" or \"unix:/run/lychgate-admin.sock\", or danger_anywhere = true where a network keeps strangers out",
                    address.port()
                ))
            }
            Some(address @ Address::Handed(_)) => Some(format!(
                "`{address}`: a parent cannot hand over the admin listener's socket yet; write \"127.0.0.1:9180\" or \"unix:/run/lychgate-admin.sock\""
            )),
            _ => None,
        }
    }
}
