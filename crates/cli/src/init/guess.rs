//! What the fields of documents probably are: the group, the time, the kind of event, and numbers worth summing.

use std::collections::{BTreeMap, HashMap, HashSet};

use dictrack::json::Json;
use dictrack::number::Number;
use dictrack::text::plain;
use dictrack::{Amount, Document as _, Path};

use crate::report::{counted, thousands};
use crate::run::sample::time;

/// Names of fields, the most likely first.
const GROUPS: [&str; 18] = [
    "user_id",
    "customer_id",
    "player_id",
    "account_id",
    "member_id",
    "client_id",
    "user",
    "customer",
    "player",
    "account",
    "member",
    "client",
    "username",
    "tenant",
    "organization",
    "device",
    "session",
    "email",
];
const TIMES: [&str; 9] = ["timestamp", "time", "datetime", "created_at", "at", "ts", "date", "when", "day"];
const KINDS: [&str; 9] = ["event", "event_type", "type", "action", "kind", "status", "category", "method", "name"];
const AMOUNTS: [&str; 16] = [
    "amount", "total", "price", "revenue", "cost", "value", "points", "score", "quantity", "qty", "count", "tokens",
    "bytes", "duration", "distance", "minutes",
];
const IDS: [&str; 6] = ["event_id", "request_id", "order_id", "transaction_id", "uuid", "id"];
/// A `user_agent` is no user.
const NOT_GROUPS: [&str; 6] = ["agent", "type", "status", "age", "count", "country"];
/// Numbers with such names are not amounts.
const OTHER_NUMBERS: [&str; 14] =
    ["id", "ids", "zip", "postcode", "year", "month", "day", "hour", "lat", "lon", "lng", "port", "code", "version"];

/// No more fields than this are looked at, and of each no more values.
const FIELDS: usize = 1_000;
const VALUES: usize = 40;
/// A kind of event has no more values than this.
const KINDS_AT_MOST: usize = 20;
/// How many kinds and how many numbers get a tracker.
const CHOSEN_KINDS: usize = 3;
const CHOSEN_AMOUNTS: usize = 2;

/// What the documents seem to be.
#[derive(Debug, Default)]
pub(super) struct Guess {
    /// The path of the group, and how many there are. Without one, all documents are one group.
    pub(super) group: Option<(Path, usize)>,
    pub(super) time: Option<Path>,
    /// The path of values that no two documents share.
    pub(super) id: Option<Path>,
    /// The path of the kind of event, and the most frequent kinds.
    pub(super) kinds: Option<(Path, Vec<Json>)>,
    pub(super) amounts: Vec<Path>,
}

/// What is known of the values at a path.
#[derive(Default)]
struct Field {
    keys: Vec<String>,
    present: usize,
    /// How many could be a group, a time, and an amount.
    names: usize,
    times: usize,
    amounts: usize,
    negative: usize,
    texts: usize,
    distinct: HashSet<String>,
    /// How often some values appear.
    values: HashMap<String, (usize, Json)>,
}

impl Field {
    fn add(&mut self, value: &Json) {
        self.present += 1;
        let text = match value {
            Json::Text(text) => {
                self.texts += 1;
                text.to_string()
            }
            Json::Number(number @ (Number::Exact(_) | Number::Wide(_))) => number.to_plain(),
            other => other.to_string(),
        };
        let number = match value {
            Json::Number(number) => Some(number.clone()),
            Json::Text(text) => Number::parse_text(text),
            _ => None,
        };
        self.names +=
            usize::from(matches!(value, Json::Text(text) if !text.is_empty() && text.len() <= 200) || is_whole(value));
        // A number could be seconds, from 2001 to 2100.
        let seconds = value.as_number().is_none_or(|number| (1e9..4.2e9).contains(&to_f64(number)));
        self.times += usize::from(seconds && time(value).is_some());
        self.amounts += usize::from(number.is_some());
        self.negative += usize::from(number.is_some_and(|number| to_f64(&number) < 0.0));
        if self.values.len() < VALUES || self.values.contains_key(&text) {
            self.values.entry(text.clone()).or_insert_with(|| (0, value.clone())).0 += 1;
        }
        self.distinct.insert(text);
    }

    /// How well the name fits a list of names: 0 for the first of them.
    fn rank(&self, names: &[&str]) -> Option<usize> {
        let name = self.name();
        let exact = names.iter().position(|known| *known == name);
        let parts: Vec<&str> = name.split('_').collect();
        exact.or_else(|| {
            let within = names.iter().position(|known| parts.contains(known) || name.ends_with(&format!("_{known}")));
            within.map(|rank| names.len() + rank)
        })
    }

    /// The last key in lower case, with `_` between words: `userId` as `user_id`.
    fn name(&self) -> String {
        let mut name = String::new();
        let mut before = '_';
        for letter in self.keys.last().map_or("", String::as_str).chars() {
            if letter.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit()) {
                name.push('_');
            }
            match letter {
                letter if letter.is_alphanumeric() => name.extend(letter.to_lowercase()),
                _ if before != '_' => name.push('_'),
                _ => {}
            }
            before = letter;
        }
        name
    }

    fn path(&self) -> Option<Path> {
        let text = self.keys.iter().map(|key| key.replace('.', "\\.")).collect::<Vec<_>>().join(".");
        // Not every key can be written in a path.
        Path::parse(&text)
            .filter(|path| path.segments().iter().map(|segment| segment.key()).eq(self.keys.iter().map(String::as_str)))
    }

    /// Whether almost every value that it has is one of these.
    fn is_mostly(&self, some: usize) -> bool {
        some > 0 && some * 100 >= self.present * 95
    }
}

fn to_f64(number: &Number) -> f64 {
    number.to_rounded().map_or(0.0, Amount::to_f64)
}

fn is_whole(value: &Json) -> bool {
    matches!(value, Json::Number(Number::Exact(amount)) if amount.to_integer().is_some())
}

/// Adds the values of a document to its fields. Lists have no path that fits every document.
fn add(fields: &mut BTreeMap<Vec<String>, Field>, keys: &mut Vec<String>, value: &Json) {
    match value {
        Json::Map(map) => {
            for (key, value) in map.iter() {
                keys.push(key.to_owned());
                add(fields, keys, value);
                keys.pop();
            }
        }
        Json::List(_) | Json::Null => {}
        value => {
            if fields.len() < FIELDS || fields.contains_key(keys) {
                fields
                    .entry(keys.clone())
                    .or_insert_with(|| Field { keys: keys.clone(), ..Field::default() })
                    .add(value);
            }
        }
    }
}

impl Guess {
    pub(super) fn of(documents: &[Json]) -> Self {
        let mut fields = BTreeMap::new();
        documents.iter().for_each(|document| add(&mut fields, &mut Vec::new(), document));
        let fields: Vec<(Path, Field)> =
            fields.into_values().filter_map(|field| Some((field.path()?, field))).collect();
        let all = documents.len();
        // A document without its group or its time does not count.
        let is_everywhere = |field: &Field| field.present * 100 >= all * 95;
        let best = |names: &[&str], fits: &dyn Fn(&Field) -> bool| {
            let named = fields.iter().filter(|(_, field)| fits(field)).filter_map(|(path, field)| {
                // Of the same rank, the one that is the least deep.
                Some((field.rank(names)?, field.keys.len(), path))
            });
            named.min_by_key(|(rank, depth, _)| (*rank, *depth)).map(|(.., path)| path.clone())
        };
        let is_time = |field: &Field| field.is_mostly(field.times) && is_everywhere(field);
        let texts_are_times = |field: &Field| is_time(field) && field.texts > 0;
        let time = best(&TIMES, &is_time)
            .or_else(|| fields.iter().find(|(_, field)| texts_are_times(field)).map(|(path, _)| path.clone()));
        let is_group = |field: &Field| {
            let is_other = field.name().split('_').next_back().is_some_and(|last| NOT_GROUPS.contains(&last));
            field.is_mostly(field.names) && is_everywhere(field) && !texts_are_times(field) && !is_other
        };
        let repeats = |field: &Field| field.distinct.len() * 3 <= field.present * 2;
        let group = best(&GROUPS, &is_group).or_else(|| {
            // Of names that nobody knows, the one with the most groups that have several documents.
            let others = fields.iter().filter(|(path, field)| {
                let is_kind = field.distinct.len() <= KINDS_AT_MOST && field.rank(&KINDS).is_some();
                is_group(field)
                    && field.distinct.len() > 1
                    && repeats(field)
                    && !is_kind
                    && field.rank(&AMOUNTS).is_none()
                    && Some(path) != time.as_ref()
            });
            let is_id = |field: &Field| field.name().ends_with("id");
            others
                .max_by_key(|(_, field)| (is_id(field), field.texts > 0, field.distinct.len()))
                .map(|(path, _)| path.clone())
        });
        let is_taken = |path: &Path| Some(path) == group.as_ref() || Some(path) == time.as_ref();
        let field_of = |path: &Path| fields.iter().find(|(other, _)| other == path).map(|(_, field)| field);
        let rest: Vec<&(Path, Field)> = fields.iter().filter(|(path, _)| !is_taken(path)).collect();
        let is_id = |field: &Field| {
            all > 1 && field.present == all && field.distinct.len() == all && field.is_mostly(field.names)
        };
        let id = rest.iter().filter(|(_, field)| is_id(field));
        let id = id.filter_map(|(path, field)| Some((field.rank(&IDS)?, path))).min_by_key(|(rank, _)| *rank);
        let is_kind = |field: &Field| {
            let several = (2..=KINDS_AT_MOST).contains(&field.distinct.len());
            several
                && field.texts * 2 > field.present
                && field.amounts * 2 < field.present
                && !texts_are_times(field)
                && repeats(field)
                && field.present * 2 > all
        };
        let kinds = rest
            .iter()
            .filter(|(_, field)| is_kind(field))
            .min_by_key(|(_, field)| (field.rank(&KINDS).unwrap_or(usize::MAX), field.distinct.len()));
        let mut amounts: Vec<(usize, &Path)> = rest
            .iter()
            .filter(|(path, field)| {
                let is_other = field.name().split('_').any(|part| OTHER_NUMBERS.contains(&part));
                field.is_mostly(field.amounts)
                    && field.distinct.len() > 2
                    && field.negative * 2 < field.present
                    && !is_other
                    && !is_id(field)
                    && !texts_are_times(field)
                    && kinds.is_none_or(|(kind, _)| kind != path)
            })
            .filter_map(|(path, field)| {
                let rank = field.rank(&AMOUNTS).unwrap_or(usize::MAX);
                // Nothing tells what a whole number without such a name is.
                (rank < usize::MAX || field.distinct.iter().any(|text| text.contains('.'))).then_some((rank, path))
            })
            .collect();
        amounts.sort_by_key(|(rank, _)| *rank);
        Self {
            id: id.map(|(_, path)| path.clone()),
            kinds: kinds.map(|(path, field)| {
                let mut values: Vec<_> = field.values.values().collect();
                values.sort_by(|(a, left), (b, right)| b.cmp(a).then_with(|| left.to_string().cmp(&right.to_string())));
                let often = values.into_iter().take(CHOSEN_KINDS).map(|(_, value)| value.clone());
                (path.clone(), often.filter(|value| value.as_str() != Some("")).collect())
            }),
            amounts: amounts.into_iter().take(CHOSEN_AMOUNTS).map(|(_, path)| path.clone()).collect(),
            group: group.as_ref().and_then(|path| Some((path.clone(), field_of(path)?.distinct.len()))),
            time: time.clone(),
        }
    }

    /// What was guessed, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let shown = |path: &Path| plain(&path.to_string()).into_owned();
        let mut lines = Vec::new();
        lines.push(match &self.group {
            Some((path, groups)) => format!("  groups:  {}, {} in the sample", shown(path), thousands(*groups as u64)),
            None => "  groups:  no field looks like one, so all documents are one group".to_owned(),
        });
        lines.push(match &self.time {
            Some(path) => format!("  time:    {}", shown(path)),
            None => "  time:    none found, so documents count at the time of the clock".to_owned(),
        });
        if let Some((path, kinds)) = &self.kinds {
            let kinds = kinds.iter().map(|kind| plain(&kind.to_string()).into_owned()).collect::<Vec<_>>().join(", ");
            lines.push(format!("  kinds:   {}, such as {kinds}", shown(path)));
        }
        if !self.amounts.is_empty() {
            lines.push(format!("  sums:    {}", self.amounts.iter().map(shown).collect::<Vec<_>>().join(", ")));
        }
        lines
    }

    /// For each group, how much its documents have of something; the largest last.
    pub(super) fn totals(&self, documents: &[Json], of: impl Fn(&Json) -> f64) -> Vec<f64> {
        let mut totals: HashMap<String, f64> = HashMap::new();
        for document in documents {
            let group = self.group.as_ref().and_then(|(path, _)| Some(document.value_at(path)?.to_json().to_string()));
            *totals.entry(group.unwrap_or_default()).or_default() += of(document);
        }
        let mut totals: Vec<f64> = totals.into_values().filter(|total| *total > 0.0).collect();
        totals.sort_by(f64::total_cmp);
        totals
    }
}

/// How many groups a sample has, in words.
pub(super) fn groups_in_words(groups: usize) -> String {
    counted(groups as u64, "group")
}
