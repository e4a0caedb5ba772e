//! What a gate that runs cannot change: where it listens, what it has opened.

use super::Config;
use crate::acme;
use crate::mail::Destination;

/// Writes [`Config::keep_fixed`] for a list of keys.
macro_rules! fixed {
    ($($($key:ident).+),+ $(,)?) => {
        impl Config {
            /// Takes over from `running` what a reload cannot change, so that this says what will be so; and names the keys that
            /// would have been different, for which a restart is needed.
            pub(crate) fn keep_fixed(&mut self, running: &Self) -> Vec<&'static str> {
                let mut changed = Vec::new();
                $(
                    if self.$($key).+ != running.$($key).+ {
                        self.$($key).+.clone_from(&running.$($key).+);
                        changed.push(stringify!($($key).+));
                    }
                )+
                if acme::Settings::keep_fixed(&mut self.server.tls.acme, running.server.tls.acme.as_ref()) {
                    changed.push("server.tls.acme");
                }
                // A gate that runs may write to no other folder than those it began with (`commands/confine.rs`).
                if matches!(self.mail.send, Destination::Folder(_)) && self.mail.send != running.mail.send {
                    self.mail.send.clone_from(&running.mail.send);
                    changed.push("mail.send");
                }
                changed
            }
        }
    };
}

fixed!(
    server.listen,
    server.workers,
    server.connections,
    server.tls.listen,
    server.tls.certificate,
    server.tls.key,
    server.tls.ocsp,
    server.tls.certificates,
    server.tls.client_ca,
    server.tls.handshake_timeout,
    admin.listen,
    store.url,
    store.secret,
    log.format,
    log.level,
    mail.relay.listen,
    mail.relay.connection_limit,
);

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "{more}\n[[site]]\nname = \"a\"\npublic_url = \"http://a.example\"\nbackend_url = \"http://127.0.0.1:9\"\n"
        );
        Config::parse(Path::new("proxy.toml"), &text, PathBuf::new()).unwrap().0
    }

    #[test]
    fn what_needs_a_restart_is_named_and_stays_as_it_was() {
        let running = config("");
        for (key, toml) in [
            ("server.listen", "[server]\nlisten = [\"127.0.0.1:81\"]"),
            ("server.workers", "[server]\nworkers = 7"),
            ("server.connections", "[server]\nconnections = { total = 7 }"),
            ("server.tls.handshake_timeout", "[server.tls]\nhandshake_timeout = \"7s\""),
            ("admin.listen", "[admin]\nlisten = \"127.0.0.1:7\""),
            ("store.url", "[store]\nurl = \"sqlite:other.db\""),
            ("store.secret", "[store]\nsecret = { file = \"other\" }"),
            ("log.level", "[log]\nlevel = \"debug\""),
            ("mail.relay.listen", "[mail.relay]\nlisten = \"127.0.0.1:7\""),
            ("mail.send", "[mail]\nsend = \"dir:other\""),
            ("mail.relay.connection_limit", "[mail.relay]\nconnection_limit = 7"),
        ] {
            let mut next = config(toml);
            assert_eq!(next.keep_fixed(&running), [key]);
            assert!(next.keep_fixed(&running).is_empty(), "{key} is as it was");
        }
    }

    #[test]
    fn of_acme_only_the_names_can_change() {
        let acme = |more: &str| {
            let acme = "directory = \"https://acme.example/dir\", terms_agreed = true";
            config(&format!("[server.tls]\nlisten = [\"127.0.0.1:0\"]\nacme = {{ {acme}, {more} }}"))
        };
        let running = acme("names = [\"a.example\"]");
        let mut next = acme("names = [\"b.example\"]");
        assert!(next.keep_fixed(&running).is_empty());
        assert_eq!(next.acme_names(|_| false)[0].as_str(), "b.example");
        let mut next = acme("names = [\"b.example\"], folder = \"elsewhere\"");
        assert_eq!(next.keep_fixed(&running), ["server.tls.acme"]);
        let kept = next.server.tls.acme.as_ref().unwrap().as_ref();
        assert_eq!((kept.folder.as_ref(), kept.names[0].as_str()), (None, "b.example"));
        let mut next = config("[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"a\"\nkey = \"a\"");
        assert_eq!(
            next.keep_fixed(&running),
            ["server.tls.certificate", "server.tls.key", "server.tls.acme"]
        );
    }

    #[test]
    fn what_needs_none_is_taken_as_it_is() {
        let mut next =
            config("[server]\nrequest_timeout = \"7s\"\n[session]\nidle = \"7m\"\n[audit]\nkeep = \"7d\"");
        assert!(next.keep_fixed(&config("")).is_empty());
        assert_eq!(next.session.idle, crate::config::values::Span::minutes(7));
    }
}
