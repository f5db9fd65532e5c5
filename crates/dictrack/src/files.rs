//! Definition files in JSON, TOML and YAML, with errors that show the line and column.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use dictrack_core::json::Position;
use dictrack_core::source::{MAX_SOURCE_BYTES, Node, NodeValue};
use dictrack_core::{
    DefinitionError, TrackerDefinition,
    definition::{DefinitionWarning, read_trackers},
    template::{self, Template},
    text,
};

use crate::url;

mod toml;
mod yaml;

/// The format of a definition file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `.json`
    Json,
    /// `.toml`
    Toml,
    /// `.yaml` or `.yml`
    Yaml,
}

impl Format {
    /// The format that the extension of `path` names.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Why a definition file is rejected. `{}` shows the position, the line with a caret, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    path: PathBuf,
    problem: String,
    expected: String,
    /// The position and the text of its line.
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
        // People count characters, not bytes.
        position.column = text[start..at].chars().count() + 1;
        self.place = Some((position, line.to_owned()));
        self
    }

    /// Where the error is, if it has a single position.
    pub fn position(&self) -> Option<Position> {
        self.place.as_ref().map(|(position, _)| *position)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&url::shown_path(&self.path))?;
        if let Some((position, _)) = &self.place {
            write!(f, ":{}:{}", position.line, position.column)?;
        }
        write!(f, ": {}", self.problem)?;
        if let Some((position, line)) = &self.place {
            // A long line is cut around the position.
            const SHOWN: usize = 100;
            let skipped = (position.column - 1).saturating_sub(SHOWN / 2);
            // Each character stays one character, so that the caret below lines up.
            let seen = |letter| match letter {
                '\t' => ' ',
                hidden if text::is_hidden(hidden) => '\u{fffd}',
                letter => letter,
            };
            let line: String = line.chars().skip(skipped).take(SHOWN).map(seen).collect();
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

/// A warning about a definition in a file. `{}` shows the position, the line with a caret, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileWarning {
    /// The name of the tracker.
    pub tracker: String,
    /// The warning.
    pub warning: DefinitionWarning,
    shown: FileError,
}

impl FileWarning {
    /// Its position in the file.
    pub fn position(&self) -> Option<Position> {
        self.shown.position()
    }
}

impl fmt::Display for FileWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

/// Reads the trackers in the file at `path`, in the format that its extension names.
///
/// # Errors
/// A [`FileError`] if the file cannot be read or is rejected.
pub fn read(path: &Path) -> Result<Vec<TrackerDefinition>, FileError> {
    read_with_warnings(path).map(|(trackers, _)| trackers)
}

/// Reads the trackers in the file at `path`, with their [warnings](TrackerDefinition::warnings) and the positions of those.
///
/// # Errors
/// As [`read`].
pub fn read_with_warnings(path: &Path) -> Result<(Vec<TrackerDefinition>, Vec<FileWarning>), FileError> {
    let (format, text) = read_text(path)?;
    Source::parse(&text, format, path)?.trackers()
}

/// Reads the trackers for groups in the file at `path`, in the format that its extension names: `trackers` for all of them,
/// `templates` for some.
///
/// # Errors
/// A [`FileError`] if the file cannot be read or is rejected.
pub fn read_templates(path: &Path) -> Result<Vec<Template>, FileError> {
    read_templates_with_warnings(path).map(|(templates, _)| templates)
}

/// Like [`read_templates`], with the [warnings](TrackerDefinition::warnings) of all trackers and their positions.
///
/// # Errors
/// As [`read_templates`].
pub fn read_templates_with_warnings(path: &Path) -> Result<(Vec<Template>, Vec<FileWarning>), FileError> {
    let (format, text) = read_text(path)?;
    Source::parse(&text, format, path)?.templates()
}

/// The format and the text of the file at `path`.
fn read_text(path: &Path) -> Result<(Format, String), FileError> {
    let format = Format::of(path).ok_or_else(|| {
        FileError::new(path, "unknown file format", "a file name that ends in .json, .toml, .yaml or .yml")
    })?;
    let bytes = read_bytes(path).map_err(|error| FileError::new(path, error.to_string(), ""))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| FileError::new(path, format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()), ""))?;
    Ok((format, text))
}

/// Reads a whole handwritten file of up to [`MAX_SOURCE_BYTES`]; a pipe or a device will do.
///
/// # Errors
/// The I/O error, or [`io::ErrorKind::FileTooLarge`].
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // File systems report a size of 0 for pipes and devices.
    File::open(path)?.take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_SOURCE_BYTES {
        let problem = format!("file is larger than {} MiB, which is the maximum", MAX_SOURCE_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// Reads the trackers in `text`; `path` only appears in errors.
///
/// # Errors
/// A [`FileError`] if the text is rejected.
pub fn parse(text: &str, format: Format, path: &Path) -> Result<Vec<TrackerDefinition>, FileError> {
    Source::parse(text, format, path)?.read(read_trackers)
}

/// A file that was parsed, but not read as definitions yet.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
    node: Node,
}

impl<'a> Source<'a> {
    fn parse(text: &'a str, format: Format, path: &'a Path) -> Result<Self, FileError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let node = match format {
            Format::Json => Node::parse(text.as_bytes()).map_err(|error| Fault::new(error.problem.clone(), error.at)),
            Format::Toml => toml::parse(text),
            Format::Yaml => yaml::parse(text),
        };
        let node = node.map_err(|fault| FileError::new(path, fault.problem, "").at(text, fault.at))?;
        Ok(Self { path, text, node })
    }

    fn read<T>(&self, read: impl FnOnce(&Node) -> Result<T, DefinitionError>) -> Result<T, FileError> {
        read(&self.node).map_err(|error| {
            let DefinitionError { field, problem, expected, at, .. } = error;
            let problem = if field.is_empty() { problem } else { format!("{field}: {problem}") };
            FileError::new(self.path, problem, &expected).at(self.text, at)
        })
    }

    /// The trackers, with their warnings.
    fn trackers(&self) -> Result<(Vec<TrackerDefinition>, Vec<FileWarning>), FileError> {
        let trackers = self.read(read_trackers)?;
        let warnings = trackers.iter().enumerate().flat_map(|(at, tracker)| self.warnings(tracker, self.list(), at));
        let warnings = warnings.collect();
        Ok((trackers, warnings))
    }

    /// The templates, with the warnings of their trackers.
    fn templates(&self) -> Result<(Vec<Template>, Vec<FileWarning>), FileError> {
        let templates = self.read(template::read_templates)?;
        let unlisted = usize::from(self.has_trackers());
        let mut warnings = Vec::new();
        for (at, template) in templates.iter().enumerate() {
            let list = match at.checked_sub(unlisted) {
                Some(at) => format!("templates[{at}].trackers"),
                None => self.list().to_owned(),
            };
            let trackers = template.trackers().iter().enumerate();
            warnings.extend(trackers.flat_map(|(at, tracker)| self.warnings(tracker, &list, at)));
        }
        Ok((templates, warnings))
    }

    /// The path of the list of trackers for everyone.
    fn list(&self) -> &'static str {
        if matches!(self.node.value, NodeValue::Map(_)) { "trackers" } else { "" }
    }

    /// Whether it has trackers outside of templates.
    fn has_trackers(&self) -> bool {
        match &self.node.value {
            NodeValue::Map(entries) => entries.iter().any(|entry| entry.key == "trackers"),
            _ => true,
        }
    }

    /// The warnings of the tracker at a position in the list at a path.
    fn warnings(&self, tracker: &TrackerDefinition, list: &str, at: usize) -> Vec<FileWarning> {
        let shown = |warning: DefinitionWarning| {
            let place = self.node.place(&format!("{list}[{at}].{}", warning.field()));
            let problem = format!("warning: tracker {:?}: {warning}", tracker.name());
            let shown = FileError::new(self.path, problem, "").at(self.text, place);
            FileWarning { tracker: tracker.name().to_owned(), warning, shown }
        };
        tracker.warnings().into_iter().map(shown).collect()
    }
}

/// A syntax error.
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
    use dictrack_core::{LimiterDefinition, Timestamp};

    use super::*;

    fn parse_as(text: &str, format: Format) -> Result<Vec<TrackerDefinition>, String> {
        parse(text, format, Path::new("trackers")).map_err(|error| error.to_string())
    }

    #[test]
    fn all_formats_give_the_same_definitions() {
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
    fn errors_show_the_position() {
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
            parse_as(toml, Format::Toml)
                .unwrap_err()
                .starts_with("trackers:5:1: trackers[0].burst: unknown field `burst`")
        );
        let yaml = "trackers:\n  - name: a\n    kind: count\n    target: nine\n";
        assert!(
            parse_as(yaml, Format::Yaml)
                .unwrap_err()
                .starts_with("trackers:4:13: trackers[0].target: a string \"nine\"")
        );
    }

    /// `{"trackers": […]}` in each format, with the limiters of the third tracker on one line each, from line 6.
    fn in_every_format(limiters: [&str; 3]) -> [(String, Format); 3] {
        let [a, b, c] = limiters;
        let json = format!(
            "{{\"trackers\": [\n{{\"name\": \"a\", \"kind\": \"count\", \"target\": 1}},\n{{\"name\": \"b\", \"kind\": \"count\", \
             \"target\": 1}},\n{{\"name\": \"c\", \"kind\": \"count\", \"target\": [1, 2],\n\"limiters\": \
             [\n{a},\n{b},\n{c}]}}]}}"
        );
        // JSON maps are valid YAML.
        let yaml = format!(
            "- {{name: a, kind: count, target: 1}}\n- {{name: b, kind: count, target: 1}}\n- name: c\n  kind: count\n  \
             target: [1, 2]\n  limiters: [\n    {a},\n    {b},\n    {c}]\n"
        );
        let toml = |limiter: &str| limiter.replace("\": ", "\" = ");
        let toml = format!(
            "trackers = [{{ name = \"a\", kind = \"count\", target = 1 }},\n{{ name = \"b\", kind = \"count\", target = 1 \
             }},\n{{ name = \"c\", kind = \"count\", target = [1, 2],\n\nlimiters = [\n{},\n{},\n{}] }}]",
            toml(a),
            toml(b),
            toml(c)
        );
        [(json, Format::Json), (toml, Format::Toml), (yaml, Format::Yaml)]
    }

    #[test]
    fn an_error_in_a_limiter_shows_its_position() {
        let good = r#"{"count": 3}"#;
        for (bad, field, problem) in [
            (r#"{"count": 0}"#, "count", "0 never admits a document"),
            (r#"{"count": 1.5}"#, "count", "a number 1.5"),
            (r#"{"count": "3"}"#, "count", "a string"),
            (r#"{"count": 1, "seconds": 2}"#, "seconds", "field not allowed here"),
            (r#"{"seconds": -1}"#, "seconds", "a number -1"),
            (r#"{"start": "soon"}"#, "start", "a string"),
            (r#"{"end": "2026-02-30"}"#, "end", "a string"),
            (r#"{"end": "2026-01-01", "start": "2026-01-02"}"#, "end", "is before start"),
            (r#"{"custom": ""}"#, "custom", "a string"),
            (
                r#"{"custom": "c", "params": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"#,
                "params",
                "nested",
            ),
        ] {
            for at in 0..3 {
                let mut limiters = [good; 3];
                limiters[at] = bad;
                for (text, format) in in_every_format(limiters) {
                    let error = parse(&text, format, Path::new("trackers")).unwrap_err();
                    let found = error.position().unwrap_or_else(|| panic!("no place in {error}"));
                    let line = text.lines().nth(found.line - 1).unwrap();
                    assert!(error.to_string().contains(problem), "{problem}: {error}");
                    assert!(error.to_string().contains(&format!("[2].limiters[{at}].{field}")), "{format:?}: {error}");
                    let base = text
                        .lines()
                        .position(|line| {
                            line.trim_end().ends_with("limiters\": [")
                                || line.contains("limiters = [")
                                || line.contains("limiters: [")
                        })
                        .unwrap();
                    assert_eq!(found.line, base + 2 + at, "{format:?} {text}\n{error}");
                    let rest: String = line.chars().skip(found.column - 1).collect();
                    let key = line.find(&format!("\"{field}\"")).unwrap();
                    let after = line[key..].find([':', '=']).unwrap() + key + 2;
                    assert!(rest == line[key..] || rest == line[after..], "{format:?}: {error}");
                }
            }
        }
        let tables = "[[trackers]]\nname = \"a\"\nkind = \"count\"\ntarget = 1\n\n[[trackers.limiters]]\ncount = 1\n\n\
                      [[trackers.limiters]]\nstart = 2026-01-02\nend = 2026-01-01\n";
        let error = parse_as(tables, Format::Toml).unwrap_err();
        assert!(error.starts_with("trackers:11:7: trackers[0].limiters[1].end: "), "{error}");
    }

    #[test]
    fn an_error_deep_in_a_condition_shows_its_position() {
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        let yaml = format!(
            "- name: a\n  kind: count\n  target: 1\n  conditions:\n    - {{key: k, eq: 1}}\n    - any:\n      - {{key: k, eq: 1}}\n      \
             - not:\n          {{key: k, eq: {deep}}}\n"
        );
        let error = parse_as(&yaml, Format::Yaml).unwrap_err();
        assert!(
            error.starts_with("trackers:9:24: [0].conditions[1].any[1].not.eq: lists and maps are nested"),
            "{error}"
        );
    }

    #[test]
    fn warnings_show_the_position() {
        for (text, format) in in_every_format([r#"{"end": "2026-01-01"}"#, r#"{"count": 100}"#, r#"{"seconds": 60}"#]) {
            let (trackers, warnings) = Source::parse(&text, format, Path::new("t")).unwrap().trackers().unwrap();
            assert_eq!(trackers.len(), 3);
            let fields: Vec<_> = warnings.iter().map(|warning| warning.warning.field()).collect();
            assert_eq!(fields, ["limiters[1]", "limiters[2]"]);
            for (warning, word) in warnings.iter().zip(["count", "seconds"]) {
                let line = text.lines().nth(warning.position().unwrap().line - 1).unwrap();
                assert!(line.contains(word), "{format:?}: {warning}");
                assert!(warning.to_string().contains("warning: tracker \"c\": limiters["), "{warning}");
            }
        }
    }

    #[test]
    fn timestamps_mean_the_same_in_every_format() {
        let ends = ["2026-12-31", "2026-12-31T23:59:59Z", "2026-12-31T23:59:59.0Z", "2026-12-31T23:59:59.000000000Z"];
        for (end, micros) in ends.into_iter().zip([999_999, 999_999, 0, 0]) {
            let json = format!(r#"[{{"name": "a", "kind": "count", "target": 1, "limiters": [{{"end": "{end}"}}]}}]"#);
            let texts = [
                (
                    format!("[[trackers]]\nname = \"a\"\nkind = \"count\"\ntarget = 1\nlimiters = [{{end = {end}}}]"),
                    Format::Toml,
                ),
                (format!("- {{name: a, kind: count, target: 1, limiters: [{{end: {end}}}]}}"), Format::Yaml),
                (
                    format!("- {{name: a, kind: count, target: 1, limiters: [{{end: !!timestamp {end}}}]}}"),
                    Format::Yaml,
                ),
                (json, Format::Json),
            ];
            for (text, format) in texts {
                let trackers = parse_as(&text, format).unwrap();
                let wanted =
                    LimiterDefinition::fixed(None, Some(Timestamp::from_micros(1_798_761_599_000_000 + micros)));
                assert_eq!(trackers[0].limiters(), [wanted], "{text}");
                // The written form reads back as the same definition.
                assert_eq!(TrackerDefinition::from_json(&trackers[0].to_json()).unwrap(), trackers[0]);
            }
        }
        let local =
            "[[trackers]]\nname = \"a\"\nkind = \"count\"\ntarget = 1\nlimiters = [{end = 2026-12-31T23:59:59}]";
        assert!(parse_as(local, Format::Toml).unwrap_err().starts_with("trackers:5:20: trackers[0].limiters[0].end"));
    }

    #[test]
    fn yaml_tags_are_honoured_or_rejected() {
        let target = |value: &str| {
            parse_as(
                &format!("- {{name: a, kind: count, conditions: [{{key: k, eq: {value}}}], target: 1}}"),
                Format::Yaml,
            )
        };
        for (written, plain) in [
            ("!!str 5", "\"5\""),
            ("! 5", "\"5\""),
            ("!!int \"5\"", "5"),
            ("!!float 5", "5"),
            ("!!bool \"true\"", "true"),
            ("!!null ''", "null"),
            ("!!str", "\"\""),
            ("!!seq [1]", "[1]"),
            ("!!map {!!str a: 1}", "{a: 1}"),
            ("!<tag:yaml.org,2002:str> 5", "\"5\""),
        ] {
            assert_eq!(target(written).unwrap(), target(plain).unwrap(), "{written}");
        }
        for refused in [
            "!custom x",
            "!!int x",
            "!!int 1.5",
            "!!bool yes",
            "!!null x",
            "!!binary aGk=",
            "!!set {a}",
            "!!str [1]",
            "!!seq {a: 1}",
            "!x [1]",
            "!x {a: 1}",
            "{!!int 1: 2}",
            "!!int [1]",
        ] {
            let error = target(refused).unwrap_err();
            assert!(error.contains("the tag !") && error.starts_with("trackers:1:"), "{refused}: {error}");
        }
        let of = |text: &str| parse_as(text, Format::Yaml);
        let merged = "- &a {name: a, kind: count, target: 1}\n- {<<: *a, name: b}\n";
        assert!(of(merged).unwrap_err().contains("merge keys"));
        assert!(of("- {name: a, name: b, kind: count, target: 1}").unwrap_err().contains("twice"));
        assert!(target("{a: 1, \"a\": 2}").unwrap_err().contains("twice"));
        let anchors = of("- {&n name: &v a, kind: count, target: 1, conditions: [{key: *n, eq: *v}]}").unwrap();
        assert_eq!(anchors, of("- {name: a, kind: count, target: 1, conditions: [{key: name, eq: a}]}").unwrap());
    }

    #[test]
    fn an_endless_file_is_rejected() {
        let error = read_bytes(Path::new("/dev/zero")).unwrap_err();
        assert!(error.kind() == io::ErrorKind::FileTooLarge && error.to_string().contains("64 MiB"), "{error}");
    }

    #[test]
    fn hostile_files_are_rejected() {
        let bomb: String = (1..40).map(|at| format!("a{at}: &a{at} [*a{0}, *a{0}]\n", at - 1)).collect();
        let yaml = format!("a0: &a0 [x]\n{bomb}");
        assert!(parse_as(&yaml, Format::Yaml).unwrap_err().contains("too many values"));
        assert!(parse_as("a: *nothing", Format::Yaml).is_err());
        assert!(parse_as("- 1\n--- \n- 2\n", Format::Yaml).unwrap_err().contains("second YAML document"));
        assert!(parse_as(&"[".repeat(100_000), Format::Yaml).is_err());
        assert!(parse_as(&format!("a = {}", "[".repeat(100_000)), Format::Toml).is_err());
        assert!(parse_as("a = nan", Format::Toml).unwrap_err().contains("NaN"));
        assert!(parse_as("a = 1\na = 2", Format::Toml).is_err());
        assert!(parse_as("[{x: .inf}]", Format::Yaml).unwrap_err().contains("infinity"));
    }
}
