//! `proxy.toml`, read once into values that need no further checking.
//!
//! Each module owns the type of its own section; this one composes them, checks what concerns several of
//! them, and says of every mistake where it is, what is wrong and what would be right.

mod backends;
mod check;
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
use self::check::Check;
use self::finding::explain;
pub use self::finding::{Finding, Severity};
pub use self::site::{SignIn, Site, VirtualHosting};
use self::url::Scheme;
use self::values::SecretSource;
use crate::acme::{self, Acme};
use crate::admit::PublicHost;
use crate::clock::{Clock as _, SystemClock};
use crate::cms::Description;
use crate::secret::Secret;
use crate::store::StoreUrl;
use crate::{admin, limits, listen, mail, observe, pages, password, session, store, tls};

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
        let bytes = std::fs::read(file).map_err(|error| {
            vec![Finding::error(file, "", 0, format!("cannot be read: {error}; name another file with --config, or see that this one is there and may be read"))]
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            vec![Finding::error(
                file,
                &text,
                good,
                "is no text in UTF-8 from here on; save it in that encoding".to_owned(),
            )]
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
            let span = error.span().unwrap_or_default();
            let place = text.get(span.clone()).unwrap_or_default();
            vec![Finding::error(file, text, span.start, explain(error.message(), place))]
        })?;
        if let Some(templates) = &mut config.pages.templates {
            *templates = folder.join(&templates);
        }
        config.folder = folder;
        let mut found = config.read_dialogues(file, text);
        found.extend(Check::of(&config, file, text));
        let (errors, warnings) = found.into_iter().partition::<Vec<_>, _>(Finding::is_error);
        if errors.is_empty() { Ok((config, warnings)) } else { Err(errors) }
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
