//! The templates: ours, embedded, and the operator's in their place.
//!
//! Escaping is always on and an unknown name is an error, so a template cannot let outside text become markup unless
//! the operator writes `|safe`.

use std::fs;
use std::path::Path;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use super::problem::Problem;

/// The embedded templates. Those with a leading underscore are parts of others.
const EMBEDDED: [(&str, &str); 10] = [
    ("base.html", include_str!("templates/base.html")),
    ("_field.html", include_str!("templates/_field.html")),
    ("sign-in.html", include_str!("templates/sign-in.html")),
    ("sign-out.html", include_str!("templates/sign-out.html")),
    ("forgot-password.html", include_str!("templates/forgot-password.html")),
    ("reset-password.html", include_str!("templates/reset-password.html")),
    ("message.html", include_str!("templates/message.html")),
    ("error.html", include_str!("templates/error.html")),
    ("held.html", include_str!("templates/held.html")),
    ("account.html", include_str!("templates/account.html")),
];

/// A set of templates that can be rendered.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// Ours alone.
    pub(super) fn embedded() -> Result<Self, Vec<Problem>> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, source) in EMBEDDED {
            environment.add_template(name, source).map_err(|error| vec![problem(&error, None)])?;
        }
        Ok(Self(environment))
    }

    /// Lays the `*.html` of `folder` over ours. A file that replaces none of ours is a part for the others to
    /// include; if its name looks like a slip, that is a warning.
    pub(super) fn overlay(&mut self, folder: &Path) -> Result<Vec<Problem>, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut warnings = Vec::new();
        for file in super::files_of(folder, "html") {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if !name.starts_with('_') && EMBEDDED.iter().all(|(known, _)| *known != name) {
                let nearest = EMBEDDED.iter().map(|(known, _)| (*known, strsim::jaro_winkler(known, &name)));
                let nearest = nearest.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or("", |(known, _)| known);
                let what = format!(
                    "replaces no page of the gate; did you mean {nearest}? (A part for other templates begins with _)"
                );
                warnings.push(Problem::new(&file, None, what));
            }
            match fs::read_to_string(&file) {
                Err(error) => problems.push(Problem::new(&file, None, format!("cannot be read: {error}"))),
                Ok(source) => {
                    if let Err(error) = self.0.add_template_owned(name, source) {
                        problems.push(problem(&error, Some(folder)));
                    }
                }
            }
        }
        if problems.is_empty() { Ok(warnings) } else { Err(problems) }
    }

    pub(super) fn render(&self, name: &str, context: Value) -> Result<String, Error> {
        self.0.get_template(name)?.render(context)
    }
}

/// A template error as a finding: the innermost cause that knows its place.
pub(super) fn problem(error: &Error, folder: Option<&Path>) -> Problem {
    let mut innermost = error;
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        if let Some(next) = next.downcast_ref::<Error>().filter(|next| next.name().is_some()) {
            innermost = next;
        }
        cause = next.source();
    }
    let name = innermost.name().unwrap_or("template");
    let file = folder.map_or_else(|| Path::new(name).to_owned(), |folder| folder.join(name));
    let detail = innermost.detail().map_or_else(|| innermost.kind().to_string(), str::to_owned);
    Problem::new(&file, innermost.line(), format!("the template cannot be used: {detail}"))
}
