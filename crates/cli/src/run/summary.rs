//! The results of a run at a glance.

use std::sync::Arc;

use comfy_table::{CellAlignment, Table, presets};
#[cfg(feature = "report")]
use dictrack::EventCode;
use dictrack::json::Json;
use dictrack::text::{plain, quoted, sentence};
use dictrack::{
    Amount, Blocking, Error, Outcome, SkipReason, Span, Timestamp, TrackerDefinition, clock::Stopwatch, number::Number,
};

use crate::Failure;
use crate::explain::still_completed;
#[cfg(feature = "report")]
use crate::page::{Page, Section, Timeline, Top};
use crate::print::warn;
use crate::ranking::{records, stages_reached};
use crate::report::{bar, counted, fitted, object, table, thousands, wrapped};
use crate::store::wait;
use crate::words::Words;

/// How many stages are shown; of a longer list, the first ones and the last.
const STAGES_SHOWN: usize = 8;

/// How to resume a run that was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoOn {
    /// A second run would count again what this one counted.
    Not,
    Again,
    /// With `--again` it would start from the beginning.
    WithoutAgain,
}

pub(super) struct Summary {
    trackers: Vec<Line>,
    pub(super) documents: u64,
    pub(super) malformed: u64,
    /// Documents that `--ahead` rejected.
    pub(super) ahead: u64,
    /// Documents that `--where` left out.
    pub(super) filtered: u64,
    duplicates: u64,
    untouched: u64,
    groups: u64,
    /// The time of the latest document.
    latest: Option<Timestamp>,
    /// As of when trackers are shown.
    now: Timestamp,
    seconds: f64,
    pub(super) interrupted: bool,
    go_on: GoOn,
    /// Whether a page will show it.
    reports: bool,
    /// Whether an earlier run counted documents from an input.
    pub(super) resumed: bool,
    since: Stopwatch,
}

/// The results of one tracker.
struct Line {
    definition: Arc<TrackerDefinition>,
    counted: u64,
    refused: u64,
    skipped: u64,
    /// How many of the skipped documents were too late, or found the tracker resting.
    late: u64,
    resting: u64,
    failed: u64,
    /// Whether a failure was reported.
    said: bool,
    /// How many groups have it, have completed it, and have it limited.
    groups: u64,
    completed: u64,
    limited: u64,
    /// When the first limited group may count again.
    next: Option<Timestamp>,
    /// How many groups reached each stage, in this cycle or an earlier one.
    reached: Vec<u64>,
    /// For a page.
    #[cfg(feature = "report")]
    seen: Option<Box<Seen>>,
}

/// What only a page shows of a tracker.
#[cfg(feature = "report")]
#[derive(Default)]
struct Seen {
    /// When this run's documents reached targets, and when limiters stopped them.
    crossings: Timeline,
    limits: Timeline,
    top: Top,
}

impl Summary {
    pub(super) fn new(trackers: &[TrackerDefinition], go_on: GoOn, reports: bool) -> Self {
        let line = |definition: &TrackerDefinition| Line {
            reached: vec![0; definition.targets().len()],
            definition: Arc::new(definition.clone()),
            counted: 0,
            refused: 0,
            skipped: 0,
            late: 0,
            resting: 0,
            failed: 0,
            said: false,
            groups: 0,
            completed: 0,
            limited: 0,
            next: None,
            #[cfg(feature = "report")]
            seen: reports.then(Box::default),
        };
        Self {
            trackers: trackers.iter().map(line).collect(),
            documents: 0,
            malformed: 0,
            ahead: 0,
            filtered: 0,
            duplicates: 0,
            untouched: 0,
            groups: 0,
            latest: None,
            now: Timestamp::default(),
            seconds: 0.0,
            interrupted: false,
            go_on,
            reports,
            resumed: false,
            since: Stopwatch::start(),
        }
    }

    /// An empty summary of the same trackers, for a part of the documents.
    pub(super) fn part(&self) -> Self {
        let definitions: Vec<_> = self.trackers.iter().map(|line| TrackerDefinition::clone(&line.definition)).collect();
        Self::new(&definitions, self.go_on, self.reports)
    }

    /// Adds what a part has counted, and empties it.
    pub(super) fn absorb(&mut self, part: &mut Self) {
        for (line, part) in self.trackers.iter_mut().zip(&mut part.trackers) {
            for (sum, part) in [
                (&mut line.counted, &mut part.counted),
                (&mut line.refused, &mut part.refused),
                (&mut line.skipped, &mut part.skipped),
                (&mut line.late, &mut part.late),
                (&mut line.resting, &mut part.resting),
                (&mut line.failed, &mut part.failed),
            ] {
                *sum += std::mem::take(part);
            }
            line.said |= part.said;
            part.said = line.said;
            #[cfg(feature = "report")]
            if let (Some(seen), Some(part)) = (&mut line.seen, &mut part.seen) {
                seen.crossings.absorb(&mut part.crossings);
                seen.limits.absorb(&mut part.limits);
            }
        }
        self.documents += std::mem::take(&mut part.documents);
        self.filtered += std::mem::take(&mut part.filtered);
        self.duplicates += std::mem::take(&mut part.duplicates);
        self.untouched += std::mem::take(&mut part.untouched);
        self.latest = self.latest.max(part.latest.take());
    }

    fn line(&mut self, name: &str) -> Option<&mut Line> {
        self.trackers.iter_mut().find(|line| line.definition.name() == name)
    }

    /// Records what a document changed.
    pub(super) fn count(&mut self, outcome: &Outcome) {
        self.documents += 1;
        self.latest = self.latest.max(Some(outcome.now()));
        self.duplicates += u64::from(outcome.duplicate());
        self.untouched += u64::from(!outcome.duplicate() && outcome.is_empty());
        for tracker in outcome.touched() {
            // The position matches unless the group has other trackers as well.
            let at = tracker.position();
            let line = match self.trackers.get_mut(at) {
                Some(line) if line.definition.name() == tracker.name() => line,
                _ => match self.line(tracker.name()) {
                    Some(line) => line,
                    None => continue,
                },
            };
            if tracker.is_refused() {
                line.refused += 1;
            } else {
                line.counted += 1;
            }
        }
        #[cfg(feature = "report")]
        if self.reports {
            self.note_times(outcome);
        }
        for (name, reason) in outcome.skipped() {
            if let Some(line) = self.line(name) {
                line.skipped += 1;
                line.late += u64::from(reason == SkipReason::Late);
                line.resting += u64::from(reason == SkipReason::Resting);
            }
        }
        for (name, error) in outcome.failed() {
            if let Some(line) = self.line(name) {
                if !std::mem::replace(&mut line.said, true) {
                    warn(format_args!("tracker {}: {}", quoted(name), sentence(&error.to_string())));
                }
                line.failed += 1;
            }
        }
    }

    /// Records when targets were reached and limits hit.
    #[cfg(feature = "report")]
    fn note_times(&mut self, outcome: &Outcome) {
        for event in outcome.events() {
            let Some(seen) = self.line(event.name()).and_then(|line| line.seen.as_mut()) else { continue };
            match event.code {
                EventCode::StageCompleted | EventCode::AllCompleted => {
                    seen.crossings.add(event.occurred_at, event.times)
                }
                EventCode::Limited => seen.limits.add(event.occurred_at, event.times),
                _ => {}
            }
        }
    }

    /// Stops the clock.
    pub(super) fn stop(&mut self) {
        self.seconds = self.since.elapsed().as_secs_f64();
    }

    /// Reads every group to find out how far each tracker has come: by the clock, and in the period of the latest document.
    /// Otherwise a log of earlier days would show no progress.
    pub(super) fn survey(&mut self, manager: &Blocking) -> Result<(), Error> {
        let now = manager.manager().now();
        let mut groups = 0;
        let latest = self.latest.map_or(now, |latest| latest.min(now));
        self.now = now;
        let trackers = &mut self.trackers;
        for line in trackers.iter_mut() {
            // An earlier attempt may have failed halfway.
            (line.groups, line.completed, line.limited, line.next) = (0, 0, 0, None);
            line.reached.fill(0);
            #[cfg(feature = "report")]
            if let Some(seen) = &mut line.seen {
                seen.top = Top::default();
            }
        }
        wait(manager.manager().for_each_group(|_id, group| {
            groups += 1;
            let mut reach = |name: &str, note: &dyn Fn(&mut Line) -> usize| {
                let Some(line) = trackers.iter_mut().find(|line| line.definition.name() == name) else { return };
                line.groups += 1;
                let stages = note(line);
                line.reached.iter_mut().take(stages).for_each(|reached| *reached += 1);
            };
            for tracker in group.trackers(manager.manager().engine(), None, now) {
                let in_period = tracker.definition.every().is_some().then(|| tracker.at(latest));
                let shown = in_period.as_ref().unwrap_or(&tracker);
                reach(tracker.name(), &|line| {
                    if tracker.limited {
                        line.limited += 1;
                        let next = tracker.limiters.iter().map(|limiter| limiter.retry_at).max();
                        let next = next.flatten().filter(|next| *next > now);
                        line.next = line.next.into_iter().chain(next).min();
                    }
                    #[cfg(feature = "report")]
                    if let Some(seen) = &mut line.seen {
                        seen.top.offer(_id, shown);
                    }
                    let targets = shown.definition.targets();
                    let reached = stages_reached(shown);
                    // One without a target never is.
                    let is_done = !targets.is_empty() && shown.cycle == 0 && reached >= targets.len();
                    line.completed += u64::from(is_done);
                    reached
                });
            }
            for completed in still_completed(group, now) {
                reach(completed.tracker.name(), &|line| {
                    #[cfg(feature = "report")]
                    if let Some(seen) = &mut line.seen {
                        seen.top.offer(_id, &completed.tracker);
                    }
                    line.completed += 1;
                    usize::MAX
                });
            }
        }))?;
        self.groups = groups;
        Ok(())
    }

    /// Documents per second, if counting took this many seconds.
    fn rate(&self, seconds: f64) -> f64 {
        self.documents as f64 / seconds.max(1e-9)
    }

    /// Whether earlier runs had already counted everything in the inputs.
    pub(super) fn is_nothing_new(&self) -> bool {
        self.resumed && !self.interrupted && [self.documents, self.malformed, self.ahead, self.filtered] == [0; 4]
    }

    /// The text of the progress bar.
    pub(super) fn so_far(&self) -> String {
        let rate = self.rate(self.since.elapsed().as_secs_f64());
        format!("{}, {} a second", counted(self.documents, "document"), thousands(rate as u64))
    }

    fn totals(&self) -> String {
        let mut text = format!(
            "{} in {:.2} s, {} a second",
            counted(self.documents, "document"),
            self.seconds,
            thousands(self.rate(self.seconds) as u64)
        );
        for (count, what) in [
            (self.malformed, "malformed"),
            (self.ahead, "ahead of the clock"),
            (self.filtered, "left out by --where"),
            (self.duplicates, "repeated"),
            (self.untouched, "matched no tracker"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {} {what}", thousands(count)));
            }
        }
        if self.interrupted {
            text.push_str(match self.go_on {
                GoOn::Not => "; interrupted",
                GoOn::Again => "; interrupted, run again to continue",
                GoOn::WithoutAgain => "; interrupted, run without --again to continue",
            });
        }
        text
    }

    /// Reports that standard output was closed, and what is kept.
    pub(super) fn say_out_closed(&self, kept: bool, printed_events: bool) {
        let what = match (kept, printed_events) {
            (true, true) => ", and the next run prints the remaining events",
            (true, false) => "; use dictrack show to see it",
            (false, _) => "",
        };
        let counted = counted(self.documents, "document");
        let (is_kept, next) = match (kept, self.go_on) {
            (false, _) => ("nothing is kept without --store", ""),
            (true, GoOn::Not) => ("what was counted is kept", ""),
            (true, GoOn::Again) => ("what was counted is kept", "; run again to continue"),
            (true, GoOn::WithoutAgain) => ("what was counted is kept", "; run without --again to continue"),
        };
        warn(format_args!("dictrack: standard output was closed after {counted}: {is_kept}{what}{next}"));
    }

    /// Prints one line on standard error, since standard output has the events.
    pub(super) fn one_line(&self) {
        warn(self.totals());
    }

    /// The table and the totals.
    pub(super) fn table(&self) -> String {
        let table = fitted(12, |cells| self.lines(cells));
        let totals = format!("{}, {}{}", self.totals(), counted(self.groups, "group"), self.period_words());
        format!("{table}\n{}", wrapped(&totals))
    }

    /// The moment whose periods are shown, if it is not the present.
    fn period(&self) -> Option<Timestamp> {
        let has_periods = self.trackers.iter().any(|line| line.definition.every().is_some());
        self.latest.filter(|_| has_periods).map(|latest| latest.min(self.now))
    }

    fn period_words(&self) -> String {
        let words = Words::at(self.now);
        // A document of this minute is recent enough.
        let earlier = self.period().filter(|latest| self.now.since(*latest) > Span::from_secs(60));
        earlier.map_or_else(String::new, |latest| format!("; periods as of {}", words.clock(latest)))
    }

    /// One line per tracker, with bars of `cells` cells.
    fn lines(&self, cells: usize) -> Table {
        let header = ["tracker", "reached by groups", "completed", "limited", "counted", "refused", "skipped"];
        let mut table = table(presets::UTF8_HORIZONTAL_ONLY, &header, &header[..1]);
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        for line in &self.trackers {
            let next = line.next.map(|next| Words::at(self.now).away(next));
            let limited = [Some(thousands(line.limited)), next].into_iter().flatten().collect::<Vec<_>>().join("\n");
            let [completed, counted, refused] = [line.completed, line.counted, line.refused].map(thousands);
            let cells = [plain(line.definition.name()).into_owned(), line.bars(self.groups, cells)];
            table.add_row(cells.into_iter().chain([completed, limited, counted, refused, line.skipped_words()]));
        }
        table
    }

    /// One record for each tracker.
    pub(super) fn csv(&self) -> Result<String, Failure> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header =
            ["tracker", "groups", "completed", "limited", "counted", "refused", "skipped", "late", "resting", "failed"];
        writer.write_record(header)?;
        for line in &self.trackers {
            let numbers = [
                line.groups,
                line.completed,
                line.limited,
                line.counted,
                line.refused,
                line.skipped,
                line.late,
                line.resting,
                line.failed,
            ];
            let name = std::iter::once(line.definition.name().to_owned());
            writer.write_record(name.chain(numbers.map(|number| number.to_string())))?;
        }
        records(writer)
    }

    /// The page about the run. Takes what is known of the trackers.
    #[cfg(feature = "report")]
    pub(super) fn page(&mut self, title: String, about: String, malformed: Vec<String>) -> Page {
        let rate = thousands(self.rate(self.seconds) as u64);
        let mut facts = vec![("documents", thousands(self.documents)), ("groups", thousands(self.groups))];
        let rest = [
            ("malformed", self.malformed),
            ("ahead of the clock", self.ahead),
            ("left out by --where", self.filtered),
            ("repeated", self.duplicates),
            ("matched no tracker", self.untouched),
        ];
        facts.extend(rest.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| (what, thousands(count))));
        facts.extend([("seconds", format!("{:.2}", self.seconds)), ("documents a second", rate)]);
        if self.interrupted {
            facts.push(("interrupted", "yes".to_owned()));
        }
        let all_malformed = self.malformed + self.ahead;
        let trackers = std::mem::take(&mut self.trackers).into_iter().map(|line| {
            let numbers = [("counted", line.counted), ("completed", line.completed), ("limited", line.limited)];
            let rest = [
                ("refused", line.refused),
                ("skipped", line.skipped),
                ("late", line.late),
                ("resting", line.resting),
                ("failed", line.failed),
            ];
            let rest = rest.into_iter().filter(|(_, count)| *count > 0);
            let Seen { crossings, limits, top } = line.seen.map(|seen| *seen).unwrap_or_default();
            Section {
                facts: numbers.into_iter().chain(rest).map(|(what, count)| (what, thousands(count))).collect(),
                definition: TrackerDefinition::clone(&line.definition),
                groups: self.groups,
                reached: line.reached,
                happened: "Targets reached",
                crossings,
                limits,
                top,
            }
        });
        Page { title, about, now: self.now, facts, trackers: trackers.collect(), malformed: (malformed, all_malformed) }
    }

    pub(super) fn to_json(&self) -> Json {
        let number = |number: u64| Json::from(number);
        let trackers = self.trackers.iter().map(|line| {
            let stages = line.definition.targets().iter().zip(&line.reached).map(|(target, reached)| {
                object([("target", Number::Exact(*target).into()), ("groups", number(*reached))])
            });
            object([
                ("name", line.definition.name().into()),
                ("stages", Json::List(stages.collect())),
                ("groups", number(line.groups)),
                ("completed", number(line.completed)),
                ("limited", number(line.limited)),
                ("counted", number(line.counted)),
                ("refused", number(line.refused)),
                ("skipped", number(line.skipped)),
                ("late", number(line.late)),
                ("resting", number(line.resting)),
                ("failed", number(line.failed)),
            ])
        });
        let rounded = |value: f64| Json::Number(Number::from((value * 1000.0).round() / 1000.0));
        object([
            ("documents", number(self.documents)),
            ("malformed", number(self.malformed)),
            ("ahead", number(self.ahead)),
            ("filtered", number(self.filtered)),
            ("repeated", number(self.duplicates)),
            ("matched_nothing", number(self.untouched)),
            ("groups", number(self.groups)),
            ("seconds", rounded(self.seconds)),
            ("documents_per_second", rounded(self.rate(self.seconds))),
            ("interrupted", self.interrupted.into()),
            ("periods_as_of", self.period().map_or(Json::Null, |moment| moment.to_number().into())),
            ("trackers", Json::List(trackers.collect())),
        ])
    }
}

impl Line {
    /// How many documents were skipped or failed, and how many of them because of their time.
    fn skipped_words(&self) -> String {
        let mut words = thousands(self.skipped + self.failed);
        for (count, what) in [(self.late, "late"), (self.resting, "resting")] {
            if count > 0 {
                words.push_str(&format!("\n{} {what}", thousands(count)));
            }
        }
        words
    }

    /// One line per stage: its target, a bar, and how many groups reached it.
    fn bars(&self, groups: u64, cells: usize) -> String {
        let targets = self.definition.targets();
        let width = targets.iter().map(|target| target.to_string().len()).max().unwrap_or(0);
        let count_width = self.reached.iter().map(|reached| thousands(*reached).len()).max().unwrap_or(0);
        let line = |(target, reached): (&Amount, &u64)| {
            let part = *reached as f64 / groups.max(1) as f64;
            let percent = part * 100.0;
            let (target, reached) = (target.to_string(), thousands(*reached));
            format!("{target:>width$} {} {reached:>count_width$} {percent:>5.1}%", bar(part, cells))
        };
        let all: Vec<String> = targets.iter().zip(&self.reached).map(line).collect();
        if all.len() <= STAGES_SHOWN {
            return all.join("\n");
        }
        let more = format!("{:>width$} … {} more", "", all.len() - STAGES_SHOWN);
        [&all[..STAGES_SHOWN - 1], &[more], &all[all.len() - 1..]].concat().join("\n")
    }
}
