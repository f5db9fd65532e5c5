//! The text of a file of definitions to start from.

use std::collections::HashSet;
use std::path::Path;

use dictrack::Document as _;
use dictrack::files::Format;
use dictrack::json::Json;
use dictrack::number::Number;
use dictrack::text::{is_hidden, plain};

use super::guess::{Guess, groups_in_words};
use super::name;
use crate::report::counted;
use crate::run::sample::Sample;
use crate::words::shell;

/// A file of definitions, with comments.
pub(super) struct Starter {
    /// The comment at the top.
    top: Vec<String>,
    trackers: Vec<Planned>,
    /// The commands that come next.
    next: Vec<String>,
}

/// A tracker, field by field.
struct Planned {
    comment: String,
    name: String,
    /// The other fields and their values.
    fields: Vec<(&'static str, Json)>,
    /// Fields that somebody may want, as comments.
    more: Vec<(&'static str, Json, &'static str)>,
}

impl Planned {
    fn new(name: &str, comment: impl Into<String>, fields: impl IntoIterator<Item = (&'static str, Json)>) -> Self {
        Self { comment: comment.into(), name: name.to_owned(), fields: fields.into_iter().collect(), more: Vec::new() }
    }

    fn or(mut self, field: &'static str, value: &str, comment: &'static str) -> Self {
        self.more.push((field, json(value), comment));
        self
    }
}

/// A value that is written here.
fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap_or_default()
}

fn equals(path: &str, value: Json) -> Json {
    Json::List(vec![Json::Map([("key".into(), path.into()), ("eq".into(), value)].into_iter().collect())])
}

impl Starter {
    /// A few common trackers.
    pub(super) fn general(output: &Path) -> Self {
        let (output, plain_output) = (name(output), plain(&shell(&output.to_string_lossy())).into_owned());
        let count = || ("kind", Json::from("count"));
        let of = |event: &str| ("conditions", equals("event", event.into()));
        Self {
            top: vec![
                "Trackers to start from. Each group of documents, such as those of one user, gets all of them."
                    .to_owned(),
                "Change the names, the conditions and the numbers.".to_owned(),
            ],
            trackers: vec![
                Planned::new(
                    "logins",
                    "A milestone at 3, 10 and 100 logins.",
                    [count(), ("target", json("[3, 10, 100]")), of("login")],
                ),
                Planned::new(
                    "spent",
                    "The sum of a number, for documents of some kinds.",
                    [
                        ("kind", "sum".into()),
                        ("key", "amount".into()),
                        ("target", json("[100, 1000]")),
                        ("conditions", json(r#"[{"key": "event", "in": ["purchase", "order"]}]"#)),
                    ],
                ),
                Planned::new(
                    "requests",
                    "A limit that renews by itself. Without a target, a tracker only counts and limits.",
                    [
                        count(),
                        ("conditions", json(r#"[{"key": "path", "starts_with": "/api/"}]"#)),
                        ("limiters", json(r#"[{"count": 100, "per": "minute"}]"#)),
                    ],
                ),
                Planned::new(
                    "daily_quest",
                    "A quest that starts again every day.",
                    [count(), ("every", "day".into()), ("target", 3_u64.into()), of("match_won")],
                )
                .or("zone", r#""Europe/Berlin""#, "the time zone of its days; by default UTC"),
                Planned::new(
                    "login_streak",
                    "Days in a row.",
                    [("kind", "streak".into()), ("every", "day".into()), ("target", json("[3, 7, 30]")), of("login")],
                ),
            ],
            next: vec![
                format!("dictrack check {output}"),
                format!("dictrack run --trackers {plain_output} --group-by user --time at documents.ndjson"),
            ],
        }
    }

    /// What fits a sample.
    pub(super) fn of(guess: &Guess, sample: &Sample, output: &Path, inputs: &str) -> Self {
        let documents = &sample.documents;
        let mut names = HashSet::new();
        let mut named = |wanted: &str| {
            let base = slug(wanted);
            let unused = std::iter::once(base.clone()).chain((2..).map(|at| format!("{base}_{at}")));
            unused.into_iter().find(|name| names.insert(name.clone())).unwrap_or(base)
        };
        let each = match &guess.group {
            Some((path, _)) => format!("of each {}", plain(&path.to_string())),
            None => "of all documents".to_owned(),
        };
        let count = || ("kind", Json::from("count"));
        let targets = |totals: &[f64]| ("target", targets(totals));
        let mut trackers = vec![
            Planned::new(
                &named("documents"),
                format!(
                    "The number {}.",
                    if guess.group.is_some() { format!("of documents {each}") } else { each.clone() }
                ),
                [count(), targets(&guess.totals(documents, |_| 1.0))],
            )
            .or("limiters", r#"[{"count": 100, "per": "day"}]"#, "count no more than 100 a day")
            .or("every", r#""day""#, "start again every day"),
        ];
        if let Some((path, kinds)) = &guess.kinds {
            for kind in kinds {
                let is_kind =
                    |document: &Json| f64::from(document.value_at(path).is_some_and(|value| value.to_json() == *kind));
                let text = kind.as_str().map_or_else(|| kind.to_string(), str::to_owned);
                trackers.push(Planned::new(
                    &named(&text),
                    format!("Documents whose {} is {}.", plain(&path.to_string()), plain(&kind.to_string())),
                    [
                        count(),
                        targets(&guess.totals(documents, is_kind)),
                        ("conditions", equals(&path.to_string(), kind.clone())),
                    ],
                ));
            }
        }
        for path in &guess.amounts {
            let amount = |document: &Json| document.value_at(path).map_or(0.0, |value| number(&value.to_json()));
            trackers.push(Planned::new(
                &named(&format!("total_{path}")),
                format!("The sum of {} {each}.", plain(&path.to_string())),
                [("kind", "sum".into()), ("key", path.to_string().into()), targets(&guess.totals(documents, amount))],
            ));
        }
        let (file, options) = (name(output), &sample.options);
        let option = |option: &str, path: Option<&dictrack::Path>| {
            path.map_or_else(String::new, |path| format!(" {option} {}", plain(&shell(&path.to_string()))))
        };
        let group = guess.group.as_ref().map(|(path, _)| path.to_string().replace(',', "\\,"));
        let group = group.map_or_else(String::new, |path| format!(" --group-by {}", plain(&shell(&path))));
        let time = option("--time", guess.time.as_ref());
        let run = format!("dictrack run --trackers {file}{group}{time}{options} {inputs}");
        let first = if sample.is_whole { "" } else { "the first " };
        let mut top = vec![
            format!(
                "Trackers for {inputs}, guessed from {first}{}{}.",
                counted(documents.len() as u64, "document"),
                in_groups(guess)
            ),
            "Targets are round numbers that about half of the groups, a tenth and a hundredth reach in the sample."
                .to_owned(),
            "Change what does not fit. To count:".to_owned(),
            String::new(),
            format!("    {run}"),
        ];
        if let Some(id) = &guess.id {
            let id = plain(&shell(&id.to_string())).into_owned();
            top.extend([
                String::new(),
                format!("With --id {id}, a document counts only once, even if it is in two files."),
            ]);
        }
        Self { top, trackers, next: vec![format!("dictrack check {file}"), run] }
    }

    pub(super) fn count(&self) -> usize {
        self.trackers.len()
    }

    pub(super) fn next(&self) -> &[String] {
        &self.next
    }

    pub(super) fn text(&self, format: Format) -> String {
        match format {
            Format::Json => self.in_json(),
            Format::Yaml => self.commented(|tracker| {
                let mut lines = vec![format!("  - name: {}", quoted(&tracker.name))];
                lines.extend(tracker.fields.iter().map(|(field, value)| format!("    {field}: {}", flow(value, ": "))));
                lines.extend(
                    tracker
                        .more
                        .iter()
                        .map(|(field, value, why)| format!("    # {field}: {}    # {why}", flow(value, ": "))),
                );
                lines
            }),
            _ => self
                .commented(|tracker| {
                    let mut lines = vec!["[[trackers]]".to_owned(), format!("name = {}", quoted(&tracker.name))];
                    lines.extend(
                        tracker.fields.iter().map(|(field, value)| format!("{field} = {}", flow(value, " = "))),
                    );
                    lines.extend(
                        tracker
                            .more
                            .iter()
                            .map(|(field, value, why)| format!("# {field} = {}    # {why}", flow(value, " = "))),
                    );
                    lines
                })
                .replacen("\ntrackers:\n", "", 1),
        }
    }

    /// The comments, and between them what `lines` makes of each tracker.
    fn commented(&self, lines: impl Fn(&Planned) -> Vec<String>) -> String {
        let about = [
            String::new(),
            "Every field is described in docs/definitions.md. `dictrack schema` prints the schema for editors."
                .to_owned(),
        ];
        let mut text = String::new();
        for line in self.top.iter().chain(&about) {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        text.push_str("\ntrackers:\n");
        for tracker in &self.trackers {
            text.push('\n');
            let lines = lines(tracker);
            let margin = if lines[0].starts_with(' ') { "  " } else { "" };
            text.push_str(&format!("{margin}# {}\n", tracker.comment));
            text.push_str(&lines.join("\n"));
            text.push('\n');
        }
        text
    }

    fn in_json(&self) -> String {
        let trackers = self.trackers.iter().map(|tracker| {
            let fields =
                std::iter::once(("name", Json::from(tracker.name.as_str()))).chain(tracker.fields.iter().cloned());
            let fields = fields.map(|(field, value)| format!("      \"{field}\": {}", flow_json(&value)));
            format!("    {{\n{}\n    }}", fields.collect::<Vec<_>>().join(",\n"))
        });
        format!("{{\n  \"trackers\": [\n{}\n  ]\n}}\n", trackers.collect::<Vec<_>>().join(",\n"))
    }
}

fn in_groups(guess: &Guess) -> String {
    guess.group.as_ref().map_or_else(String::new, |(_, groups)| format!(" of {}", groups_in_words(*groups)))
}

/// A value in TOML, or in the flow style of YAML, which differ in what is between a key and its value.
fn flow(value: &Json, is: &str) -> String {
    match value {
        Json::List(items) => format!("[{}]", items.iter().map(|item| flow(item, is)).collect::<Vec<_>>().join(", ")),
        Json::Map(map) => {
            let entries = map.iter().map(|(key, value)| format!("{key}{is}{}", flow(value, is)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Json::Text(text) => quoted(text),
        other => other.to_string(),
    }
}

fn flow_json(value: &Json) -> String {
    match value {
        Json::List(items) => format!("[{}]", items.iter().map(flow_json).collect::<Vec<_>>().join(", ")),
        Json::Map(map) => {
            let entries = map.iter().map(|(key, value)| format!("\"{key}\": {}", flow_json(value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        other => dictrack::text::json(&other.to_string()).into_owned(),
    }
}

/// A string in TOML and in YAML. What an editor would not show is escaped.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            hidden if is_hidden(hidden) => quoted.push_str(&format!("\\U{:08X}", u32::from(hidden))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A name for a tracker: small letters, digits and `_`.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().flat_map(char::to_lowercase).take(60) {
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.ends_with('_') && !slug.is_empty() {
            slug.push('_');
        }
    }
    match slug.trim_end_matches('_') {
        "" => "other".to_owned(),
        slug => slug.to_owned(),
    }
}

/// A value as a number, as `sum` reads it.
fn number(value: &Json) -> f64 {
    let number = match value {
        Json::Number(number) => Some(number.clone()),
        Json::Text(text) => Number::parse_text(text),
        _ => None,
    };
    number.and_then(|number| number.to_rounded()).map_or(0.0, dictrack::Amount::to_f64)
}

/// Round numbers that half of these totals, a tenth of them and a hundredth reach.
fn targets(totals: &[f64]) -> Json {
    let Some(last) = totals.len().checked_sub(1) else { return json("[10, 100, 1000]") };
    let mut targets: Vec<String> = Vec::new();
    let last = last as f64;
    for place in [(last * 0.5).floor(), (last * 0.9).round(), (last * 0.99).round()] {
        let target = round(totals[place as usize]);
        if targets.last() != Some(&target) {
            targets.push(target);
        }
    }
    match &*targets {
        [target] => json(target),
        targets => json(&format!("[{}]", targets.join(", "))),
    }
}

/// The next lower number of 1, 2 or 5 and zeros.
fn round(number: f64) -> String {
    let power = number.log10().floor().clamp(-12.0, 19.0) as i32;
    let most = number / 10_f64.powi(power);
    let digit = [5, 2, 1].into_iter().find(|digit| f64::from(*digit) <= most).unwrap_or(1);
    match power {
        0.. => format!("{digit}{}", "0".repeat(power as usize)),
        _ => format!("0.{}{digit}", "0".repeat((-power - 1) as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_round_and_ascend() {
        for (number, rounded) in [
            (1.0, "1"),
            (1.9, "1"),
            (2.0, "2"),
            (99.0, "50"),
            (4652.0, "2000"),
            (0.07, "0.05"),
            (0.5, "0.5"),
            (1e19, "10000000000000000000"),
        ] {
            assert_eq!(round(number), rounded);
        }
        assert_eq!(targets(&[]).to_string(), "[10,100,1000]");
        assert_eq!(targets(&[3.0]).to_string(), "2");
        assert_eq!(targets(&[1.0, 1.0, 7.0, 30.0, 31.0]).to_string(), "[5,20]");
    }

    #[test]
    fn names_of_trackers_are_plain() {
        for (text, name) in
            [("Match Won!", "match_won"), ("", "other"), ("—", "other"), ("Größe", "größe"), ("a.b", "a_b")]
        {
            assert_eq!(slug(text), name);
        }
    }
}
