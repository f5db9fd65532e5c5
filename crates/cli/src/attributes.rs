//! `dictrack attributes`: what a group has besides trackers, such as its time zone.

use dictrack::group::{Engine, Group};
use dictrack::json::{Bounds, Json, Map};
use dictrack::text::{plain, quoted};

use crate::complete;
use crate::moment::ZoneArg;
use crate::print::{say, say_json};
use crate::report::Output;
use crate::store::{Where, wait};
use crate::{Failure, Outcome};

/// Show or set the attributes of a group, such as its time zone.
///
/// Without KEY=VALUE, shows them. VALUE is JSON, or else a string; `KEY=` and
/// `KEY=null` remove a key. A group may have up to 64 attributes, of up to 4 KiB
/// as JSON.
///
/// `zone` is the time zone of the group's windows, an IANA name. A new zone takes
/// hold when the current period of a window ends, and at once where nothing was
/// counted yet.
///
/// Examples:
///   dictrack attributes user_001 --store dictrack.db
///   dictrack attributes user_001 zone=Europe/Berlin plan=pro seats=5 \
///       --store dictrack.db
///   dictrack attributes user_001 plan= --cache redis://localhost \
///       --store mongodb://localhost/shop
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The group.
    #[arg(add = complete::groups())]
    group: String,
    /// The attributes to set or to remove.
    #[arg(value_name = "KEY=VALUE", value_parser = change)]
    changes: Vec<Change>,
    #[command(flatten)]
    place: Where,
    /// The output format.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

/// An attribute to set, or to remove if the value is null.
#[derive(Clone, Debug)]
struct Change {
    key: String,
    value: Json,
}

fn change(text: &str) -> Result<Change, String> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err("expected KEY=VALUE, such as zone=Europe/Berlin".to_owned());
    };
    let bounds = Bounds { lone_surrogates: false, ..Bounds::DOCUMENT };
    let value = match value {
        "" => Json::Null,
        text => Json::parse_within(text.as_bytes(), bounds).unwrap_or_else(|_| text.into()),
    };
    Ok(Change { key: key.to_owned(), value })
}

pub(crate) fn attributes(args: &Args) -> Outcome {
    let attributes = if args.changes.is_empty() {
        let shown = args.place.named()?.open()?;
        shown.group(&args.group, &Engine::default())?.attributes().clone()
    } else {
        set(args)?
    };
    if args.output.is_json() {
        say_json(&attributes.into());
        return Ok(true);
    }
    say(format_args!("group {}", plain(&args.group)));
    match attributes.is_empty() {
        true => say("no attributes"),
        false => lines(&attributes).into_iter().for_each(say),
    }
    Ok(true)
}

fn set(args: &Args) -> Result<Map, Failure> {
    let mut changes = Map::default();
    for Change { key, value } in &args.changes {
        if changes.get(key).is_some() {
            return Err(Failure(format!("attribute {} is given twice; expected each once", quoted(key))));
        }
        changes.insert(key.as_str().into(), value.clone());
    }
    // Before opening the store, which creates it.
    Group::default().set_attributes(&changes)?;
    let manager = args.place.named()?.manager(ZoneArg::default())?;
    wait(manager.set_attributes(&args.group, changes))?;
    let attributes = wait(manager.attributes(&args.group))?;
    wait(manager.close())?;
    Ok(attributes)
}

/// One line for each attribute: `  zone  Europe/Berlin`.
pub(crate) fn lines(attributes: &Map) -> Vec<String> {
    let widest = attributes.iter().map(|(key, _)| plain(key).chars().count()).max().unwrap_or(0);
    let value = |value: &Json| match value {
        Json::Text(text) if Json::parse(text.as_bytes()).is_err() => plain(text).into_owned(),
        // A string that looks like other JSON is quoted.
        value => plain(&value.to_string()).into_owned(),
    };
    attributes.iter().map(|(key, of)| format!("  {:widest$}  {}", plain(key), value(of))).collect()
}
