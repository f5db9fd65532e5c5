//! Completions in shells. The scripts that `dictrack completions` prints call the command itself, which also knows the groups and
//! the trackers of the store on the command line.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use dictrack::clock::{Clock as _, SystemClock};
use dictrack::group::{Engine, Group};
use dictrack::store::DataStore;

use crate::store::{CACHE, STORE, Where, wait};
use crate::{Cli, Failure};

/// The variable with which the scripts ask for completions.
const VARIABLE: &str = "DICTRACK_COMPLETE";

/// The maximum number of groups that are offered.
const OFFERED: usize = 100;
/// How many groups are read to find the names of trackers.
const READ: usize = 20;

/// Answers a script and exits, if one asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// The script for a shell.
pub(crate) fn script(shell: Shell) -> Result<String, Failure> {
    let shells = Shells::builtins();
    let Some(writer) = shells.completer(&shell.to_string()) else {
        return Err(Failure(format!("{shell}: unknown shell")));
    };
    let mut script = Vec::new();
    writer.write_registration(VARIABLE, "dictrack", "dictrack", "dictrack", &mut script)?;
    let mut script = String::from_utf8(script)?;
    if shell == Shell::Zsh {
        // In a folder of functions, zsh runs the script for the first completion, which would be lost.
        script.push_str("[[ ${funcstack[1]} == _dictrack ]] && _clap_dynamic_completer_dictrack \"$@\"\n");
    }
    Ok(script)
}

/// Completes the groups of the store.
pub(crate) fn groups() -> ArgValueCompleter {
    ArgValueCompleter::new(|begin: &OsStr| {
        let found = begin.to_str().zip(Words::of_script().open());
        candidates(found.map_or_else(Vec::new, |(begin, store)| {
            // The order of groups does not tell which is the one before.
            let same = group(&*store, begin).map(|_| begin.to_owned());
            let after = (!begin.is_empty()).then_some(begin);
            let more = wait(store.groups(after, OFFERED)).unwrap_or_default();
            same.into_iter().chain(more.into_iter().take_while(|group| group.starts_with(begin))).collect()
        }))
    })
}

/// Completes the trackers of the group on the command line, or else those of some groups of the store.
pub(crate) fn trackers() -> ArgValueCompleter {
    ArgValueCompleter::new(|begin: &OsStr| {
        let words = Words::of_script();
        let found = begin.to_str().zip(words.open());
        candidates(found.map_or_else(Vec::new, |(begin, store)| {
            let mut groups: Vec<Group> = words.names().filter_map(|name| group(&*store, name)).collect();
            if groups.is_empty() {
                let some = wait(store.groups(None, READ)).unwrap_or_default();
                groups = some.iter().filter_map(|name| group(&*store, name)).collect();
            }
            let names: BTreeSet<String> = groups.iter().flat_map(trackers_of).collect();
            names.into_iter().filter(|name| name.starts_with(begin)).collect()
        }))
    })
}

fn group(store: &dyn DataStore, id: &str) -> Option<Group> {
    wait(store.load(id, &Engine::default())).ok().flatten()
}

fn trackers_of(group: &Group) -> Vec<String> {
    let active = group.active_names(SystemClock.now()).map(str::to_owned);
    active.chain(group.completed().iter().map(|completed| completed.tracker.name().to_owned())).collect()
}

fn candidates(names: Vec<String>) -> Vec<CompletionCandidate> {
    names.into_iter().filter(|name| is_harmless(name)).map(CompletionCandidate::new).collect()
}

/// Whether a shell takes a name as it is. Scripts put completions on the command line without quoting them, and anybody may have
/// named a group `$(…)`.
fn is_harmless(name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || "_-./:@%+,=".contains(letter);
    !name.starts_with(['-', '=']) && name.chars().all(is_word)
}

/// The words of the command line that is completed.
struct Words(Vec<String>);

impl Words {
    /// Those that the script passed on.
    fn of_script() -> Self {
        let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
        Self(words.map(|word: OsString| unquoted(&word.to_string_lossy())).collect())
    }

    /// The value of an option.
    fn option(&self, long: &str, short: Option<&str>) -> Option<&str> {
        let mut words = self.0.iter().map(String::as_str);
        while let Some(word) = words.next() {
            if word == long || Some(word) == short {
                // Bash makes a word of its own of the sign in `--store=FILE`.
                return words.next().and_then(|value| if value == "=" { words.next() } else { Some(value) });
            }
            let value = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
            if let Some(value) = value.or_else(|| word.strip_prefix(short?).filter(|_| !word.starts_with("--"))) {
                return Some(value);
            }
        }
        None
    }

    /// Words that may be the name of a group.
    fn names(&self) -> impl Iterator<Item = &str> {
        // After the program and the command.
        self.0.iter().skip(2).map(String::as_str).filter(|word| !word.is_empty() && !word.starts_with('-'))
    }

    /// Opens the store on the command line or in the environment. Whatever is wrong with it, the command itself will report.
    fn open(&self) -> Option<std::sync::Arc<dyn DataStore>> {
        let store = STORE.named(self.option("--store", Some("-s")).map(PathBuf::from)).ok()?;
        let cache = CACHE.named(self.option("--cache", None).map(str::to_owned)).ok()?;
        let place = Where::of(store, cache)?;
        place.open().ok().map(|shown| shown.store)
    }
}

/// A word without the quotes of a shell. Only what people write for files is understood.
fn unquoted(word: &str) -> String {
    if let Some(rest) = word.strip_prefix("~/")
        && let Some(home) = std::env::var_os("HOME")
    {
        return format!("{}/{rest}", home.to_string_lossy());
    }
    for quote in ['\'', '"'] {
        if let Some(rest) = word.strip_prefix(quote) {
            return rest.strip_suffix(quote).unwrap_or(rest).to_owned();
        }
    }
    word.replace('\\', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_shell_takes_as_they_are_are_offered() {
        for name in ["user_1", "a.b-c", "größe", "x@y.org", "1,DE", "a/b:c"] {
            assert!(is_harmless(name), "{name}");
        }
        for name in [
            "$(x)", "`x`", "a b", "a;b", "a|b", "*", "a\nb", "-x", "=x", "~x", "a'b", "a\"b", "\u{202e}", "a\\", "#x",
            "!x", "{a,b}",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
    }

    #[test]
    fn options_are_found_however_they_are_written() {
        let option = |words: &[&str]| {
            let words = Words(words.iter().map(|word| unquoted(word)).collect());
            words.option("--store", Some("-s")).map(str::to_owned)
        };
        for words in [
            &["d", "show", "--store", "a b"][..],
            &["d", "show", "--store", "'a b'"],
            &["d", "show", "x", "--store=a b"],
            &["d", "show", "--store", "=", "a\\ b"],
            &["d", "show", "-s", "\"a b\""],
            &["d", "show", "-sa b", ""],
        ] {
            assert_eq!(option(words).as_deref(), Some("a b"), "{words:?}");
        }
        assert_eq!(option(&["d", "show", "--status", "x"]), None);
    }
}
