//! The gate's own pages: how they look, speak and are written.
//!
//! A handler says *what* to show as a [`Page`] and *where* it stands as [`Around`]; [`Pages::render`] makes the
//! response with all its headers. Scripts get the same words by [`Pages::detail`] and [`json_error`].
//!
//! | file | what |
//! |---|---|
//! | `page` | the pages there are, as values |
//! | `view` | from a page to template, status and words |
//! | `templates`, `catalogue`, `assets` | ours, embedded, and the operator's in their place |
//! | `language`, `href`, `response`, `problem` | which language; safe links; headers; findings |
//!
//! # What it defends against
//! Outside text never becomes markup (escaping is always on), a script (no inline script passes the CSP), a header
//! (no outside text goes into one) or a link that leaves the site (`href`). Pages are not cached, framed, indexed,
//! or named to other sites. An operator's template is tried on every page in every language before it serves anyone;
//! if it still fails, ours is shown in its place.
//!
//! It does not check a CSRF token, and it believes that `next` was checked.
//!
//! # For handlers: `Referrer-Policy: no-referrer` and `Origin`
//! With that policy browsers send `Origin: null` when one of these forms is posted, same-origin or not (Fetch
//! standard, "serializing a request origin"). Tell the sites apart by `Sec-Fetch-Site`; `null` alone proves nothing.

mod assets;
mod catalogue;
mod href;
mod language;
mod page;
mod problem;
mod response;
mod speaker;
mod templates;
#[cfg(test)]
mod tests;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fluent_bundle::FluentValue;
use http::Response;
use minijinja::{Value, context};
use schemars::JsonSchema;
use serde::Deserialize;

pub use assets::Asset;
pub use language::{LANGUAGE_COOKIE, LANGUAGE_PARAMETER, Language};
pub use page::{
    ChangeError, ChangeForm, DeadLink, ErrorKind, ForgotError, HeldLine, Page, ResetError, SessionLine,
    SignInError, SignInNotice,
};
pub use problem::{LoadError, Problem};
pub use response::{CONTENT_SECURITY_POLICY, json_error, set_retry_after};
pub use speaker::Speaker;

use assets::Assets;
use catalogue::{Catalogue, Translate};
use templates::Templates;
use view::{Sheet, View};

/// `[pages]` of proxy.toml.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A folder whose `*.html`, `messages/*.ftl` and `assets/*` replace ours, file by file. Default: none.
    pub templates: Option<PathBuf>,
    /// The language for visitors who asked for none that there is. Default: `"en"`.
    pub default_language: String,
    /// The languages to offer; empty, the default, offers all there are. The default language must be among them.
    pub languages: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { templates: None, default_language: "en".to_owned(), languages: Vec::new() }
    }
}

/// Where a page is shown: the same for every page of one request.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The site's name, as people call it. `None` where no site is known (421).
    pub site_name: Option<&'a str>,
    /// The public path of the gate's own pages, such as `/_gate`.
    pub prefix: &'a str,
    /// The public path of the site's front page, such as `/`.
    pub home: &'a str,
    /// The language, from [`Pages::language`].
    pub language: &'a Language,
    /// The id of the request that the log shows too.
    pub request_id: &'a str,
    /// Path and query of this page, for the link to another language; `None` shows no such link (a page that came of
    /// something other than a GET and has no address of its own, or stands at a path of the CMS).
    pub here: Option<&'a str>,
    /// Whether there is a forgotten-password page to link to.
    pub forgot_password: bool,
}

/// All pages, ready to be shown.
#[derive(Debug)]
pub struct Pages {
    templates: Templates,
    /// Ours, for when the operator's fail; `None` if the operator has none.
    fallback: Option<Templates>,
    /// The languages on offer; the first is the default.
    catalogues: Vec<Arc<Catalogue>>,
    languages: Vec<Language>,
    assets: Arc<Assets>,
    warnings: Vec<Problem>,
}

impl Pages {
    /// Reads the operator's files, if any, over ours, and tries every page in every language.
    ///
    /// # Errors
    /// Everything that is wrong with those files, with file and line where there is one.
    pub fn load(settings: &Settings) -> Result<Self, LoadError> {
        let folder = settings.templates.as_deref();
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(
                Problem::new(folder, None, "`[pages] templates` must be a folder that can be read").into()
            );
        }
        let mut problems = Vec::new();
        let loaded = catalogue::load(folder).map_err(|found| problems.extend(found));
        let assets = Assets::load(folder).map_err(|found| problems.extend(found));
        let mut warnings = Vec::new();
        let templates = Templates::embedded().and_then(|mut templates| {
            if let Some(folder) = folder {
                warnings.extend(templates.overlay(folder)?);
            }
            Ok(templates)
        });
        let templates = templates.map_err(|found| problems.extend(found));
        let fallback = folder.map(|_| Templates::embedded()).transpose();
        let fallback = fallback.map_err(|found| problems.extend(found));
        let (Ok(loaded), Ok(assets), Ok(templates), Ok(fallback)) = (loaded, assets, templates, fallback)
        else {
            return Err(LoadError { problems });
        };
        warnings.extend(loaded.warnings);
        let catalogues = offered(loaded.catalogues, settings)?;
        let languages = catalogues.iter().map(|catalogue| catalogue.language().clone()).collect();
        let pages = Self { templates, fallback, catalogues, languages, assets: Arc::new(assets), warnings };
        match folder {
            Some(folder) => pages.tried(folder),
            None => Ok(pages),
        }
    }

    /// What is odd about the operator's files but does no harm.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The language for a visitor: what the link asks for (the value of [`LANGUAGE_PARAMETER`]), what was chosen before
    /// (the value of [`LANGUAGE_COOKIE`]), what the browser prefers (`Accept-Language`), the default.
    pub fn language(
        &self,
        query: Option<&str>,
        cookie: Option<&str>,
        accept_language: Option<&str>,
    ) -> Language {
        language::negotiate(&self.languages, query, cookie, accept_language)
            .or(self.languages.first())
            .cloned()
            .unwrap_or_else(|| Language::new("en"))
    }

    /// The language that `query`, the value of [`LANGUAGE_PARAMETER`], asks for, if there is it: worth a cookie.
    pub fn asked_language(&self, query: &str) -> Option<Language> {
        language::negotiate(&self.languages, Some(query), None, None).cloned()
    }

    /// The page as a response, with its status and every header that a page of the gate carries. It stands at
    /// `Retry-After`, too, where the page says how long to wait. A HEAD wants the same without the body.
    pub fn render(&self, page: Page<'_>, around: &Around<'_>) -> Response<Bytes> {
        let Some(catalogue) = self.catalogue(around.language) else { return last_resort(around) };
        let rendered = self.try_render(&self.templates, catalogue, page, around).or_else(|error| {
            tracing::error!(%error, request_id = around.request_id, "a page could not be rendered");
            let ours = self.fallback.as_ref().ok_or(error)?;
            self.try_render(ours, catalogue, page, around)
        });
        rendered.unwrap_or_else(|error| {
            tracing::error!(%error, request_id = around.request_id, "no page could be rendered");
            last_resort(around)
        })
    }

    /// What the page says, as plain text in the visitor's language: the `detail` of a JSON answer.
    pub fn detail(&self, page: Page<'_>, around: &Around<'_>) -> String {
        let catalogue = self.catalogue(around.language);
        let sheet = catalogue.and_then(|words| View { words, around }.sheet(page).ok());
        sheet.map(|sheet| sheet.detail()).unwrap_or_default()
    }

    /// What speaks in every language on offer, the default first.
    pub fn speakers(&self) -> impl Iterator<Item = Speaker> {
        self.catalogues.iter().map(|catalogue| Speaker(Arc::clone(catalogue)))
    }

    /// What speaks `language`, or else the default.
    pub fn speaker(&self, language: &Language) -> Option<Speaker> {
        self.catalogue(language).map(|catalogue| Speaker(Arc::clone(catalogue)))
    }

    /// The file of this name behind `<prefix>/assets/`.
    pub fn asset(&self, name: &str) -> Option<Asset> {
        self.assets.find(name)
    }

    fn catalogue(&self, language: &Language) -> Option<&Arc<Catalogue>> {
        let known = self.catalogues.iter().find(|catalogue| catalogue.language() == language);
        known.or(self.catalogues.first())
    }

    fn try_render(
        &self,
        templates: &Templates,
        catalogue: &Arc<Catalogue>,
        page: Page<'_>,
        around: &Around<'_>,
    ) -> Result<Response<Bytes>, minijinja::Error> {
        let sheet = View { words: catalogue, around }.sheet(page)?;
        let next = match page {
            Page::SignIn { next, .. } | Page::SignOut { next, .. } | Page::ForgotPassword { next, .. } => {
                next
            }
            _ => "",
        };
        let own = |page| href::own(around.prefix, page, "");
        let links = context! {
            sign_in => own("login"),
            sign_out => own("logout"),
            forgot_password => around.forgot_password.then(|| href::own(around.prefix, "forgot-password", next)),
            reset_password => own("reset-password"),
            account => own("account"),
            home => around.home,
        };
        let head_title = self.head_title(catalogue, &sheet, around)?;
        let alert = sheet.alert.map(
            |alert| context! { text => alert.text, quote => alert.quote, fields => alert.fields.to_vec() },
        );
        let common = context! {
            t => Value::from_dyn_object(Arc::new(Translate(Arc::clone(catalogue)))),
            asset => self.asset_function(around.prefix),
            lang => catalogue.language().as_str(),
            dir => catalogue.direction(),
            languages => self.other_languages(catalogue, around),
            site_name => around.site_name,
            site => self.site(catalogue, around)?,
            title => sheet.title,
            head_title,
            text => sheet.text,
            notice => sheet.notice,
            alert,
            focus => sheet.focus,
            tone => sheet.tone,
            request_id => sheet.quotable.then_some(around.request_id).filter(|id| !id.is_empty()),
            links,
        };
        let body = templates.render(sheet.template, context! { ..sheet.own, ..common })?;
        Ok(response::page(sheet.status, catalogue.language().as_str(), sheet.retry_after, body))
    }

    /// `asset('gate.css')` in a template: its address.
    fn asset_function(&self, prefix: &str) -> Value {
        let assets = Arc::clone(&self.assets);
        let prefix = href::own(prefix, "assets", "");
        Value::from_function(move |name: &str| {
            let unknown = || {
                let what = format!(
                    "there is no asset {name:?}; put it into the folder `assets` beside the templates"
                );
                minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, what)
            };
            Ok(format!("{prefix}/{}", assets.hashed(name).ok_or_else(unknown)?))
        })
    }

    fn other_languages(&self, current: &Catalogue, around: &Around<'_>) -> Vec<Value> {
        let Some(here) = around.here else { return Vec::new() };
        let others = self.catalogues.iter().filter(|other| other.language() != current.language());
        let link = |other: &Arc<Catalogue>| {
            let tag = other.language().as_str();
            context! { tag, name => other.name(), href => href::in_language(here, tag) }
        };
        others.map(link).collect()
    }

    fn site(&self, words: &Catalogue, around: &Around<'_>) -> Result<String, minijinja::Error> {
        Ok(around.site_name.map_or_else(|| words.say("this-site", &[]), |name| Ok(name.to_owned()))?)
    }

    /// What stands in the tab: an error is announced first, because that is what is read first.
    fn head_title(
        &self,
        words: &Catalogue,
        sheet: &Sheet,
        around: &Around<'_>,
    ) -> Result<String, minijinja::Error> {
        let title = match &sheet.alert {
            Some(_) => words.say("page-title-error", &[("page", FluentValue::from(sheet.title.as_str()))])?,
            None => sheet.title.clone(),
        };
        let Some(site) = around.site_name else { return Ok(title) };
        Ok(words.say("page-title", &[("title", title.into()), ("site", site.into())])?)
    }

    /// Tries every page in every language, so that a mistake shows at start and not to a visitor.
    fn tried(self, folder: &Path) -> Result<Self, LoadError> {
        let moment = Duration::from_secs(60);
        let sessions = [SessionLine { current: true, client: "192.0.2.1", age: moment, idle: moment }];
        let forms =
            [HeldLine { id: "sample", path: "/sample", action: "/sample", age: moment, unclear: true }];
        let mut problems: Vec<Problem> = Vec::new();
        for catalogue in &self.catalogues {
            for page in page::specimens("/sample", &sessions, &forms) {
                let around = Around {
                    site_name: Some("Sample"),
                    prefix: "/_gate",
                    home: "/",
                    language: catalogue.language(),
                    request_id: "sample",
                    here: Some("/_gate/login"),
                    forgot_password: true,
                };
                if let Err(error) = self.try_render(&self.templates, catalogue, page, &around) {
                    let problem = templates::problem(&error, Some(folder));
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(LoadError { problems }) }
    }
}

/// The catalogues that the settings ask for, the default first.
fn offered(all: Vec<Arc<Catalogue>>, settings: &Settings) -> Result<Vec<Arc<Catalogue>>, LoadError> {
    let known = all.iter().map(|catalogue| catalogue.language().as_str()).collect::<Vec<_>>().join(", ");
    let named = |tag: &String| {
        all.iter()
            .find(|catalogue| catalogue.language().as_str().eq_ignore_ascii_case(tag))
            .cloned()
            .ok_or_else(|| {
                let what = format!("`[pages]` names the language `{tag}`, but there is only: {known}");
                LoadError::from(Problem::new(Path::new("proxy.toml"), None, what))
            })
    };
    let default = named(&settings.default_language)?;
    let wanted = match settings.languages.as_slice() {
        [] => all.clone(),
        some => some.iter().map(named).collect::<Result<_, _>>()?,
    };
    if !wanted.iter().any(|catalogue| catalogue.language() == default.language()) {
        let what =
            format!("`[pages] languages` must contain the default language, `{}`", settings.default_language);
        return Err(Problem::new(Path::new("proxy.toml"), None, what).into());
    }
    let others = wanted.iter().filter(|catalogue| catalogue.language() != default.language()).cloned();
    Ok(std::iter::once(default.clone()).chain(others).collect())
}

/// Plain words for when nothing else works; a page must never be the reason that there is no answer.
fn last_resort(around: &Around<'_>) -> Response<Bytes> {
    json_error(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "Something went wrong.",
        around.request_id,
        [],
    )
}

/// The files in `folder` whose name ends in `.extension`, sorted; none if there is no such folder.
fn files_of(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|found| found == extension) && path.is_file())
        .collect();
    files.sort();
    files
}
