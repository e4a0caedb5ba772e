//! The words of the pages for who is not a page: the gate's mails.

use std::sync::Arc;
use std::time::Duration;

use minijinja::Value;

use super::catalogue::{Catalogue, Translate};
use super::language::Language;
use super::view;

/// One language's words.
#[derive(Clone, Debug)]
pub struct Speaker(pub(super) Arc<Catalogue>);

impl Speaker {
    /// Which language.
    pub fn language(&self) -> &Language {
        self.0.language()
    }

    /// `ltr` or `rtl`.
    pub fn direction(&self) -> &'static str {
        self.0.direction()
    }

    /// `t` for templates.
    pub fn translate(&self) -> Value {
        Value::from_dyn_object(Arc::new(Translate(Arc::clone(&self.0))))
    }

    /// "10 minutes", rounded up; empty if a catalogue of the operator's cannot say it.
    pub fn span(&self, time: Duration) -> String {
        view::span(&self.0, time).unwrap_or_default()
    }
}
