//! Definition files in JSON, TOML and YAML, with errors that show the place.

use std::fmt;
use std::path::{Path, PathBuf};

use dictrack_core::json::Position;
use dictrack_core::source::{MAX_SOURCE_BYTES, Node};
use dictrack_core::{DefinitionError, TrackerDefinition, read_trackers};

mod toml;
mod yaml;

/// The format of a definition file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.json`
    Json,
    /// `.toml`
    Toml,
    /// `.yaml` or `.yml`
    Yaml,
}

impl Format {
    /// The format that the ending of `path` names.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Why a definition file is refused. `{}` shows the place, the line with a caret, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    path: PathBuf,
    problem: String,
    expected: String,
    /// The place and the text of its line.
    place: Option<(Position, String)>,
}

impl std::error::Error for FileError {}

impl FileError {
    fn new(path: &Path, problem: impl Into<String>, expected: &str) -> Self {
        Self { path: path.to_owned(), problem: problem.into(), expected: expected.to_owned(), place: None }
    }

    fn at(mut self, text: &str, at: Option<usize>) -> Self {
        let Some(at) = at else { return self };
        let at = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let mut position = Position::of(text.as_bytes(), at);
        // People count letters.
        position.column = text[start..at].chars().count() + 1;
        self.place = Some((position, line.to_owned()));
        self
    }

    /// Where the fault is, if it is at one place.
    pub fn position(&self) -> Option<Position> {
        self.place.as_ref().map(|(position, _)| *position)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((position, _)) = &self.place {
            write!(f, ":{}:{}", position.line, position.column)?;
        }
        write!(f, ": {}", self.problem)?;
        if let Some((position, line)) = &self.place {
            // A long line is cut around the place.
            const SHOWN: usize = 100;
            let skipped = (position.column - 1).saturating_sub(SHOWN / 2);
            let line: String =
                line.chars().skip(skipped).take(SHOWN).map(|c| if c == '\t' { ' ' } else { c }).collect();
            let number = position.line.to_string();
            let margin = " ".repeat(number.len());
            let caret = " ".repeat(position.column - 1 - skipped);
            write!(f, "\n {margin} |\n {number} | {line}\n {margin} | {caret}^")?;
            if !self.expected.is_empty() {
                write!(f, " expected {}", self.expected)?;
            }
        } else if !self.expected.is_empty() {
            write!(f, "; expected {}", self.expected)?;
        }
        Ok(())
    }
}

/// Reads the trackers of the file at `path`, in the format that its ending names.
///
/// # Errors
/// A [`FileError`] if the file cannot be read or is refused.
pub fn read(path: &Path) -> Result<Vec<TrackerDefinition>, FileError> {
    let format = Format::of(path).ok_or_else(|| {
        FileError::new(path, "a file of an unknown format", "a name that ends in .json, .toml or .yaml")
    })?;
    let size = std::fs::metadata(path).map_err(|error| FileError::new(path, error.to_string(), ""))?.len();
    if size > MAX_SOURCE_BYTES as u64 {
        return Err(FileError::new(path, format!("{size} bytes"), &format!("at most {MAX_SOURCE_BYTES} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| FileError::new(path, error.to_string(), ""))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| FileError::new(path, format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()), ""))?;
    parse(&text, format, path)
}

/// Reads the trackers of `text`; `path` is only named in errors.
///
/// # Errors
/// A [`FileError`] if the text is refused.
pub fn parse(text: &str, format: Format, path: &Path) -> Result<Vec<TrackerDefinition>, FileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let node = match format {
        Format::Json => Node::parse(text.as_bytes()).map_err(|error| Fault::new(error.problem.clone(), error.at)),
        Format::Toml => toml::parse(text),
        Format::Yaml => yaml::parse(text),
    };
    let node = node.map_err(|fault| FileError::new(path, fault.problem, "").at(text, fault.at))?;
    read_trackers(&node).map_err(|error| {
        let DefinitionError { field, problem, expected, at } = error;
        let problem = if field.is_empty() { problem } else { format!("{field}: {problem}") };
        FileError::new(path, problem, &expected).at(text, at)
    })
}

/// A text that is not of its format.
struct Fault {
    problem: String,
    at: Option<usize>,
}

impl Fault {
    fn new(problem: impl Into<String>, at: usize) -> Self {
        Self { problem: problem.into(), at: Some(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_as(text: &str, format: Format) -> Result<Vec<TrackerDefinition>, String> {
        parse(text, format, Path::new("trackers")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let json = r#"{"trackers": [
            {"name": "a", "kind": "sum", "key": "x.y", "target": [0.1, 20], "loop_forever": true,
             "conditions": [{"key": "t", "in": ["u", null, 1e3]}, {"not": {"key": "n", "eq": 007}}],
             "limiters": [{"count": 3}, {"start": "2026-01-01", "end": 1900000000}]}]}"#
            .replace("007", "7");
        let toml = r#"
            [[trackers]]
            name = "a"
            kind = "sum"
            key = "x.y"
            target = [0.1, 2_0]
            loop_forever = true
            conditions = [{key = "t", in = ["u", {null = true}, 1e3]}, {not = {key = "n", eq = 0x7}}]
            limiters = [{count = +3}, {start = 2026-01-01, end = 1900000000}]
        "#;
        let yaml = "
- name: a
  kind: sum
  key: x.y
  target: &targets [0.1, 20]
  loop_forever: true
  conditions:
    - {key: t, in: [u, ~, 1000]}
    - not: {key: n, eq: 7}
  limiters:
    - count: 3
    - start: 2026-01-01
      end: 1900000000
";
        let expected = parse_as(&json, Format::Json).unwrap();
        assert_eq!(parse_as(toml, Format::Toml).unwrap(), expected);
        assert_eq!(parse_as(yaml, Format::Yaml).unwrap(), expected);
    }

    #[test]
    fn errors_show_the_place() {
        let json = "{\"trackers\": [\n  {\"name\": \"é\", \"kind\": \"count\", \"target\": []}\n]}";
        assert_eq!(
            parse_as(json, Format::Json).unwrap_err(),
            "trackers:2:44: trackers[0].target: an empty list
   |
 2 |   {\"name\": \"é\", \"kind\": \"count\", \"target\": []}
   |                                            ^ expected a number or a non-empty list of numbers"
        );
        let toml = "[[trackers]]\nname = \"a\"\nkind = \"count\"\ntarget = 1\nburst = 2\n";
        assert!(
            parse_as(toml, Format::Toml).unwrap_err().starts_with("trackers:5:1: trackers[0].burst: an unknown field")
        );
        let yaml = "trackers:\n  - name: a\n    kind: count\n    target: nine\n";
        assert!(
            parse_as(yaml, Format::Yaml)
                .unwrap_err()
                .starts_with("trackers:4:13: trackers[0].target: a string \"nine\"")
        );
    }

    #[test]
    fn hostile_texts_are_refused() {
        let bomb: String = (1..40).map(|at| format!("a{at}: &a{at} [*a{0}, *a{0}]\n", at - 1)).collect();
        let yaml = format!("a0: &a0 [x]\n{bomb}");
        assert!(parse_as(&yaml, Format::Yaml).unwrap_err().contains("too many values"));
        assert!(parse_as("a: *nothing", Format::Yaml).is_err());
        assert!(parse_as("- 1\n--- \n- 2\n", Format::Yaml).unwrap_err().contains("second document"));
        assert!(parse_as(&"[".repeat(100_000), Format::Yaml).is_err());
        assert!(parse_as(&format!("a = {}", "[".repeat(100_000)), Format::Toml).is_err());
        assert!(parse_as("a = nan", Format::Toml).unwrap_err().contains("NaN"));
        assert!(parse_as("a = 1\na = 2", Format::Toml).is_err());
        assert!(parse_as("[{x: .inf}]", Format::Yaml).unwrap_err().contains("infinite"));
    }
}
