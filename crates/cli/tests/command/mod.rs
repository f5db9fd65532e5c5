//! Runs the command and reads its output.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use dictrack::json::Json;

/// The exit code, standard output and standard error.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Answer {
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.error);
        self.out
    }

    pub(crate) fn json(self) -> Json {
        let text = self.good();
        Json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// Runs `dictrack` with the words of `line` in `folder`.
pub(crate) fn dictrack(folder: &Path, line: &str) -> Answer {
    dictrack_with(folder, &line.split_whitespace().collect::<Vec<_>>(), "")
}

pub(crate) fn dictrack_with(folder: &Path, words: &[&str], input: impl Into<Vec<u8>>) -> Answer {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
    let output = command.current_dir(folder).args(words).write_stdin(input).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let answer = Answer { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) };
    assert!(!answer.error.contains("panicked"), "{words:?}: {}", answer.error);
    answer
}

/// Gzipped data.
pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text).unwrap();
    packed.finish().unwrap()
}

pub(crate) fn repository(path: &str) -> PathBuf {
    std::fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// A folder with these files.
pub(crate) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

pub(crate) fn at<'a>(json: &'a Json, path: &str) -> &'a Json {
    path.split('.').fold(json, |json, key| match json {
        Json::List(items) => &items[key.parse::<usize>().unwrap()],
        Json::Map(map) => map.get(key).unwrap_or_else(|| panic!("no {key} in {json}")),
        _ => panic!("no {key} in {json}"),
    })
}

pub(crate) fn number(json: &Json, path: &str) -> u64 {
    at(json, path).to_string().parse().unwrap()
}

/// How many documents a tracker counted.
pub(crate) fn counted(summary: &Json, name: &str) -> u64 {
    let trackers = at(summary, "trackers").as_list().unwrap();
    number(trackers.iter().find(|tracker| at(tracker, "name").as_str() == Some(name)).unwrap(), "counted")
}

pub(crate) const COUNTER: &str = "[[trackers]]\nname = \"n\"\nkind = \"count\"\ntarget = [2, 1000]\n";

/// `dictrack run` of `inputs`, with the counter in `t.toml` and the store `s.db`.
pub(crate) fn run(folder: &Path, more: &str) -> Answer {
    dictrack(folder, &format!("run --trackers t.toml --group-by user --store s.db --output json {more}"))
}

pub(crate) fn progress(folder: &Path, group: &str) -> u64 {
    number(&dictrack(folder, &format!("show {group} --store s.db --output json")).json(), "trackers.0.progress")
}

/// `dictrack run` over the sample; the trackers follow.
pub(crate) const CDNOW: &str = "run --group-by customer_id --time date --store s.db --trackers";
