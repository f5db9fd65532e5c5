//! `dictrack apply`: gives the groups of a store the trackers in a file.

use std::collections::HashMap;
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use dictrack::clock::{Clock as _, SystemClock};
use dictrack::group::{Call, Engine, Group};
use dictrack::json::Json;
use dictrack::template::TemplateSet;
use dictrack::text::plain;
use dictrack::{Amount, TrackerSnapshot, url};

use crate::operate::How;
use crate::print::{say, say_json, warn};
use crate::report::{counted, fitted, object, spinner, table, thousands};
use crate::show::each_group;
use crate::store::wait;
use crate::{Failure, Outcome, check};

/// Give the groups of a store the trackers in a file: those for all groups, and
/// those of the templates that a group's attributes satisfy.
///
/// A tracker whose definition changes keeps its progress. Trackers that came from
/// a template, and that no template gives the group any more, are removed, unless
/// they have completed. Other trackers stay.
///
/// Prints for each tracker how many groups get it, change it or lose it, in how
/// many the next document that counts would complete it, and in how many its
/// limiters would refuse a document now, but did not before.
///
/// A program that gives its manager the same file does this by itself, for each
/// group when it is next used. This command does it for all groups at once; with
/// --dry, it only shows what would happen.
///
/// Examples:
///   dictrack apply quests.toml --dry --store dictrack.db
///   dictrack apply quests.toml --store dictrack.db
///   dictrack apply quests.toml --cache redis://localhost \
///       --store mongodb://localhost/shop
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A definition file in JSON, TOML or YAML.
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

/// What happens to a tracker, by the number of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effect {
    gain: u64,
    change: u64,
    lose: u64,
    /// The next document that counts completes it, which it would not without the change.
    complete: u64,
    /// A limiter refuses documents now, and did not before.
    limited: u64,
}

/// What happens to all trackers.
#[derive(Default)]
struct Effects {
    groups: u64,
    changed: u64,
    /// In the order of the file; then those that are not in it.
    trackers: Vec<(String, Option<String>, Effect)>,
    positions: HashMap<String, usize>,
}

pub(crate) fn apply(args: &Args) -> Outcome {
    let (templates, warnings) = dictrack::files::read_templates_with_warnings(&args.file)?;
    warnings.iter().for_each(warn);
    let customs = check::customs(check::definitions(&templates));
    if !customs.is_empty() {
        return Err(Failure(format!(
            "{}: the command cannot apply {}; the program that registers them does",
            url::shown_path(&args.file),
            customs.join(", ")
        )));
    }
    let place = args.how.place.named()?;
    let engine = args.how.zone.engine();
    let mut effects = Effects::default();
    for tracker in check::definitions(&templates) {
        effects.of(tracker.name(), tracker.template());
    }
    engine.templates.set(TemplateSet::new(templates.clone())?);
    let bar = spinner("{spinner} {msg} {elapsed}");
    let mut changed = Vec::new();
    let shown = place.open()?;
    each_group(&*shown.store, &engine, |id, group| {
        if effects.note(&engine, id, group)? && !args.how.dry {
            changed.push(id.to_owned());
        }
        bar.set_message(counted(effects.groups, "group"));
        Ok(true)
    })?;
    drop(shown);
    if !changed.is_empty() {
        let manager = place.manager(args.how.zone)?;
        manager.set_trackers(templates)?;
        for (at, id) in changed.iter().enumerate() {
            wait(manager.apply_templates(id))?;
            bar.set_message(format!("{} of {}", thousands(at as u64 + 1), counted(changed.len() as u64, "group")));
        }
        wait(manager.close())?;
    }
    bar.finish_and_clear();
    if args.how.output.is_json() {
        say_json(&effects.to_json(args.how.dry));
        return Ok(true);
    }
    say(fitted(0, |_| effects.table()));
    let would = if args.how.dry { "would change" } else { "changed" };
    say(format_args!("{} of {} {would}", thousands(effects.changed), counted(effects.groups, "group")));
    Ok(true)
}

impl Effects {
    fn of(&mut self, tracker: &str, template: Option<&str>) -> &mut Effect {
        let trackers = &mut self.trackers;
        let at = *self.positions.entry(tracker.to_owned()).or_insert_with(|| {
            trackers.push((tracker.to_owned(), template.map(str::to_owned), Effect::default()));
            trackers.len() - 1
        });
        &mut trackers[at].2
    }

    /// Notes what happens to a group. Returns whether anything does.
    fn note(&mut self, engine: &Engine, id: &str, group: &Group) -> Result<bool, Failure> {
        self.groups += 1;
        let call = Call::new(engine, id, SystemClock.now());
        let mut copy = group.clone();
        let added = copy.apply_templates(&call)?;
        if copy.version() == group.version() {
            return Ok(false);
        }
        self.changed += 1;
        let [before, after] = [group, &copy].map(|group| group.trackers(engine, None, call.now));
        let find =
            |trackers: &[TrackerSnapshot], name: &str| trackers.iter().find(|tracker| tracker.name() == name).cloned();
        for name in &added.added {
            self.of(name, None).gain += 1;
        }
        for name in &added.removed {
            let template = find(&before, name).and_then(|tracker| tracker.definition.template().map(str::to_owned));
            self.of(name, template.as_deref()).lose += 1;
        }
        for name in &added.updated {
            let (old, new) = (find(&before, name), find(&after, name));
            let effect = self.of(name, None);
            // A tracker that only comes from another template now is the same.
            effect.change +=
                u64::from(old.as_ref().map(|old| &old.definition) != new.as_ref().map(|new| &new.definition));
            effect.complete += u64::from(!old.as_ref().is_some_and(completes) && new.as_ref().is_some_and(completes));
            effect.limited += u64::from(!old.as_ref().is_some_and(refuses) && new.as_ref().is_some_and(refuses));
        }
        Ok(true)
    }

    fn table(&self) -> Table {
        let header = ["tracker", "template", "gain", "change", "lose", "would complete", "would be limited"];
        let mut table = table(presets::NOTHING, &header, &["tracker", "template"]);
        for (name, template, effect) in &self.trackers {
            let Effect { gain, change, lose, complete, limited } = *effect;
            let numbers = [gain, change, lose, complete, limited].map(|number| match number {
                0 => "-".to_owned(),
                number => thousands(number),
            });
            let names = [plain(name).into_owned(), plain(template.as_deref().unwrap_or("-")).into_owned()];
            table.add_row(names.into_iter().chain(numbers));
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }

    fn to_json(&self, dry: bool) -> Json {
        let trackers = self.trackers.iter().map(|(name, template, effect)| {
            let Effect { gain, change, lose, complete, limited } = *effect;
            object([
                ("name", name.as_str().into()),
                ("template", template.as_deref().map_or(Json::Null, Json::from)),
                ("gain", gain.into()),
                ("change", change.into()),
                ("lose", lose.into()),
                ("would_complete", complete.into()),
                ("would_be_limited", limited.into()),
            ])
        });
        object([
            ("dry", dry.into()),
            ("groups", self.groups.into()),
            ("changed", self.changed.into()),
            ("trackers", Json::List(trackers.collect())),
        ])
    }
}

/// Whether the next document that counts completes the tracker, or its stage.
fn completes(tracker: &TrackerSnapshot) -> bool {
    tracker.target().is_some_and(|target| tracker.progress >= target)
}

/// Whether a limiter refuses a document now.
fn refuses(tracker: &TrackerSnapshot) -> bool {
    tracker.limiters.iter().any(|limiter| {
        limiter.retry_at.is_some_and(|moment| moment > tracker.as_of) || limiter.remaining == Some(Amount::ZERO)
    })
}
