//! `lychgate mail`: what the gate's own mails look like, with harmless values in them. Sends nothing.

use std::path::Path;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::print;
use crate::mail::{Kind, Mails, Values};
use crate::pages::Pages;

/// What is done with mails.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Prints a mail as it would be sent
    Preview {
        /// Which
        template: Template,
        /// In which language; the default one if left out
        #[arg(long)]
        language: Option<String>,
        /// For which site; the first one if left out
        #[arg(long)]
        site: Option<String>,
    },
}

/// A mail by its name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Template {
    /// The link to choose a new password with
    ResetLink,
    /// A new password was set by such a link
    PasswordReset,
    /// A new password was set by who was signed in
    PasswordChanged,
}

pub(super) fn mail(file: &Path, command: &Command) -> ExitCode {
    let Command::Preview { template, language, site } = command;
    let previewed = preview(file, *template, language.as_deref(), site.as_deref());
    previewed.err().map_or(ExitCode::SUCCESS, |sentence| print::failure(&sentence))
}

fn preview(
    file: &Path,
    template: Template,
    language: Option<&str>,
    site: Option<&str>,
) -> Result<(), String> {
    let (config, _) = super::configuration(file)?;
    let pages = Pages::load(&config.pages).map_err(|error| error.to_string())?;
    let mails = Mails::load(&config.pages, &pages).map_err(|error| error.to_string())?;
    let mut sites = config.sites.iter().map(|site| site.as_ref());
    let site = match site {
        None => sites.next(),
        Some(name) => sites.find(|site| site.name.as_ref() == name),
    };
    let site = site.ok_or("there is no site of that name")?;
    let mut speakers = pages.speakers();
    let speaker = match language {
        None => speakers.next(),
        Some(tag) => speakers.find(|speaker| speaker.language().as_str().eq_ignore_ascii_case(tag)),
    };
    let speaker = speaker.ok_or_else(|| {
        let known: Vec<String> = pages.speakers().map(|speaker| speaker.language().to_string()).collect();
        format!("there is no such language; there are: {}", known.join(", "))
    })?;
    let own = format!("{}{}", site.public_url.as_ref(), config.server.prefix.as_str());
    let (kind, page) = match template {
        Template::ResetLink => {
            (Kind::ResetLink, "reset-password?token=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        }
        Template::PasswordReset => (Kind::PasswordReset, "forgot-password"),
        Template::PasswordChanged => (Kind::PasswordChanged, "forgot-password"),
    };
    let values = Values {
        link: &format!("{own}/{page}"),
        site: site.name.as_ref(),
        expiry: &speaker.span(site.password_reset.link_lifetime.as_duration()),
        ..Values::SPECIMEN
    };
    let content = mails.write(kind, &speaker, &values)?;
    let from = content.from.as_ref().or(config.mail.from.as_ref().map(|from| &from.0));
    print::line(&format!(
        "From: {}",
        from.map_or_else(|| "(write `from` in [mail])".to_owned(), ToString::to_string)
    ));
    print::line(&format!("Subject: {}\n\n{}\n{}", content.subject, content.text, content.html.trim_end()));
    Ok(())
}
