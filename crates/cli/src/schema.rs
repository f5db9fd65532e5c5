//! `dictrack schema`: the JSON Schema of definition files.

use crate::Outcome;
use crate::print::say;

/// The schema. `tests/schema.rs` compares it with the reader.
const SCHEMA: &str = include_str!("trackers.schema.json");

/// Print the JSON Schema of definition files.
///
/// With it, editors complete and check definitions in JSON, TOML and YAML.
///
/// Example: dictrack schema > trackers.schema.json
///
/// A TOML file names its schema in a comment, `#:schema ./trackers.schema.json`, and a YAML file in another one,
/// `# yaml-language-server: $schema=./trackers.schema.json`.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn schema() -> Outcome {
    say(SCHEMA.trim_end());
    Ok(true)
}
