//! What the gate's own mails say: templates of ours, embedded, and the operator's in their place.
//!
//! A mail is made of two templates. `NAME.txt` begins with lines `Subject: …` and, if the sender is to be another than `[mail] from`,
//! `From: Name <address>`; behind an empty line stands the text. `NAME.html` is the same for readers who like it set; there every value
//! is escaped. A file in the folder `mail` beside the pages' templates replaces ours; one named `NAME.LANGUAGE.txt` or `.html` does so for
//! one language alone. The words come from the same catalogues as the pages' (`t('…')`), in the visitor's language or else the default.
//!
//! Variables: `link`, `site`, `user_name` (as stored, never as typed), `requester_address`, `expiry`.
//!
//! # What it defends against
//! Whoever asks for a mail has no part in it but the address that the gate sees them come from, and the choice among the languages
//! there are. Control characters are taken out of every value, so that none begins a line; the header is built by lettre.

use std::path::Path;

use lettre::message::Mailbox;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use crate::pages::{LoadError, Pages, Problem, Settings, Speaker};

/// The mails there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `reset-link`: the link to choose a new password with.
    ResetLink,
    /// `password-reset`: a new password was set by such a link.
    PasswordReset,
    /// `password-changed`: a new password was set by who was signed in.
    PasswordChanged,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ResetLink, Self::PasswordReset, Self::PasswordChanged];

    /// The name of its templates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResetLink => "reset-link",
            Self::PasswordReset => "password-reset",
            Self::PasswordChanged => "password-changed",
        }
    }
}

/// The embedded templates. The layout of both notices is the same.
const EMBEDDED: [(&str, &str); 7] = [
    ("_layout.html", include_str!("templates/_layout.html")),
    ("reset-link.txt", include_str!("templates/reset-link.txt")),
    ("reset-link.html", include_str!("templates/reset-link.html")),
    ("password-reset.txt", include_str!("templates/password-reset.txt")),
    ("password-reset.html", include_str!("templates/password-reset.html")),
    ("password-changed.txt", include_str!("templates/password-changed.txt")),
    ("password-changed.html", include_str!("templates/password-changed.html")),
];

/// What a template may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Values<'v> {
    /// Where to go: for `ResetLink` the reset link, else the page to ask for one.
    pub link: &'v str,
    /// The site's name.
    pub site: &'v str,
    /// The user's name, as stored.
    pub user_name: &'v str,
    /// The address that it was done from, as the gate sees it.
    pub requester_address: &'v str,
    /// How long the link works, in words; empty where there is none.
    pub expiry: &'v str,
}

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The sender, if it is another than `[mail] from`.
    pub from: Option<Mailbox>,
    /// One line.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// All templates, tried.
#[derive(Debug)]
pub struct Mails(Environment<'static>);

impl Mails {
    /// Reads the operator's files, if any, over ours, and tries every mail in every language.
    ///
    /// # Errors
    /// Everything that is wrong with those files.
    pub fn load(settings: &Settings, pages: &Pages) -> Result<Self, LoadError> {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        });
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut problems = Vec::new();
        let folder = settings.templates.as_ref().map(|folder| folder.join("mail"));
        let mut add = |name: String, source: String, file: &Path| {
            if let Err(error) = environment.add_template_owned(name, source) {
                problems.push(Problem::of_template(&error, file));
            }
        };
        for (name, source) in EMBEDDED {
            add(name.to_owned(), source.to_owned(), Path::new(name));
        }
        let mut unread = Vec::new();
        for file in folder.as_deref().map(files).unwrap_or_default() {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match std::fs::read_to_string(&file) {
                Ok(source) => add(name, source, &file),
                Err(error) => unread.push(Problem::of_file(&file, format!("cannot be read: {error}"))),
            }
        }
        problems.extend(unread);
        let mails = Self(environment);
        if problems.is_empty() {
            let place = folder.unwrap_or_default();
            for speaker in pages.speakers() {
                for kind in Kind::ALL {
                    if let Err(error) = mails.write(kind, &speaker, &Values::SPECIMEN) {
                        problems.push(Problem::of_file(&place.join(format!("{}.txt", kind.name())), error));
                    }
                }
            }
        }
        if problems.is_empty() { Ok(mails) } else { Err(LoadError { problems }) }
    }

    /// A mail in the language of `speaker`.
    ///
    /// # Errors
    /// What is wrong with a template, in a sentence.
    pub fn write(&self, kind: Kind, speaker: &Speaker, values: &Values<'_>) -> Result<Content, String> {
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let context = context! {
            t => speaker.translate(),
            lang => speaker.language().as_str(),
            dir => speaker.direction(),
            link => plain(values.link),
            site => plain(values.site),
            user_name => plain(values.user_name),
            requester_address => plain(values.requester_address),
            expiry => plain(values.expiry),
        };
        let text = self.render(kind, "txt", speaker, &context)?;
        let html = self.render(kind, "html", speaker, &context)?;
        let (head, text) = text
            .split_once("\n\n")
            .ok_or("the template must begin with `Subject: …`, followed by an empty line")?;
        let (mut from, mut subject) = (None, None);
        for line in head.lines() {
            match line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim())) {
                Some((name, value)) if name == "subject" && !value.is_empty() => {
                    subject = Some(value.to_owned())
                }
                Some((name, value)) if name == "from" => {
                    from = Some(
                        value
                            .parse()
                            .map_err(|_| format!("`From: {value}` is no sender; write Name <address>"))?,
                    );
                }
                _ => {
                    return Err(format!(
                        "`{line}` above the first empty line is neither `Subject: …` nor `From: …`"
                    ));
                }
            }
        }
        let subject = subject.ok_or("the template has no `Subject: …`")?;
        Ok(Content {
            from,
            subject,
            text: format!("{}\n", text.trim_end()),
            html: format!("{}\n", html.trim_end()),
        })
    }

    fn render(
        &self,
        kind: Kind,
        extension: &str,
        speaker: &Speaker,
        context: &Value,
    ) -> Result<String, String> {
        let own = format!("{}.{}.{extension}", kind.name(), speaker.language());
        let any = format!("{}.{extension}", kind.name());
        let template = self.0.get_template(&own).or_else(|_| self.0.get_template(&any));
        let rendered = template.and_then(|template| template.render(context));
        rendered.map(|text| text.replace("\r\n", "\n")).map_err(|error| {
            let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
            format!(
                "the template {}{line} cannot be used: {}",
                error.name().unwrap_or(&any),
                error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
            )
        })
    }
}

impl Values<'static> {
    /// Harmless ones, for trying and for looking at.
    pub const SPECIMEN: Self = Self {
        link: "https://www.example.org/_gate/reset-password?token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        site: "intranet",
        user_name: "jane.doe",
        requester_address: "192.0.2.1",
        expiry: "10 minutes",
    };
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_template = |path: &std::path::PathBuf| {
        path.is_file() && path.extension().is_some_and(|extension| extension == "txt" || extension == "html")
    };
    let mut files: Vec<_> = entries.filter(is_template).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mails(files: &[(&str, &str)]) -> (Result<Mails, LoadError>, Pages) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("mail")).unwrap();
        for (name, source) in files {
            std::fs::write(folder.path().join("mail").join(name), source).unwrap();
        }
        let settings = Settings { templates: Some(folder.path().to_owned()), ..Settings::default() };
        let pages = Pages::load(&settings).unwrap();
        (Mails::load(&settings, &pages), pages)
    }

    fn speaker(pages: &Pages, tag: &str) -> Speaker {
        pages.speakers().find(|speaker| speaker.language().as_str() == tag).unwrap()
    }

    #[test]
    fn values_are_escaped_in_html_and_as_they_are_in_text_and_never_begin_a_line() {
        let (mails, pages) = mails(&[]);
        let values = Values {
            user_name: "<b>Jane</b> & \"Co\"\r\nBcc: eve@example.org",
            link: "https://www.example.org/?a=1&b=2",
            ..Values::SPECIMEN
        };
        for kind in Kind::ALL {
            let content = mails.as_ref().unwrap().write(kind, &speaker(&pages, "en"), &values).unwrap();
            assert!(content.text.contains("<b>Jane</b> & \"Co\"Bcc: eve@example.org"), "{}", content.text);
            assert!(content.text.contains("https://www.example.org/?a=1&b=2"), "{}", content.text);
            assert!(!content.html.contains("<b>Jane"), "{}", content.html);
            assert!(content.html.contains("&lt;b&gt;Jane"), "{}", content.html);
            assert!(!content.text.contains("&amp;") && !content.subject.contains('\n'));
            assert!(!content.text.lines().any(|line| line.starts_with("Bcc:")));
        }
    }

    #[test]
    fn each_language_has_its_words_and_an_operators_file_comes_first() {
        let (mails, pages) = mails(&[
            (
                "reset-link.fr.txt",
                "From: {{ site }} <robot@example.org>\nSubject: Lien\n\nVoici : {{ link }}\n",
            ),
            ("password-reset.txt", "Subject: Done\n\n{{ user_name }}\n"),
        ]);
        let mails = mails.unwrap();
        let write = |kind, tag| mails.write(kind, &speaker(&pages, tag), &Values::SPECIMEN).unwrap();
        let french = write(Kind::ResetLink, "fr");
        assert_eq!(
            (french.subject.as_str(), french.from.unwrap().to_string().as_str()),
            ("Lien", "intranet <robot@example.org>")
        );
        assert!(french.html.contains("mot de passe"), "{}", french.html);
        assert_eq!(write(Kind::ResetLink, "en").from, None);
        for tag in ["en", "fr"] {
            assert_eq!(write(Kind::PasswordReset, tag).text, "jane.doe\n", "{tag}");
        }
        assert_ne!(write(Kind::PasswordChanged, "en").subject, write(Kind::PasswordChanged, "fr").subject);
    }

    #[test]
    fn every_message_for_mails_is_used() {
        let english = include_str!("../pages/messages/en.ftl");
        let ids = english
            .lines()
            .filter(|line| line.starts_with("mail-"))
            .filter_map(|line| line.split(' ').next());
        for id in ids {
            assert!(EMBEDDED.iter().any(|(_, source)| source.contains(&format!("'{id}'"))), "{id}");
        }
    }

    #[test]
    fn a_mistake_in_a_template_shows_before_a_mail_is_sent() {
        for (name, file, source, says) in [
            ("no subject", "reset-link.txt", "{{ link }}\n", "must begin with `Subject"),
            ("empty subject", "reset-link.txt", "Subject:\n\nx", "neither `Subject"),
            (
                "an unknown field",
                "reset-link.txt",
                "Subject: a\nBcc: b@example.org\n\nx",
                "`Bcc: b@example.org`",
            ),
            ("no sender", "reset-link.txt", "From: nobody\nSubject: a\n\nx", "is no sender"),
            ("an unknown variable", "reset-link.html", "{{ password }}", "reset-link.html"),
            ("no template", "reset-link.html", "{{ link", "reset-link.html"),
        ] {
            let error = mails(&[(file, source)]).0.err().unwrap_or_else(|| panic!("{name}")).to_string();
            assert!(error.contains(says), "{name}: {error}");
        }
    }
}
