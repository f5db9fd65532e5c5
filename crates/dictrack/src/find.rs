//! Finding groups by how far they are with a tracker.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use dictrack_core::{
    Amount, Status, Timestamp, TrackerSnapshot,
    group::{Engine, Group},
    json::{Json, Map},
    number::Number,
};

/// Which groups are wanted, by how far they are with one tracker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use = "a query does nothing until a manager or a store gets it"]
pub struct Query {
    /// The name of the tracker.
    pub tracker: String,
    /// Only groups with at least this progress.
    pub at_least: Option<Amount>,
    /// Only groups with at most this progress.
    pub at_most: Option<Amount>,
    /// Only groups in which the tracker has this standing.
    pub standing: Option<Standing>,
    /// Which groups come first.
    pub order: Order,
    /// The most places that are returned.
    pub limit: usize,
    /// Only places after this one: the next page.
    pub after: Option<After>,
}

/// What a tracker does in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It counts. As a filter, this includes the limited ones.
    Active,
    /// It counts, but a limit holds it back.
    Limited,
    /// It has reached its last target and starts again when its period ends.
    Resting,
    /// It has reached its last target.
    Completed,
}

/// Which groups come first. Groups that are equally far are in the order of their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Order {
    /// Those that are furthest.
    #[default]
    Descending,
    /// Those that are least far.
    Ascending,
}

/// How far a group is with a tracker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// The group.
    pub group: String,
    /// The tracker.
    pub tracker: TrackerSnapshot,
    /// When it completed, if it has.
    pub completed_at: Option<Timestamp>,
}

/// The position of a [`Place`] in its order, from which the next page goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    cycle: u64,
    progress: Amount,
    group: String,
}

impl Query {
    /// The limit of a new query.
    pub const LIMIT: usize = 100;

    /// All groups that have this tracker or have completed it, the furthest first, up to [`LIMIT`](Self::LIMIT).
    pub fn of(tracker: &str) -> Self {
        Self {
            tracker: tracker.to_owned(),
            at_least: None,
            at_most: None,
            standing: None,
            order: Order::default(),
            limit: Self::LIMIT,
            after: None,
        }
    }

    /// Only groups with at least this progress.
    pub fn at_least(mut self, progress: impl Into<Amount>) -> Self {
        self.at_least = Some(progress.into());
        self
    }

    /// Only groups with at most this progress.
    pub fn at_most(mut self, progress: impl Into<Amount>) -> Self {
        self.at_most = Some(progress.into());
        self
    }

    /// Only groups in which the tracker has this standing.
    pub fn standing(mut self, standing: Standing) -> Self {
        self.standing = Some(standing);
        self
    }

    /// Which groups come first.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Returns at most this many places.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Only places after this one.
    pub fn after(mut self, place: After) -> Self {
        self.after = Some(place);
        self
    }

    /// How far a group is, if it is wanted, whatever the limit.
    pub fn place(&self, id: &str, group: &Group, engine: &Engine, now: Timestamp) -> Option<Place> {
        let place = match group.tracker(engine, &self.tracker, now) {
            Some(tracker) => Place::new(id, tracker),
            None => {
                let done = group.completed().into_iter().rfind(|done| done.tracker.name() == self.tracker)?;
                Place { completed_at: Some(done.completed_at), ..Place::new(id, done.tracker) }
            }
        };
        let standing = place.standing();
        let is_wanted = self
            .standing
            .is_none_or(|wanted| wanted == standing || (wanted == Standing::Active && standing == Standing::Limited));
        let progress = place.tracker.progress;
        let is_within = self.at_least.is_none_or(|least| progress >= least)
            && self.at_most.is_none_or(|most| progress <= most)
            && self.after.as_ref().is_none_or(|after| self.compare(after.rank(), place.rank()).is_lt());
        (is_wanted && is_within).then_some(place)
    }

    /// The order of two places.
    fn compare(&self, a: Rank<'_>, b: Rank<'_>) -> Ordering {
        let far = |(cycle, progress, _): Rank<'_>| (cycle, progress);
        let by_progress = match self.order {
            Order::Descending => far(b).cmp(&far(a)),
            Order::Ascending => far(a).cmp(&far(b)),
        };
        by_progress.then_with(|| a.2.cmp(b.2))
    }
}

/// How far a group is, and its id: with `loop_forever`, first how often the list of targets has started again.
type Rank<'a> = (u64, Amount, &'a str);

impl Place {
    /// How far a group is with a tracker.
    pub fn new(group: &str, tracker: TrackerSnapshot) -> Self {
        Self { group: group.to_owned(), tracker, completed_at: None }
    }

    /// What the tracker does.
    pub fn standing(&self) -> Standing {
        match self.tracker.status {
            Status::Active if self.tracker.limited => Standing::Limited,
            Status::Resting => Standing::Resting,
            Status::Completed => Standing::Completed,
            _ => Standing::Active,
        }
    }

    /// Its position, for [`Query::after`].
    pub fn position(&self) -> After {
        After { cycle: self.tracker.cycle, progress: self.tracker.progress, group: self.group.clone() }
    }

    fn rank(&self) -> Rank<'_> {
        (self.tracker.cycle, self.tracker.progress, &self.group)
    }

    /// The place as JSON: `group`, `tracker`, `progress`, `target`, `stage`, `stages`, `cycle`, `status`, and `completed_at` if the
    /// tracker has completed.
    pub fn to_json(&self) -> Json {
        let Self { group, tracker, completed_at } = self;
        let amount = |amount: Amount| Json::Number(Number::Exact(amount));
        let fields: [(&str, Json); 8] = [
            ("group", group.as_str().into()),
            ("tracker", tracker.name().into()),
            ("progress", amount(tracker.progress)),
            ("target", tracker.target().map_or(Json::Null, amount)),
            ("stage", (tracker.stage as u64).into()),
            ("stages", (tracker.definition.targets().len() as u64).into()),
            ("cycle", tracker.cycle.into()),
            ("status", self.standing().name().into()),
        ];
        let completed_at = completed_at.map(|moment| ("completed_at", moment.to_string().into()));
        let fields = fields.into_iter().chain(completed_at);
        Json::Map(fields.map(|(key, value)| (key.into(), value)).collect::<Map>())
    }
}

impl Standing {
    /// All standings.
    pub const ALL: [Self; 4] = [Self::Active, Self::Limited, Self::Resting, Self::Completed];

    /// In one word: `active`, `limited`, `resting` or `completed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Limited => "limited",
            Self::Resting => "resting",
            Self::Completed => "completed",
        }
    }
}

impl After {
    fn rank(&self) -> Rank<'_> {
        (self.cycle, self.progress, &self.group)
    }
}

/// `CYCLE:PROGRESS:GROUP`, for programs that hand out pages.
impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.cycle, self.progress, self.group)
    }
}

/// Why a text is not an [`After`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the position of a place; expected one that an earlier page returned")]
#[non_exhaustive]
pub struct ParseAfterError;

impl FromStr for After {
    type Err = ParseAfterError;

    fn from_str(text: &str) -> Result<Self, ParseAfterError> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(ParseAfterError);
        let cycle = next()?.parse().map_err(|_| ParseAfterError)?;
        let progress = next()?.parse().map_err(|_| ParseAfterError)?;
        Ok(Self { cycle, progress, group: next()?.to_owned() })
    }
}

/// Collects the first places of a query while all groups are visited in any order.
#[derive(Debug)]
pub(crate) struct Finder<'a> {
    query: &'a Query,
    now: Timestamp,
    /// The last of the places so far is on top.
    places: BinaryHeap<Ranked<'a>>,
}

#[derive(Debug)]
struct Ranked<'a> {
    query: &'a Query,
    place: Place,
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.query.compare(self.place.rank(), other.place.rank())
    }
}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked<'_> {}

impl<'a> Finder<'a> {
    pub(crate) fn new(query: &'a Query, now: Timestamp) -> Self {
        Self { query, now, places: BinaryHeap::new() }
    }

    /// Looks at a group.
    pub(crate) fn visit(&mut self, id: &str, group: &Group, engine: &Engine) {
        let Some(place) = self.query.place(id, group, engine, self.now) else { return };
        self.places.push(Ranked { query: self.query, place });
        if self.places.len() > self.query.limit {
            self.places.pop();
        }
    }

    /// The places in order.
    pub(crate) fn places(self) -> Vec<Place> {
        self.places.into_sorted_vec().into_iter().map(|ranked| ranked.place).collect()
    }
}

/// The first of some ids in order, starting after one.
pub(crate) fn page(ids: impl IntoIterator<Item = String>, after: Option<&str>, limit: usize) -> Vec<String> {
    let mut first = BinaryHeap::new();
    for id in ids.into_iter().filter(|id| after.is_none_or(|after| id.as_str() > after)) {
        first.push(id);
        if first.len() > limit {
            first.pop();
        }
    }
    first.into_sorted_vec()
}
