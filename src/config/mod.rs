//! `proxy.toml`, read once into values that need no further checking.
//!
//! Each module owns the type of its own section; this one composes them, checks what concerns several of
//! them, and says of every mistake where it is, what is wrong and what would be right.

mod backends;
mod dialogues;
mod finding;
mod fixed;
mod site;
pub mod url;
pub mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

pub use self::backends::Backends;
use self::finding::explain;
pub use self::finding::{Finding, Severity};
pub use self::site::{SignIn, Site, VirtualHosting};
use self::url::Scheme;
use self::values::SecretSource;
use crate::acme::{self, Acme};
use crate::admit::PublicHost;
use crate::clock::{Clock as _, SystemClock};
use crate::cms::Description;
use crate::gate::policy::Access;
use crate::secret::Secret;
use crate::store::StoreUrl;
use crate::{admin, limits, listen, mail, observe, pages, password, session, store, tls};

/// The most that `hold_posts` may be, in bytes: so much memory a form may take while it is kept.
const LARGEST_HELD: u64 = 64 << 20;

/// Everything `proxy.toml` says.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the gate listens.
    #[serde(default)]
    pub server: listen::Settings,
    /// Where operators ask.
    #[serde(default)]
    pub admin: admin::Settings,
    /// Where sessions are kept.
    #[serde(default)]
    pub store: store::Settings,
    /// How long they last.
    #[serde(default)]
    pub session: session::Settings,
    /// How often what may be tried.
    #[serde(default)]
    pub limits: limits::Settings,
    /// How the gate's own pages look.
    #[serde(default)]
    pub pages: pages::Settings,
    /// What is logged.
    #[serde(default)]
    pub log: observe::Settings,
    /// How long what happened is kept.
    #[serde(default)]
    pub audit: observe::audit::Settings,
    /// How passwords of local users are hashed.
    #[serde(default)]
    pub local_users: password::Settings,
    /// Where mail goes, and the relay for the CMS's own.
    #[serde(default)]
    pub mail: mail::Settings,
    /// The sites.
    #[serde(default, rename = "site")]
    #[schemars(with = "Vec<Site>")]
    pub sites: Vec<Spanned<Site>>,
    /// Dialogues besides those that come with the gate.
    #[serde(default, rename = "cms")]
    #[schemars(with = "Vec<std::collections::BTreeMap<String, serde_json::Value>>")]
    pub dialogues: Vec<Spanned<Description>>,
    /// The folder of the file: relative paths in it begin there.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Files that it names and that were read as if they stood in it.
    #[serde(skip)]
    pub read_files: Vec<PathBuf>,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Everything found that keeps the gate from starting. Warnings alone are no error; they come with the configuration.
    pub fn read(file: &Path) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            vec![Finding::error(file, "", 0, format!("cannot be read: {error}; name another file with --config, or see that this one is there and may be read"))]
        })?;
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(file, &text, folder)
    }

    /// Checks `text` as if it stood in `file`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(file: &Path, text: &str, folder: PathBuf) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            vec![Finding::error(file, text, offset, explain(error.message()))]
        })?;
        if let Some(templates) = &mut config.pages.templates {
            *templates = folder.join(&templates);
        }
        config.folder = folder;
        let mut found = config.read_dialogues(file, text);
        found.extend(config.findings(file, text));
        let (errors, warnings) = found.into_iter().partition::<Vec<_>, _>(Finding::is_error);
        if errors.is_empty() { Ok((config, warnings)) } else { Err(errors) }
    }

    /// What no section can see by itself.
    fn findings(&self, file: &Path, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut error =
            |offset: usize, message: String| findings.push(Finding::error(file, text, offset, message));
        if self.sites.is_empty() {
            error(
                text.len(),
                "there is no site; add a [[site]] with name, public_url and backend_url".to_owned(),
            );
        }
        let tls = &self.server.tls;
        if let Err(sentence) = tls.pairs() {
            error(text.find("[server.tls]").unwrap_or(0), sentence);
        }
        if let Some(acme) = &tls.acme {
            for sentence in acme.as_ref().problems(&self.server, self.secure_hosts()) {
                error(acme.span().start, sentence);
            }
        }
        if self.server.proxy_protocol && self.server.trusted_proxies.is_empty() {
            error(
                text.find("proxy_protocol").unwrap_or(0),
                "proxy_protocol refuses everyone but the proxies in trusted_proxies, and there are none; name their networks".to_owned(),
            );
        }
        let asks_for_certificate =
            |site: &Spanned<Site>| site.as_ref().access.rules.iter().any(|rule| rule.client_certificate);
        if tls.client_ca.is_none() && self.sites.iter().any(asks_for_certificate) {
            error(
                text.find("client_certificate").unwrap_or(0),
                "a rule asks for a client_certificate, but [server.tls] has no client_ca; nobody could show one".to_owned(),
            );
        }
        if self.server.listen.is_empty() && !tls.is_on() {
            error(
                text.find("listen").unwrap_or(0),
                "`listen` is empty; name at least one address, such as \"127.0.0.1:8080\"".to_owned(),
            );
        }
        for (index, site) in self.sites.iter().enumerate() {
            let others = self.sites.iter().take(index);
            let site = site.as_ref();
            let (name, public, backend) = (&site.name, &site.public_url, &site.backend_url);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if name.as_ref().is_empty() || !name.as_ref().bytes().all(plain) {
                error(
                    name.span().start,
                    format!("`{}` is no name for a site; write letters, digits, `-` and `_`", name.as_ref()),
                );
            }
            for other in others.map(Spanned::as_ref) {
                if other.name.as_ref() == name.as_ref() {
                    error(
                        name.span().start,
                        format!(
                            "there is another site named `{}`; give each a name of its own",
                            name.as_ref()
                        ),
                    );
                }
                let (one, two) = (public.as_ref(), other.public_url.as_ref());
                if one.is_at(two.host()) && one.path() == two.path() {
                    error(
                        public.span().start,
                        format!(
                            "site `{}` has the same public_url; give each an address of its own",
                            other.name.as_ref()
                        ),
                    );
                }
            }
            if backend.as_ref().iter().any(|backend| public.as_ref().is_at(backend.host())) {
                error(backend.span().start, "backend_url is the public address: the gate would call itself; write where the CMS itself listens".to_owned());
            }
            match self.dialogue(site) {
                Err(sentence) => error(site.cms.span().start, sentence),
                Ok(dialogue)
                    if site.sign_in == SignIn::Backend
                        && !dialogue.can_sign_in()
                        && site.access.asks_to_sign_in() =>
                {
                    error(
                        site.cms.span().start,
                        format!(
                            "the dialogue `{}` has no `sign_in`, so nobody would reach what `access` keeps for who has signed in; write access.default = \"public\", or sign_in = \"local\", or name another dialogue",
                            dialogue.name()
                        ),
                    )
                }
                Ok(_) => {}
            }
            if site.hold_posts.as_u64() > LARGEST_HELD {
                error(
                    name.span().start,
                    "hold_posts is larger than 64 MiB, and a form being kept is held in memory; write \"64 MiB\" or less".to_owned(),
                );
            }
            if let Some(name) = site.rewrite.types.iter().find(|name| !name.contains('/')) {
                error(
                    site.name.span().start,
                    format!(
                        "`{name}` in rewrite.types is no media type; write it like \"application/x-foo\""
                    ),
                );
            }
            self.reset_findings(site, &mut error);
            self.local_findings(site, &mut error);
        }
        if let Err(sentence) = self.local_users.costs() {
            error(text.find("[local_users]").unwrap_or(0), sentence);
        }
        if let Some(sentence) = self.admin.finding() {
            error(text.find("[admin]").unwrap_or(0), sentence);
        }
        self.mail_findings(text, &mut error);
        if let Some(address) = self.mail.relay.listen {
            let offset = text.find("[mail.relay]").unwrap_or(0);
            if self.mail.send.is(address) {
                error(
                    offset,
                    format!(
                        "the relay at {address} would send to itself; let `send` name the real mail server, or `listen` another port"
                    ),
                );
            }
            if self.mail.relay.accept_from.is_empty() || self.mail.relay.connection_limit == 0 {
                error(offset, "the relay takes mail from nobody; name the CMS's address in accept_from and a connection_limit above 0, or leave `listen` out".to_owned());
            }
        }
        for network in self.mail.relay.accept_from.iter().filter(|network| is_half_the_world(network)) {
            let offset = text.find("accept_from").unwrap_or(0);
            findings.push(Finding::warning(
                file,
                text,
                offset,
                format!("`{network}` lets everyone send mail through the gate; name the CMS's address"),
            ));
        }
        let behind_proxy = self
            .sites
            .iter()
            .map(Spanned::as_ref)
            .find(|site| site.public_url.as_ref().scheme() == Scheme::Https);
        if let Some(site) =
            behind_proxy.filter(|_| self.server.trusted_proxies.is_empty() && !self.server.tls.is_on())
        {
            let sentence = "public_url is https, so a TLS proxy stands before the gate; trusted_proxies does not name it, and every visitor will look like that proxy to rules and limits".to_owned();
            findings.push(Finding::warning(file, text, site.public_url.span().start, sentence));
        }
        for site in self.sites.iter().map(Spanned::as_ref) {
            if site.backend_url.as_ref().first().scheme() == Scheme::Http && site.forward.ca.is_some() {
                let sentence = "[site.forward] names a `ca`, but backend_url is http: nobody shows a certificate; write https://, or remove `ca`".to_owned();
                findings.push(Finding::warning(file, text, site.backend_url.span().start, sentence));
            }
        }
        for site in self.sites.iter().map(Spanned::as_ref) {
            if let Some(folder) = self.opened_folder(site) {
                let sentence = format!(
                    "`{folder}/**` is public, and the CMS finds there what lies elsewhere, too (`{folder}/secret/a` is `/secret/a`); everyone sees in that way what it shows without signing in: close it in the CMS, or name by rules what stays inside, for they hold there as well"
                );
                findings.push(Finding::warning(file, text, site.name.span().start, sentence));
            }
        }
        for site in self.sites.iter().map(Spanned::as_ref) {
            let trusted = site.password_reset.trusted_requests.as_ref();
            for network in trusted.into_iter().flat_map(|trusted| &trusted.networks) {
                if is_half_the_world(network) {
                    let offset = text.find("trusted_requests").unwrap_or(0);
                    let sentence = format!(
                        "`{network}` lets everyone who knows the other marks use the CMS's own forms without signing in; name the networks that they come from"
                    );
                    findings.push(Finding::warning(file, text, offset, sentence));
                }
            }
        }
        for (site, other, path) in self.shown_twice() {
            let sentence = format!(
                "what `{}` keeps for who has signed in lies in the backend of `{}`, which shows it at `{path}` by its own rules; close that path there by a rule, or name it in one if that is meant",
                other.name.as_ref(),
                site.name.as_ref()
            );
            findings.push(Finding::warning(file, text, site.backend_url.span().start, sentence));
        }
        for network in &self.server.trusted_proxies {
            if is_half_the_world(network) {
                let offset = text.find("trusted_proxies").unwrap_or(0);
                findings.push(Finding::warning(
                    file,
                    text,
                    offset,
                    format!(
                        "`{network}` lets everyone say who they are; name the networks of your own proxies"
                    ),
                ));
            }
        }
        findings
    }

    /// Sites that are more open than another one whose backend lies in theirs, and the path at which they show it.
    fn shown_twice(&self) -> Vec<(&Site, &Site, String)> {
        let sites = || self.sites.iter().map(Spanned::as_ref);
        let pairs = sites().flat_map(|site| sites().map(move |other| (site, other)));
        let stricter = pairs.filter(|(site, other)| other.access.default > site.access.default);
        let found = stricter.filter_map(|(site, other)| {
            let (first, theirs) = (site.backend_url.as_ref().first(), other.backend_url.as_ref().first());
            let within = theirs.path().strip_prefix(first.path())?;
            let is_there =
                first.authority() == theirs.authority() && (within.is_empty() || within.starts_with('/'));
            let inside = format!("{within}/x");
            let is_named = site.access.rules.iter().any(|rule| rule.path.matches(inside.as_bytes()));
            (is_there && !is_named).then(|| (site, other, format!("{within}/")))
        });
        found.collect()
    }

    /// A folder that a rule opens to everyone at a site that is otherwise closed, where the CMS finds all of the site in each folder.
    /// Zope's own namespaces (`++resource++x`) are no folders.
    fn opened_folder(&self, site: &Site) -> Option<String> {
        let is_closed = site.access.default != Access::Public;
        let acquires = || self.dialogue(site).is_ok_and(|dialogue| dialogue.paths().acquires());
        let open = site.access.rules.iter().filter(|rule| rule.access == Access::Public);
        let mut folders = open.filter_map(|rule| rule.path.folder()).filter(|folder| {
            let name = folder.rsplit('/').next().unwrap_or_default();
            !name.starts_with("++") && !name.starts_with("@@")
        });
        folders.next().filter(|_| is_closed && acquires())
    }

    fn mail_findings(&self, text: &str, error: &mut impl FnMut(usize, String)) {
        let mail = &self.mail;
        let offset = text.find("[mail]").unwrap_or(0);
        let known = mail.username.is_some() || mail.password.is_some();
        if mail.username.is_some() != mail.password.is_some() {
            error(
                offset,
                "`username` and `password` of [mail] belong together; write both or neither".to_owned(),
            );
        }
        if (known || mail.ca.is_some()) && !mail.send.is_verified() {
            error(
                offset,
                format!(
                    "`{}` is no address at which the mail server has to show who it is, so `username`, `password` and `ca` would be of no use or be told to anyone; write \"smtps://…\" or \"smtp+starttls://…\"",
                    mail.send
                ),
            );
        }
        if mail.relay.require_tls && mail.relay.tls.is_none() {
            error(
                text.find("require_tls").unwrap_or(0),
                "require_tls without `tls` would take no mail at all; write tls = { certificate = \"…\", key = \"…\" }"
                    .to_owned(),
            );
        }
    }

    fn reset_findings(&self, site: &Site, error: &mut impl FnMut(usize, String)) {
        let Some(trusted) = &site.password_reset.trusted_requests else { return };
        let offset = site.name.span().start;
        if trusted.user_agent.is_none() && !trusted.header {
            error(offset, "trusted_requests names neither user_agent nor header = true: anyone in its networks would pass; name at least one".to_owned());
        }
        if trusted.header && site.password_reset.header.is_none() {
            error(offset, "trusted_requests asks for a header, but password_reset has none; write header = { name = \"…\", value = … }".to_owned());
        }
        if trusted.networks.is_empty() || trusted.paths.is_empty() {
            error(
                offset,
                "trusted_requests with no networks or no paths trusts nobody; name both, or leave it out"
                    .to_owned(),
            );
        }
        if let Some(path) =
            trusted.paths.iter().find(|path| path.is_empty() || path.contains(['/', '*', '%', '?']))
        {
            error(
                offset,
                format!(
                    "`{path}` in trusted_requests.paths is no single path segment; write it like \"mail_password\""
                ),
            );
        }
    }

    fn local_findings(&self, site: &Site, error: &mut impl FnMut(usize, String)) {
        let offset = site.name.span().start;
        if let Err(sentence) = site.identity_headers.check() {
            error(offset, sentence);
        }
        if site.sign_in != SignIn::Local {
            if let Some(users) = &site.users {
                error(
                    users.span().start,
                    "`users` is for sites with sign_in = \"local\"; add that, or remove it".to_owned(),
                );
            }
            return;
        }
        if let Some(users) = &site.users {
            let named =
                self.sites.iter().map(Spanned::as_ref).find(|other| other.name.as_ref() == users.as_ref());
            if named.is_none_or(|other| {
                other.sign_in != SignIn::Local
                    || (other.users.is_some() && other.name.as_ref() != site.name.as_ref())
            }) {
                error(
                    users.span().start,
                    format!(
                        "`{}` is no site with local users of its own; name one with sign_in = \"local\" and no `users`",
                        users.as_ref()
                    ),
                );
            }
        }
        if site.password_reset.form == crate::recovery::Form::Backend {
            error(offset, "password_reset.form = \"backend\" does not go with sign_in = \"local\": the passwords are the gate's; remove it".to_owned());
        }
        if site.password_reset.enabled && self.mail.from.is_none() {
            error(offset, "the gate mails reset links to local users, so [mail] needs `from`, such as \"Example Intranet <noreply@example.org>\"; or write password_reset = { enabled = false }".to_owned());
        }
    }

    /// The site whose local users sign in at this one.
    pub fn users_of<'c>(&self, site: &'c Site) -> &'c str {
        site.users.as_ref().map_or(site.name.as_ref().as_str(), |users| users.as_ref().as_str())
    }

    /// The names of the sites at which the local users of `owner` sign in.
    pub fn sites_with_users_of(&self, owner: &str) -> Vec<String> {
        let sites = self.sites.iter().map(Spanned::as_ref);
        let shared = sites.filter(|site| site.sign_in == SignIn::Local && self.users_of(site) == owner);
        shared.map(|site| site.name.as_ref().clone()).collect()
    }

    /// The hosts of the sites whose `public_url` is https.
    fn secure_hosts(&self) -> impl Iterator<Item = &PublicHost> {
        let urls = self.sites.iter().map(|site| site.as_ref().public_url.as_ref());
        urls.filter(|url| url.scheme() == Scheme::Https).map(url::SiteUrl::host)
    }

    /// Where it keeps certificates that it fetches by itself, if it does.
    pub(crate) fn acme_folder(&self) -> Option<PathBuf> {
        let settings = self.server.tls.acme.as_ref()?.as_ref();
        let StoreUrl::Sqlite(database) = &self.store.url;
        let folder = settings.folder.clone().unwrap_or_else(|| database.with_file_name("acme"));
        Some(self.folder.join(folder))
    }

    /// The names for which the gate fetches certificates by itself: none that `covers` has from elsewhere.
    pub(crate) fn acme_names(&self, covers: impl Fn(&str) -> bool) -> Vec<acme::Name> {
        let Some(settings) = &self.server.tls.acme else { return Vec::new() };
        let mut names = settings.as_ref().wanted(self.secure_hosts());
        names.retain(|name| !covers(name.as_str()));
        names
    }

    /// The secret itself.
    ///
    /// # Errors
    /// One sentence that names the file or variable, when it cannot be had.
    pub fn secret(&self, source: &SecretSource) -> Result<Secret, String> {
        let text = match source {
            SecretSource::Text(text) => text.clone(),
            SecretSource::Env(source) => std::env::var(&source.env)
                .map_err(|_| format!("the environment variable {} is not set", source.env))?,
            SecretSource::File(source) => {
                let file = self.folder.join(&source.file);
                let text = std::fs::read_to_string(&file)
                    .map_err(|error| format!("the secret {} cannot be read: {error}", file.display()))?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        if text.is_empty() { Err("a secret is empty".to_owned()) } else { Ok(Secret::new(text)) }
    }

    /// Tries what the file points to, without making or changing anything: secrets, certificates, templates.
    pub fn try_files(&self, file: &Path) -> Vec<Finding> {
        let headers = self.sites.iter().filter_map(|site| site.as_ref().password_reset.header.as_ref());
        let mut sentences: Vec<String> =
            headers.filter_map(|header| self.secret(&header.value).err()).collect();
        sentences.extend(mail::check(self));
        sentences.extend(self.store.secret.check(&self.folder).err().map(|error| error.to_string()));
        let authorities = self.sites.iter().filter_map(|site| site.as_ref().forward.ca.as_ref());
        sentences.extend(authorities.filter_map(|ca| tls::read_authorities(&self.folder.join(ca)).err()));
        let mut warnings = Vec::new();
        if self.server.tls.is_on() {
            let hosts = self.secure_hosts();
            match listen::tls::load(&self.server.tls, &self.folder, Arc::new(Acme::off())) {
                Err(sentence) => sentences.push(sentence),
                Ok(_) => warnings.extend(listen::tls::warnings(
                    &self.server.tls,
                    &self.folder,
                    hosts,
                    &self.acme_names(|_| false),
                    SystemClock.now(),
                )),
            }
        }
        sentences.extend(
            self.server.tls.acme.as_ref().and_then(|acme| acme.as_ref().try_files(&self.folder).err()),
        );
        match pages::Pages::load(&self.pages) {
            Ok(pages) => {
                warnings.extend(pages.warnings().iter().map(ToString::to_string));
                sentences.extend(mail::Mails::load(&self.pages, &pages).err().map(|error| error.to_string()));
            }
            Err(error) => sentences.push(error.to_string()),
        }
        let errors = sentences.into_iter().map(|sentence| Finding::error(file, "", 0, sentence));
        errors.chain(warnings.into_iter().map(|sentence| Finding::warning(file, "", 0, sentence))).collect()
    }
}

/// Whether a network is larger than any that is one operator's, such as 10.0.0.0/8 and fc00::/7. Two halves are everyone, too.
fn is_half_the_world(network: &ipnet::IpNet) -> bool {
    match network {
        ipnet::IpNet::V4(network) => network.prefix_len() < 8,
        ipnet::IpNet::V6(network) => network.prefix_len() < 7,
    }
}
