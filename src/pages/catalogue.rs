//! What the pages say: one Fluent catalogue a language.
//!
//! Ours are embedded. A file `messages/<language>.ftl` in the operator's folder replaces single messages of a
//! language we have, or adds a language we have not; what it leaves unsaid stays ours (English for a new language).

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use minijinja::value::{Kwargs, Object, Value, from_args};
use minijinja::{Error, ErrorKind, State};
use unic_langid::{CharacterDirection, LanguageIdentifier};

use super::language::Language;
use super::problem::{Problem, line_of};

/// The embedded catalogues; the first also stands in for what a new language leaves unsaid.
pub(super) const EMBEDDED: [(&str, &str); 2] =
    [("en", include_str!("messages/en.ftl")), ("fr", include_str!("messages/fr.ftl"))];

/// The message that holds a language's own name for itself.
const NAME: &str = "language-name";

/// All that the pages can say in one language.
pub(super) struct Catalogue {
    language: Language,
    right_to_left: bool,
    bundle: FluentBundle<FluentResource>,
}

impl Catalogue {
    fn new(tag: &str, base: &str) -> Result<Self, String> {
        let identifier: LanguageIdentifier = tag.parse().map_err(|_| {
            format!("`{tag}` is no language tag; name the file after one, such as de.ftl or pt-BR.ftl")
        })?;
        let right_to_left = identifier.character_direction() == CharacterDirection::RTL;
        let language = Language::new(&identifier.to_string());
        let mut bundle = FluentBundle::new_concurrent(vec![identifier]);
        // The marks would get in the way of everyone who searches a page for what it says.
        bundle.set_use_isolating(false);
        let (Ok(resource) | Err((resource, _))) = FluentResource::try_new(base.to_owned());
        bundle.add_resource_overriding(resource);
        Ok(Self { language, right_to_left, bundle })
    }

    /// Lays an operator's file over what is there.
    fn overlay(&mut self, file: &Path, source: String) -> Result<(), Vec<Problem>> {
        match FluentResource::try_new(source) {
            Ok(resource) => {
                self.bundle.add_resource_overriding(resource);
                Ok(())
            }
            Err((resource, errors)) => Err(errors
                .iter()
                .map(|error| {
                    let line = line_of(resource.source(), error.pos.start);
                    Problem::new(file, Some(line), format!("this is no Fluent message: {error}"))
                })
                .collect()),
        }
    }

    pub(super) fn language(&self) -> &Language {
        &self.language
    }

    /// `ltr` or `rtl`, for `dir`.
    pub(super) fn direction(&self) -> &'static str {
        if self.right_to_left { "rtl" } else { "ltr" }
    }

    /// The language's own name for itself.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match self.say(NAME, &[]) {
            Ok(name) => Cow::Owned(name),
            Err(_) => Cow::Borrowed(self.language.as_str()),
        }
    }

    /// The message `id`, with `variables` put in. An unknown message or variable is an error that names it.
    pub(super) fn say(&self, id: &str, variables: &[(&str, FluentValue<'_>)]) -> Result<String, Unsaid> {
        let arguments: FluentArgs<'_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let unsaid = |why: String| Unsaid { id: id.to_owned(), language: self.language.clone(), why };
        let pattern = self
            .bundle
            .get_message(id)
            .and_then(|message| message.value())
            .ok_or_else(|| unsaid("there is no such message".to_owned()))?;
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&arguments), &mut errors);
        match errors.first() {
            None => Ok(text.into_owned()),
            Some(error) => Err(unsaid(error.to_string())),
        }
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalogue({})", self.language)
    }
}

/// A message that could not be put into words.
#[derive(Debug, thiserror::Error)]
#[error("message `{id}` ({language}): {why}")]
pub(super) struct Unsaid {
    id: String,
    language: Language,
    why: String,
}

impl From<Unsaid> for Error {
    fn from(unsaid: Unsaid) -> Self {
        Self::new(ErrorKind::InvalidOperation, unsaid.to_string())
    }
}

/// `t` in a template: `{{ t('sign-out-text', site=site) }}`. Its text is escaped like any other.
#[derive(Debug)]
pub(super) struct Translate(pub(super) Arc<Catalogue>);

impl Object for Translate {
    fn call(self: &Arc<Self>, _state: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let (id, named): (&str, Kwargs) = from_args(arguments)?;
        let mut variables = Vec::new();
        for name in named.args() {
            let value: Value = named.get(name)?;
            let value = match f64::try_from(value.clone()) {
                Ok(number) if value.is_number() => FluentValue::from(number),
                _ => FluentValue::from(value.to_string()),
            };
            variables.push((name, value));
        }
        Ok(Value::from(self.0.say(id, &variables)?))
    }
}

/// What [`load`] gives: the catalogues, and what an operator may want to know.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) catalogues: Vec<Arc<Catalogue>>,
    pub(super) warnings: Vec<Problem>,
}

/// The embedded catalogues with the operator's laid over them.
pub(super) fn load(folder: Option<&Path>) -> Result<Loaded, Vec<Problem>> {
    let mut catalogues = Vec::new();
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    for (tag, source) in EMBEDDED {
        match Catalogue::new(tag, source) {
            Ok(catalogue) => catalogues.push(catalogue),
            Err(what) => problems.push(Problem::new(Path::new(tag), None, what)),
        }
    }
    for file in folder.map(|folder| super::files_of(&folder.join("messages"), "ftl")).unwrap_or_default() {
        if let Err(found) = add(&mut catalogues, &mut warnings, &file) {
            problems.extend(found);
        }
    }
    if problems.is_empty() {
        Ok(Loaded { catalogues: catalogues.into_iter().map(Arc::new).collect(), warnings })
    } else {
        Err(problems)
    }
}

/// Adds one file of the operator's.
fn add(
    catalogues: &mut Vec<Catalogue>,
    warnings: &mut Vec<Problem>,
    file: &Path,
) -> Result<(), Vec<Problem>> {
    let problem = |what: String| vec![Problem::new(file, None, what)];
    let source = fs::read_to_string(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    let tag = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let [(_, english), ..] = EMBEDDED;
    let mut catalogue = Catalogue::new(tag, english).map_err(problem)?;
    if let Some(known) = catalogues.iter_mut().find(|known| known.language == catalogue.language) {
        return known.overlay(file, source);
    }
    let said = ids(&source);
    if !said.iter().any(|id| id == NAME) {
        return Err(problem(format!("a new language must say its own name: add `{NAME} = …`")));
    }
    let unsaid: Vec<_> = ids(english).into_iter().filter(|id| !said.contains(id)).collect();
    if !unsaid.is_empty() {
        let what = format!("{} messages are missing and stay English: {}", unsaid.len(), unsaid.join(", "));
        warnings.push(Problem::new(file, None, what));
    }
    catalogue.overlay(file, source)?;
    catalogues.push(catalogue);
    Ok(())
}

/// The ids of the messages in a Fluent source: a line that starts with one.
fn ids(source: &str) -> Vec<String> {
    source
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_alphabetic()))
        .filter_map(|line| line.split_once('='))
        .map(|(id, _)| id.trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The variables of each message, taken from the source: `$name`.
    fn variables(source: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut current = String::new();
        for line in source.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            if !line.starts_with(' ') {
                current = line.split_once('=').expect("an id").0.trim().to_owned();
                assert!(all.insert(current.clone(), BTreeSet::new()).is_none(), "{current} is there twice");
            }
            for rest in line.split('$').skip(1) {
                let name = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                all.get_mut(&current).expect("known").insert(name.to_owned());
            }
        }
        all
    }

    #[test]
    fn every_language_says_the_same_things_with_the_same_variables() {
        let [(_, english), (_, french)] = EMBEDDED;
        assert_eq!(variables(english), variables(french));
        assert_eq!(
            variables(english).into_keys().collect::<BTreeSet<_>>(),
            ids(english).into_iter().collect()
        );
    }

    #[test]
    fn the_embedded_catalogues_are_fluent_throughout() {
        for (tag, source) in EMBEDDED {
            let errors = FluentResource::try_new(source.to_owned()).err().map(|(_, errors)| errors);
            assert_eq!(errors, None, "{tag}");
        }
    }

    #[test]
    fn french_is_set_as_french_is_set() {
        let (_, french) = EMBEDDED[1];
        for line in french.lines().filter(|line| !line.starts_with('#')) {
            let text = line.split_once(" = ").map_or(line, |(_, text)| text);
            assert!(!text.contains('\''), "straight apostrophe: {line}");
            for mark in ["?", "!", ";", ":"] {
                assert!(!text.contains(&format!(" {mark}")), "breaking space before {mark}: {line}");
            }
            for (mark, space) in [('?', '\u{202f}'), ('!', '\u{202f}'), (';', '\u{202f}'), (':', '\u{a0}')] {
                for (at, _) in text.match_indices(mark) {
                    assert_eq!(text[..at].chars().next_back(), Some(space), "space before {mark}: {line}");
                }
            }
        }
    }

    #[test]
    fn plurals_follow_the_language() {
        let loaded = load(None).expect("embedded");
        #[rustfmt::skip]
        let table = [
            ("en", 1, "one minute"), ("en", 0, "0 minutes"), ("en", 5, "5 minutes"),
            ("fr", 1, "une minute"), ("fr", 5, "5 minutes"),
        ];
        for (tag, count, expected) in table {
            let catalogue = loaded.catalogues.iter().find(|c| c.language.as_str() == tag).expect(tag);
            let text = catalogue.say("span-minutes", &[("count", FluentValue::from(count))]);
            assert_eq!(text.ok().as_deref(), Some(expected), "{tag} {count}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        let loaded = load(None).expect("embedded");
        let unknown = loaded.catalogues[0].say("no-such-thing", &[]).expect_err("unknown");
        assert_eq!(unknown.to_string(), "message `no-such-thing` (en): there is no such message");
        let missing = loaded.catalogues[1].say("in-span", &[]).expect_err("no variable");
        assert!(missing.to_string().starts_with("message `in-span` (fr): "), "{missing}");
    }
}
