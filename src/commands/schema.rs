//! `lychgate schema`: what `proxy.toml` may say, as JSON Schema (draft 2020-12). Editors complete and check by it; what a schema
//! cannot say, `lychgate check` does.

use std::process::ExitCode;

use schemars::generate::SchemaSettings;

use super::print;
use crate::config::Config;

pub(super) fn schema() -> ExitCode {
    // Each section where it stands: the names of our types say nothing to an operator.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    schema.insert("title".to_owned(), "proxy.toml of Lychgate".into());
    schema.insert("description".to_owned(), env!("CARGO_PKG_DESCRIPTION").into());
    print::json(&schema);
    ExitCode::SUCCESS
}
