//! `[[cms]]` of `proxy.toml`: dialogues that an operator describes, there or in files of their own.

use std::path::Path;

use toml::Spanned;

use super::{Config, Finding, Site, finding};
use crate::cms::{Description, Dialogue, DialogueError};

impl Config {
    /// The dialogue of a site.
    ///
    /// # Errors
    /// What is wrong, in a sentence: there is none of that name, or it has no such settings.
    pub fn dialogue(&self, site: &Site) -> Result<Dialogue, String> {
        self.dialogue_named(site.cms.as_ref(), site)
    }

    /// The dialogue of this name, as it would be for a site.
    ///
    /// # Errors
    /// As [`Self::dialogue`].
    pub fn dialogue_named(&self, name: &str, site: &Site) -> Result<Dialogue, String> {
        let own = self.dialogues.iter().map(Spanned::as_ref).find(|own| own.name() == Some(name));
        let found = match own {
            Some(own) => Some(own.dialogue(&site.cms_settings)),
            None => Description::built_in(name)
                .map(|found| found.and_then(|found| found.dialogue(&site.cms_settings))),
        };
        match found {
            Some(dialogue) => dialogue.map_err(|error| error.message),
            None => {
                let mut known: Vec<&str> = Dialogue::names().collect();
                known.extend(self.dialogues.iter().filter_map(|own| own.as_ref().name()));
                Err(format!("there is no dialogue `{name}`; {}", finding::nearest(name, &known)))
            }
        }
    }

    /// Reads the files of `[[cms]]`, puts what they say in its place, and says what is wrong with any.
    pub(super) fn read_dialogues(&mut self, file: &Path, text: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut names: Vec<String> = Dialogue::names().map(str::to_owned).collect();
        for written in &mut self.dialogues {
            let start = written.span().start;
            let mut error = |file: &Path, text: &str, within: usize, error: DialogueError| {
                let offset = if error.offset == 0 { within } else { error.offset };
                findings.push(Finding::error(file, text, offset, finding::explain(&error.message, "")));
            };
            match written.as_ref().file().map(|name| self.folder.join(name)) {
                None => {
                    if let Err(wrong) = written.as_ref().dialogue(&Default::default()) {
                        error(file, text, start, wrong);
                        continue;
                    }
                }
                Some(path) => {
                    self.read_files.push(path.clone());
                    let read = std::fs::read_to_string(&path);
                    let other = match read {
                        Ok(other) => other,
                        Err(why) => {
                            let message = format!("{} cannot be read: {why}", path.display());
                            error(file, text, start, DialogueError { offset: 0, message });
                            continue;
                        }
                    };
                    let described = Description::from_toml(&other).and_then(|described| {
                        described.dialogue(&Default::default())?;
                        Ok(described)
                    });
                    match described {
                        Err(wrong) => {
                            error(&path, &other, 0, wrong);
                            continue;
                        }
                        Ok(described) if written.as_ref().is_more_than_file(&described) => {
                            let message =
                                "a [[cms]] with a `file` says nothing else; its `name` is the file's own"
                                    .to_owned();
                            error(file, text, start, DialogueError { offset: 0, message });
                            continue;
                        }
                        Ok(described) => *written.as_mut() = described,
                    }
                }
            }
            let name = written.as_ref().name().unwrap_or_default().to_owned();
            if names.contains(&name) {
                let message =
                    format!("there is another dialogue named `{name}`; give each a name of its own");
                error(file, text, start, DialogueError { offset: 0, message });
            }
            names.push(name);
        }
        findings
    }
}
