//! `--report`: one HTML page for people who have neither the command nor the store. It needs no script and nothing else.

use std::borrow::Cow;
use std::path::Path;

use dictrack::find::Place;
use dictrack::text::plain;
use dictrack::{Kind, Timestamp, TrackerDefinition, url};
use jiff::tz::TimeZone;

use crate::Failure;
use crate::report::{counted, thousands};
use crate::words::Words;
use crate::write;

mod chart;
mod survey;
mod timeline;
mod top;

pub(crate) use survey::Survey;
pub(crate) use timeline::Timeline;
pub(crate) use top::Top;

/// How a page begins, and how one is recognised that may be overwritten.
const BEGIN: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"generator\" content=\"dictrack\">\n";

/// How many stages are shown; of more, the first ones and the last.
const STAGES: usize = 12;

/// What a page shows.
pub(crate) struct Page {
    pub(crate) title: String,
    /// What was counted, or where.
    pub(crate) about: String,
    pub(crate) now: Timestamp,
    pub(crate) facts: Facts,
    pub(crate) trackers: Vec<Section>,
    /// Reports about malformed documents, and how many there were in total.
    pub(crate) malformed: (Vec<String>, u64),
}

/// Numbers with their names.
pub(crate) type Facts = Vec<(&'static str, String)>;

/// What a page shows of one tracker.
pub(crate) struct Section {
    pub(crate) definition: TrackerDefinition,
    /// How many groups have it, and how many reached each stage.
    pub(crate) groups: u64,
    pub(crate) reached: Vec<u64>,
    pub(crate) facts: Facts,
    /// What the first timeline shows.
    pub(crate) happened: &'static str,
    pub(crate) crossings: Timeline,
    pub(crate) limits: Timeline,
    pub(crate) top: Top,
}

impl Page {
    /// Checks that a page can be written, before anything else is done.
    pub(crate) fn check(path: &Path) -> Result<(), Failure> {
        let fail = |problem: String| Err(Failure(format!("--report: {}: {problem}", url::shown_path(path))));
        if path.is_dir() {
            return fail("is a folder; expected the name of a file".to_owned());
        }
        if path.is_file() && std::fs::metadata(path)?.len() > 0 {
            let mut begin = vec![0; BEGIN.len()];
            let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut begin));
            if read.is_err() || begin != BEGIN.as_bytes() {
                return fail("file exists and is not a report; expected another name".to_owned());
            }
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match std::fs::metadata(folder) {
            Ok(_) => Ok(()),
            Err(error) => fail(format!("{error}; expected a file in a folder that exists")),
        }
    }

    /// Writes the page. Whoever reads the file meanwhile sees the old one or the new one.
    pub(crate) fn write(self, path: &Path) -> Result<(), Failure> {
        let html = self.html()?;
        let written = write::replace(path, html.as_bytes(), true);
        written.map_err(|error| Failure(format!("--report: {}: {error}", url::shown_path(path))))
    }

    fn html(self) -> Result<String, Failure> {
        let zone = TimeZone::system();
        let words = Words::at(self.now);
        let mut html = BEGIN.to_owned();
        html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.push_str(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n",
        );
        html.push_str(&format!(
            "<title>{}</title>\n<style>\n{}{}</style>\n</head>\n",
            escaped(&self.title),
            include_str!("page/style.css"),
            COLOURS
        ));
        html.push_str(&format!("<body>\n<header>\n<h1>{}</h1>\n", escaped(&self.title)));
        if !self.about.is_empty() {
            html.push_str(&format!("<p class=\"soft\">{}</p>\n", escaped(&self.about)));
        }
        html.push_str(&facts(&self.facts));
        html.push_str("</header>\n<main>\n");
        for section in self.trackers {
            html.push_str(&section.html(&zone)?);
        }
        html.push_str(&malformed(&self.malformed.0, self.malformed.1));
        html.push_str("</main>\n");
        let name = zone.iana_name().unwrap_or("local time");
        html.push_str(&format!(
            "<footer><p>Made by dictrack {} on {}. Times are in {}.</p></footer>\n</body>\n</html>\n",
            env!("CARGO_PKG_VERSION"),
            escaped(&words.seconds(self.now)),
            escaped(name)
        ));
        Ok(html)
    }
}

/// The colours that charts are drawn with, as those of the page.
const COLOURS: &str = "\
svg [fill=\"#000001\"] { fill: var(--ink); }
svg [stroke=\"#000002\"] { stroke: var(--line); }
svg [fill=\"#000003\"] { fill: var(--bar); }
svg [fill=\"#000004\"] { fill: var(--limit); }
";

impl Section {
    fn html(self, zone: &TimeZone) -> Result<String, Failure> {
        let Self { definition, groups, reached, facts: numbers, happened, crossings, limits, top } = self;
        let mut html = format!(
            "<section>\n<h2>{}</h2>\n<p class=\"soft\">{}</p>\n",
            escaped(definition.name()),
            escaped(&in_words(&definition))
        );
        html.push_str(&facts(&numbers));
        let targets = definition.targets().iter().map(ToString::to_string).zip(reached);
        let mut stages: Vec<(String, u64)> = targets.collect();
        if !stages.is_empty() {
            html.push_str("<h3>Groups that reached each target</h3>\n");
            let hidden = stages.len().saturating_sub(STAGES);
            if hidden > 0 {
                stages.drain(STAGES - 1..stages.len() - 1);
            }
            html.push_str(&chart::stages(&stages, groups)?);
            if hidden > 0 {
                html.push_str(&format!(
                    "<p class=\"soft\">{} before the last are not shown.</p>\n",
                    counted(hidden as u64, "target")
                ));
            }
        }
        for (timeline, what, is_limit) in [(&crossings, happened, false), (&limits, "Limits hit", true)] {
            if timeline.total() > 0 {
                html.push_str(&format!("<h3>{what} over time</h3>\n"));
                html.push_str(&chart::over_time(timeline, what, is_limit, zone)?);
            }
        }
        html.push_str(&table(top.places()));
        html.push_str("</section>\n");
        Ok(html)
    }
}

/// What a tracker counts: `sum of amount, every day, 2 conditions, 1 limiter`.
fn in_words(definition: &TrackerDefinition) -> String {
    let mut words = match definition.kind() {
        Kind::Count(_) => "counts documents".to_owned(),
        Kind::Sum(sum) => format!("sum of {}", sum.key()),
        Kind::Streak(_) => "periods in a row".to_owned(),
        Kind::Custom(custom) => format!("measure {}", custom.measure()),
        _ => "tracker".to_owned(),
    };
    if let Some(every) = definition.every() {
        words.push_str(&format!(", every {}", every.window.length()));
    }
    for (count, what) in [(definition.conditions().len(), "condition"), (definition.limiters().len(), "limiter")] {
        if count > 0 {
            words.push_str(&format!(", {}", counted(count as u64, what)));
        }
    }
    words
}

fn facts(facts: &Facts) -> String {
    let each = facts.iter().map(|(name, number)| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", escaped(number)));
    format!("<dl class=\"facts\">\n{}</dl>\n", each.collect::<String>())
}

/// The groups that are the furthest.
fn table(places: &[Place]) -> String {
    if places.is_empty() {
        return String::new();
    }
    let mut html = "<h3>Furthest groups</h3>\n<table>\n<tr><th scope=\"col\">group</th><th scope=\"col\" class=\"number\">progress</th>\
                    <th scope=\"col\">status</th></tr>\n"
        .to_owned();
    for place in places {
        html.push_str(&format!(
            "<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
            escaped(&place.group),
            place.tracker.tally(),
            place.standing().name()
        ));
    }
    html.push_str("</table>\n");
    html
}

fn malformed(reports: &[String], all: u64) -> String {
    if all == 0 {
        return String::new();
    }
    let mut html = format!("<section class=\"whole\">\n<h2>{}</h2>\n<ol>\n", counted(all, "malformed document"));
    for report in reports {
        html.push_str(&format!("<li>{}</li>\n", escaped(report)));
    }
    html.push_str("</ol>\n");
    if let more @ 1.. = all.saturating_sub(reports.len() as u64) {
        html.push_str(&format!("<p class=\"soft\">… and {} more</p>\n", thousands(more)));
    }
    html.push_str("</section>\n");
    html
}

/// A text in HTML, and in an attribute in quotes. What nobody would see is escaped as in all output.
fn escaped(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text;
    }
    let mut html = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_hidden_characters_stay_text() {
        assert_eq!(escaped("a<b>&\"'\u{202e}\n"), "a&lt;b&gt;&amp;&quot;&#39;\\u{202e}\\n");
        assert_eq!(escaped("größe"), "größe");
    }
}
