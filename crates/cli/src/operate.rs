//! What an operator does to one group: `dictrack reset`, `set-progress` and `delete`.

use dictrack::clock::{Clock as _, SystemClock};
use dictrack::group::{Call, Engine, Group};
use dictrack::json::Json;
use dictrack::manager::Reset;
use dictrack::text::{plain, quoted};
use dictrack::{Amount, Manager, Renewal, ResetPolicy, Timestamp, TrackerSnapshot};

use crate::complete;
use crate::moment::ZoneArg;
use crate::print::{say, say_json};
use crate::report::{Output, counted, object};
use crate::store::{Where, wait};
use crate::{Failure, Outcome};

/// Reset a tracker of a group: its progress, its limiters or both.
///
/// Without --what, the tracker's own `reset_policy` says what is reset. This
/// fires RESET.
///
/// Examples:
///   dictrack reset user_001 daily_posts --store dictrack.db
///   dictrack reset user_001 daily_posts --what all --dry --store dictrack.db
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResetArgs {
    /// The group.
    #[arg(add = complete::groups())]
    group: String,
    /// The tracker.
    #[arg(add = complete::trackers())]
    tracker: String,
    /// What is reset [default: what the tracker's definition says].
    #[arg(long)]
    what: Option<What>,
    #[command(flatten)]
    how: How,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum What {
    /// Progress goes back to 0.
    Progress,
    /// Limiters are renewed.
    Limiter,
    /// Both.
    All,
}

/// Set the progress of a tracker of a group, without firing events.
///
/// The next document that counts completes the stages that the progress has
/// reached. A streak has no progress to set.
///
/// Examples:
///   dictrack set-progress user_001 purchases 7 --store dictrack.db
///   dictrack set-progress user_001 spent 12.50 --dry --store dictrack.db
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct SetProgressArgs {
    /// The group.
    #[arg(add = complete::groups())]
    group: String,
    /// The tracker.
    #[arg(add = complete::trackers())]
    tracker: String,
    /// The progress: a number.
    #[arg(allow_negative_numbers = true)]
    progress: Amount,
    #[command(flatten)]
    how: How,
}

/// Delete a group with all that belongs to it.
///
/// That is its trackers, history, ids of documents, undelivered events and
/// attributes.
///
/// Examples:
///   dictrack delete user_001 --dry --store dictrack.db
///   dictrack delete user_001 --store dictrack.db
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct DeleteArgs {
    /// The group.
    #[arg(add = complete::groups())]
    group: String,
    #[command(flatten)]
    how: How,
}

/// Where a change is made, and whether at all.
#[derive(clap::Args)]
pub(crate) struct How {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Show what would change, but change nothing. Also possible while a program is counting.
    #[arg(long)]
    pub(crate) dry: bool,
    #[command(flatten)]
    pub(crate) zone: ZoneArg,
    /// The output format.
    #[arg(short, long, default_value = "table")]
    pub(crate) output: Output,
}

/// What is done to a group.
enum Operation<'a> {
    Reset(&'a str, Option<ResetPolicy>),
    SetProgress(&'a str, Amount),
    Delete,
}

pub(crate) fn reset(args: &ResetArgs) -> Outcome {
    let policy = args.what.map(|what| match what {
        What::Progress => ResetPolicy::PROGRESS,
        What::Limiter => ResetPolicy::LIMITER,
        What::All => ResetPolicy::ALL,
    });
    operate(&args.how, &args.group, &Operation::Reset(&args.tracker, policy))
}

pub(crate) fn set_progress(args: &SetProgressArgs) -> Outcome {
    operate(&args.how, &args.group, &Operation::SetProgress(&args.tracker, args.progress))
}

pub(crate) fn delete(args: &DeleteArgs) -> Outcome {
    operate(&args.how, &args.group, &Operation::Delete)
}

impl Operation<'_> {
    fn tracker(&self) -> Option<&str> {
        match self {
            Self::Reset(tracker, _) | Self::SetProgress(tracker, _) => Some(tracker),
            Self::Delete => None,
        }
    }

    /// Does it to a copy of the group. Returns whether there was anything to do it to.
    fn try_on(&self, group: &mut Group, call: &Call<'_>) -> Result<bool, Failure> {
        Ok(match self {
            Self::Reset(tracker, policy) => group.reset(call, tracker, *policy, Renewal::default())?.is_some(),
            Self::SetProgress(tracker, progress) => group.set_progress(call, tracker, *progress),
            Self::Delete => group.forget(),
        })
    }

    fn carry_out(&self, manager: &Manager, group: &str) -> Result<bool, Failure> {
        Ok(match self {
            Self::Reset(tracker, policy) => {
                let mut reset = Reset::default();
                reset.policy = *policy;
                wait(manager.reset_tracker(group, tracker, reset))?.is_some()
            }
            Self::SetProgress(tracker, progress) => wait(manager.set_progress(group, tracker, *progress))?,
            Self::Delete => wait(manager.delete_group(group))?,
        })
    }
}

fn operate(how: &How, id: &str, operation: &Operation<'_>) -> Outcome {
    let place = how.place.named()?;
    let engine = how.zone.engine();
    let now = SystemClock.now();
    // First for reading only, which neither creates a store nor disturbs a program that writes to it.
    let shown = place.open()?;
    let group = shown.group(id, &engine)?;
    let before = group.trackers(&engine, None, now);
    let mut copy = group.clone();
    if !operation.try_on(&mut copy, &Call::new(&engine, id, now))? {
        return Err(refusal(operation, id, &group, now));
    }
    let after = if how.dry {
        copy.trackers(&engine, None, now)
    } else {
        drop(shown);
        let manager = place.manager(how.zone)?;
        if !operation.carry_out(&manager, id)? {
            return Err(refusal(operation, id, &group, now));
        }
        let after = wait(manager.trackers(id))?;
        wait(manager.close())?;
        after
    };
    report(how, id, operation, &group, &before, &after);
    Ok(true)
}

/// Why nothing was done.
fn refusal(operation: &Operation<'_>, id: &str, group: &Group, now: Timestamp) -> Failure {
    let Some(tracker) = operation.tracker() else {
        return Failure(format!("group {} has nothing to delete", quoted(id)));
    };
    let active = group.trackers(&Engine::default(), Some(&[tracker]), now);
    if matches!(operation, Operation::SetProgress(..)) && active.iter().any(|tracker| tracker.freezes.is_some()) {
        return Failure(format!("tracker {} is a streak, which has no progress to set", quoted(tracker)));
    }
    if group.completed().iter().any(|completed| completed.tracker.name() == tracker) {
        return Failure(format!(
            "group {} has completed tracker {}; expected an active one",
            quoted(id),
            quoted(tracker)
        ));
    }
    let names: Vec<_> = group.active_names(now).map(|name| quoted(name).to_string()).collect();
    let names = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    Failure(format!("group {} has no active tracker {}; {names}", quoted(id), quoted(tracker)))
}

fn report(
    how: &How,
    id: &str,
    operation: &Operation<'_>,
    group: &Group,
    before: &[TrackerSnapshot],
    after: &[TrackerSnapshot],
) {
    let would = if how.dry { "would be " } else { "" };
    let done = match operation {
        Operation::Reset(..) => "reset",
        Operation::SetProgress(..) => "set",
        Operation::Delete => "deleted",
    };
    let Some(tracker) = operation.tracker() else {
        if how.output.is_json() {
            say_json(&object([("group", id.into()), ("dry", how.dry.into()), ("deleted", true.into())]));
            return;
        }
        let trackers = counted((before.len() + group.completed().len()) as u64, "tracker");
        say(format_args!("group {} {would}{done}, with {trackers}", plain(id)));
        return;
    };
    let [before, after] = [before, after].map(|trackers| trackers.iter().find(|found| found.name() == tracker));
    if how.output.is_json() {
        let [before, after] = [before, after].map(|found| found.map_or(Json::Null, TrackerSnapshot::to_json));
        say_json(&object([("group", id.into()), ("dry", how.dry.into()), ("before", before), ("after", after)]));
        return;
    }
    let tally = |found: Option<&TrackerSnapshot>| found.map_or_else(String::new, |found| found.tally().to_string());
    let (id, tracker) = (plain(id), plain(tracker));
    say(format_args!("group {id}: {tracker} {would}{done}, {} before, {} after", tally(before), tally(after)));
}
