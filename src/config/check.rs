//! What no section of `proxy.toml` can see by itself: what does not go together, and what had better not be left so.

use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::IpNet;
use toml::Spanned;

use super::url::Scheme;
use super::{Config, Finding, SignIn, Site};
use crate::gate::policy::{self, Access};
use crate::recovery::Form;

/// The most that `hold_posts` may be, in bytes: so much memory a form may take while it is kept.
const LARGEST_HELD: u64 = 64 << 20;

/// A file that is being looked through.
pub(super) struct Check<'c> {
    config: &'c Config,
    file: &'c Path,
    text: &'c str,
    found: Vec<Finding>,
}

impl<'c> Check<'c> {
    /// All that is found in `config`, which was read from the `text` of `file`.
    pub(super) fn of(config: &'c Config, file: &'c Path, text: &'c str) -> Vec<Finding> {
        let mut check = Self { config, file, text, found: Vec::new() };
        check.server();
        for (index, site) in config.sites.iter().map(Spanned::as_ref).enumerate() {
            check.name_and_addresses(site, config.sites.iter().take(index).map(Spanned::as_ref));
            check.dialogue(site);
            check.values(site);
            check.password_reset(site);
            check.local_users(site);
            check.openness(site);
            check.open_resources(site);
            check.half_closed(site);
        }
        check.shown_twice();
        check.mail();
        check.relay();
        check.found
    }

    fn error(&mut self, offset: usize, message: impl Into<String>) {
        self.found.push(Finding::error(self.file, self.text, offset, message.into()));
    }

    fn warn(&mut self, offset: usize, message: impl Into<String>) {
        self.found.push(Finding::warning(self.file, self.text, offset, message.into()));
    }

    /// Where `words` stand first: for what carries no place of its own.
    fn place(&self, words: &str) -> usize {
        self.text.find(words).unwrap_or(0)
    }

    fn sites(&self) -> impl Iterator<Item = &'c Site> + Clone + use<'c> {
        self.config.sites.iter().map(Spanned::as_ref)
    }

    fn server(&mut self) {
        let config = self.config;
        let server = &config.server;
        let tls = &server.tls;
        if config.sites.is_empty() {
            self.error(
                self.text.len(),
                "there is no site; add a [[site]] with name, public_url and backend_url",
            );
        }
        if let Err(sentence) = tls.pairs() {
            self.error(self.place("[server.tls]"), sentence);
        }
        if let Some(acme) = &tls.acme {
            for sentence in acme.as_ref().problems(server, config.secure_hosts()) {
                self.error(acme.span().start, sentence);
            }
        }
        if server.proxy_protocol && server.trusted_proxies.is_empty() {
            self.error(self.place("proxy_protocol"), "proxy_protocol refuses everyone but the proxies in trusted_proxies, and there are none; name their networks");
        }
        let asks_for_certificate = |site: &Site| site.access.rules.iter().any(|rule| rule.client_certificate);
        if tls.client_ca.is_none() && self.sites().any(asks_for_certificate) {
            self.error(self.place("client_certificate"), "a rule asks for a client_certificate, but [server.tls] has no client_ca; nobody could show one");
        }
        if server.listen.is_empty() && !tls.is_on() {
            self.error(
                self.place("listen"),
                "`listen` is empty; name at least one address, such as \"127.0.0.1:8080\"",
            );
        }
        if let Err(sentence) = config.local_users.costs() {
            self.error(self.place("[local_users]"), sentence);
        }
        if let Some(sentence) = config.admin.finding() {
            self.error(self.place("[admin]"), sentence);
        }
        let behind_proxy = self.sites().find(|site| site.public_url.as_ref().scheme() == Scheme::Https);
        if let Some(site) = behind_proxy.filter(|_| server.trusted_proxies.is_empty() && !tls.is_on()) {
            self.warn(site.public_url.span().start, "public_url is https, so a TLS proxy stands before the gate; trusted_proxies does not name it, and every visitor will look like that proxy to rules and limits");
        }
        for network in server.trusted_proxies.iter().filter(|network| is_half_the_world(network)) {
            self.warn(
                self.place("trusted_proxies"),
                format!("`{network}` lets everyone say who they are; name the networks of your own proxies"),
            );
        }
    }

    /// What it is called and where it is, beside those `before` it.
    fn name_and_addresses(&mut self, site: &Site, before: impl Iterator<Item = &'c Site>) {
        let (name, public, backend) = (&site.name, &site.public_url, &site.backend_url);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.as_ref().is_empty() || !name.as_ref().bytes().all(plain) {
            self.error(
                name.span().start,
                format!("`{}` is no name for a site; write letters, digits, `-` and `_`", name.as_ref()),
            );
        }
        for other in before {
            if other.name.as_ref() == name.as_ref() {
                self.error(
                    name.span().start,
                    format!("there is another site named `{}`; give each a name of its own", name.as_ref()),
                );
            }
            let (one, two) = (public.as_ref(), other.public_url.as_ref());
            if one.is_at(two.host()) && one.path() == two.path() {
                self.error(
                    public.span().start,
                    format!(
                        "site `{}` has the same public_url; give each an address of its own",
                        other.name.as_ref()
                    ),
                );
            }
        }
        if backend.as_ref().iter().any(|backend| public.as_ref().is_at(backend.host())) {
            self.error(backend.span().start, "backend_url is the public address: the gate would call itself; write where the CMS itself listens");
        }
        if backend.as_ref().first().scheme() == Scheme::Http && site.forward.ca.is_some() {
            self.warn(backend.span().start, "[site.forward] names a `ca`, but backend_url is http: nobody shows a certificate; write https://, or remove `ca`");
        }
    }

    fn dialogue(&mut self, site: &Site) {
        match self.config.dialogue(site) {
            Err(sentence) => self.error(site.cms.span().start, sentence),
            Ok(dialogue)
                if site.sign_in == SignIn::Backend
                    && !dialogue.can_sign_in()
                    && site.access.asks_to_sign_in() =>
            {
                self.error(
                    site.cms.span().start,
                    format!(
                        "the dialogue `{}` has no `sign_in`, so nobody would reach what `access` keeps for who has signed in; write access.default = \"public\", or sign_in = \"local\", or name another dialogue",
                        dialogue.name()
                    ),
                );
            }
            Ok(_) => {}
        }
    }

    fn values(&mut self, site: &Site) {
        let offset = site.name.span().start;
        if site.hold_posts.as_u64() > LARGEST_HELD {
            self.error(offset, "hold_posts is larger than 64 MiB, and a form being kept is held in memory; write \"64 MiB\" or less");
        }
        if let Some(name) = site.rewrite.types.iter().find(|name| !name.contains('/')) {
            self.error(
                offset,
                format!("`{name}` in rewrite.types is no media type; write it like \"application/x-foo\""),
            );
        }
        if let Err(sentence) = site.identity_headers.check() {
            self.error(offset, sentence);
        }
    }

    fn password_reset(&mut self, site: &Site) {
        let Some(trusted) = &site.password_reset.trusted_requests else { return };
        let offset = site.name.span().start;
        if trusted.user_agent.is_none() && !trusted.header {
            self.error(offset, "trusted_requests names neither user_agent nor header = true: anyone in its networks would pass; name at least one");
        }
        if trusted.header && site.password_reset.header.is_none() {
            self.error(offset, "trusted_requests asks for a header, but password_reset has none; write header = { name = \"…\", value = … }");
        }
        if trusted.networks.is_empty() || trusted.paths.is_empty() {
            self.error(
                offset,
                "trusted_requests with no networks or no paths trusts nobody; name both, or leave it out",
            );
        }
        let is_no_segment = |path: &&String| path.is_empty() || path.contains(['/', '*', '%', '?']);
        if let Some(path) = trusted.paths.iter().find(is_no_segment) {
            self.error(
                offset,
                format!(
                    "`{path}` in trusted_requests.paths is no single path segment; write it like \"mail_password\""
                ),
            );
        }
        for network in trusted.networks.iter().filter(|network| is_half_the_world(network)) {
            self.warn(
                self.place("trusted_requests"),
                format!(
                    "`{network}` lets everyone who knows the other marks use the CMS's own forms without signing in; name the networks that they come from"
                ),
            );
        }
    }

    fn local_users(&mut self, site: &Site) {
        if site.sign_in != SignIn::Local {
            if let Some(users) = &site.users {
                self.error(
                    users.span().start,
                    "`users` is for sites with sign_in = \"local\"; add that, or remove it",
                );
            }
            return;
        }
        let offset = site.name.span().start;
        if let Some(users) = &site.users {
            let named = self.sites().find(|other| other.name.as_ref() == users.as_ref());
            if named.is_none_or(|other| {
                other.sign_in != SignIn::Local
                    || (other.users.is_some() && other.name.as_ref() != site.name.as_ref())
            }) {
                self.error(
                    users.span().start,
                    format!(
                        "`{}` is no site with local users of its own; name one with sign_in = \"local\" and no `users`",
                        users.as_ref()
                    ),
                );
            }
        }
        if site.password_reset.form == Form::Backend {
            self.error(offset, "password_reset.form = \"backend\" does not go with sign_in = \"local\": the passwords are the gate's; remove it");
        }
        if site.password_reset.enabled && self.config.mail.from.is_none() {
            self.error(offset, "the gate mails reset links to local users, so [mail] needs `from`, such as \"Example Intranet <noreply@example.org>\"; or write password_reset = { enabled = false }");
        }
    }

    /// A folder that a rule opens to everyone at a site that is otherwise closed, where the CMS finds all of the site in each folder.
    /// Zope's own namespaces (`++resource++x`) are no folders.
    fn openness(&mut self, site: &Site) {
        let is_closed = site.access.default != Access::Public;
        let acquires = || self.config.dialogue(site).is_ok_and(|dialogue| dialogue.paths().acquires());
        let open = site.access.rules.iter().filter(|rule| rule.access == Access::Public);
        let mut folders = open.filter_map(|rule| rule.path.folder()).filter(|folder| {
            let name = folder.rsplit('/').next().unwrap_or_default();
            !name.starts_with("++") && !name.starts_with("@@")
        });
        if let Some(folder) = folders.next().filter(|_| is_closed && acquires()) {
            self.warn(
                site.name.span().start,
                format!(
                    "`{folder}/**` is public, and the CMS finds there what lies elsewhere, too (`{folder}/secret/a` is `/secret/a`); everyone sees in that way what it shows without signing in: close it in the CMS, or name by rules what stays inside, for they hold there as well"
                ),
            );
        }
    }

    /// Styles and pictures that a rule opens with all that is behind them, at a site that is otherwise closed. Zope finds all of the
    /// site behind a file that lies in its database.
    fn open_resources(&mut self, site: &Site) {
        let Ok(dialogue) = self.config.dialogue(site) else { return };
        let paths = dialogue.paths();
        if site.access.default == Access::Public || !paths.acquires() {
            return;
        }
        let starts = || paths.resources().iter().chain(paths.transparent()).filter(|start| !start.is_empty());
        let mut open = site.access.rules.iter().filter(|rule| rule.access == Access::Public);
        if let Some(pattern) = open.find_map(|rule| starts().find_map(|start| rule.path.behind(start))) {
            self.warn(
                site.name.span().start,
                format!(
                    "`{pattern}` is public, and the CMS finds what lies elsewhere behind a file of its database, too (`/++theme++mine/a.css/secret/a` is `/secret/a`); everyone sees in that way what it shows without signing in: close it in the CMS, name by rules what stays inside, for they hold there as well, or open each level of files alone (`/++theme++mine/*`)"
                ),
            );
        }
    }

    /// A page that a rule closes at its own address alone, where the CMS shows it by any of its views, too.
    fn half_closed(&mut self, site: &Site) {
        let anyone = policy::From { client: Ipv4Addr::UNSPECIFIED.into(), certificate: false };
        let asks = |path: &str| site.access.access(path.as_bytes(), anyone);
        let mut pages = site.access.rules.iter().filter_map(|rule| rule.path.page());
        let Some(page) = pages.find(|page| asks(page) > asks(&format!("{page}/view"))) else { return };
        if self.config.dialogue(site).is_ok_and(|dialogue| dialogue.paths().acquires()) {
            self.warn(
                site.name.span().start,
                format!(
                    "a rule closes `{page}` and nothing below it, but the CMS shows the same page at `{page}/view` and other addresses; write \"{page}/**\""
                ),
            );
        }
    }

    /// Sites that are more open than another one whose backend lies in theirs.
    fn shown_twice(&mut self) {
        let sites = self.sites();
        let pairs = sites.clone().flat_map(|site| sites.clone().map(move |other| (site, other)));
        for (site, other) in pairs.filter(|(site, other)| other.access.default > site.access.default) {
            let (first, theirs) = (site.backend_url.as_ref().first(), other.backend_url.as_ref().first());
            let Some(within) = theirs.path().strip_prefix(first.path()) else { continue };
            let is_there =
                first.authority() == theirs.authority() && (within.is_empty() || within.starts_with('/'));
            let inside = format!("{within}/x");
            let is_named = site.access.rules.iter().any(|rule| rule.path.matches(inside.as_bytes()));
            if is_there && !is_named {
                self.warn(
                    site.backend_url.span().start,
                    format!(
                        "what `{}` keeps for who has signed in lies in the backend of `{}`, which shows it at `{within}/` by its own rules; close that path there by a rule, or name it in one if that is meant",
                        other.name.as_ref(),
                        site.name.as_ref()
                    ),
                );
            }
        }
    }

    fn mail(&mut self) {
        let mail = &self.config.mail;
        let offset = self.place("[mail]");
        let known = mail.username.is_some() || mail.password.is_some();
        if mail.username.is_some() != mail.password.is_some() {
            self.error(offset, "`username` and `password` of [mail] belong together; write both or neither");
        }
        if (known || mail.ca.is_some()) && !mail.send.is_verified() {
            self.error(
                offset,
                format!(
                    "`{}` is no address at which the mail server has to show who it is, so `username`, `password` and `ca` would be of no use or be told to anyone; write \"smtps://…\" or \"smtp+starttls://…\"",
                    mail.send
                ),
            );
        }
    }

    fn relay(&mut self) {
        let mail = &self.config.mail;
        if mail.relay.require_tls && mail.relay.tls.is_none() {
            self.error(self.place("require_tls"), "require_tls without `tls` would take no mail at all; write tls = { certificate = \"…\", key = \"…\" }");
        }
        if let Some(address) = mail.relay.listen {
            let offset = self.place("[mail.relay]");
            if mail.send.is(address) {
                self.error(
                    offset,
                    format!(
                        "the relay at {address} would send to itself; let `send` name the real mail server, or `listen` another port"
                    ),
                );
            }
            if mail.relay.accept_from.is_empty() || mail.relay.connection_limit == 0 {
                self.error(offset, "the relay takes mail from nobody; name the CMS's address in accept_from and a connection_limit above 0, or leave `listen` out");
            }
        }
        for network in mail.relay.accept_from.iter().filter(|network| is_half_the_world(network)) {
            self.warn(
                self.place("accept_from"),
                format!("`{network}` lets everyone send mail through the gate; name the CMS's address"),
            );
        }
    }
}

/// Whether a network is larger than any that is one operator's, such as 10.0.0.0/8 and fc00::/7. Two halves are everyone, too.
fn is_half_the_world(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < 8,
        IpNet::V6(network) => network.prefix_len() < 7,
    }
}
