//! Finding the inputs that folders and patterns name.

use std::path::{Path, PathBuf};

use dictrack::url;

use super::input::format_of;
use crate::Failure;

/// The files that arguments name: each file as it is, and those in folders and of patterns in the order of their names.
pub(super) fn files(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for argument in arguments {
        match argument.to_str() {
            _ if argument.is_dir() => files.extend(in_folder(argument)?),
            Some(pattern) if !argument.exists() && pattern.contains(['*', '?', '[']) => {
                files.extend(of_pattern(pattern)?)
            }
            _ => files.push(argument.clone()),
        }
    }
    Ok(files)
}

/// The files in a folder and in those below it whose names end like inputs.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| Failure(format!("{}: {error}", url::shown_path(folder))))?;
        if entry.file_type().is_file() && format_of(entry.path()).is_some() {
            files.push(entry.into_path());
        }
    }
    if files.is_empty() {
        return Err(Failure(format!(
            "{}: no input in this folder; expected files that end in .ndjson, .jsonl, .json, .csv, .tsv or .parquet, \
             with or without .gz or .zst",
            url::shown_path(folder)
        )));
    }
    Ok(files)
}

fn of_pattern(pattern: &str) -> Result<Vec<PathBuf>, Failure> {
    let fail = |problem: String| Failure(format!("{}: {problem}", url::shown_path(Path::new(pattern))));
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::default() };
    let found = glob::glob_with(pattern, options).map_err(|error| fail(format!("invalid pattern: {}", error.msg)))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| fail(error.to_string()))?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(fail("no file has a name of this pattern".to_owned()));
    }
    Ok(files)
}
