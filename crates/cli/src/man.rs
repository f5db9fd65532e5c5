//! `dictrack man`: the manual pages.

use std::path::PathBuf;

use clap::CommandFactory as _;
use dictrack::text::plain;

use crate::{Cli, Failure, Outcome};

/// Write the manual pages into a folder, one for each command.
///
/// Example: dictrack man ~/.local/share/man/man1
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder; created if it does not exist.
    folder: PathBuf,
}

pub(crate) fn man(args: &Args) -> Outcome {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure(format!("{}: {error}", plain(&folder.to_string_lossy()))))?;
    Ok(true)
}
