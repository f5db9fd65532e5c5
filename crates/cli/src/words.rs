//! Times and limits as people read them: in the time zone of the terminal, and relative below a day.

use std::borrow::Cow;

use dictrack::json::Json;
use dictrack::text::plain;
use dictrack::window::Period;
use dictrack::{LimiterDefinition, LimiterView, Status, Timestamp, TrackerSnapshot};
use jiff::ToSpan as _;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A word as it is written on the command line of a shell.
pub(crate) fn shell(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''")).into()
    }
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 60 * 60;

/// Says when something happens as seen from a moment.
pub(crate) struct Words {
    now: Timestamp,
    zone: TimeZone,
}

impl Words {
    /// In the time zone of the terminal: `TZ`, or that of the system.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { now, zone: TimeZone::system() }
    }

    /// How far away a moment is, below a day; otherwise its local date and time: `in 42 s`, `3 h ago`, `tomorrow at 04:00`.
    pub(crate) fn away(&self, moment: Timestamp) -> String {
        let ahead = moment >= self.now;
        let (late, early) = if ahead { (moment, self.now) } else { (self.now, moment) };
        let micros = late.micros().saturating_sub(early.micros());
        // A wait is rounded up, so that it has passed when it is over.
        let seconds = if ahead { micros.saturating_add(SECOND - 1) / SECOND } else { micros / SECOND };
        match (seconds < DAY, ahead) {
            (true, true) if seconds == 0 => "now".to_owned(),
            (true, true) => format!("in {}", length(seconds)),
            (true, false) => format!("{} ago", length(seconds)),
            (false, _) => self.clock(moment),
        }
    }

    /// The local date and time of a moment: `18:30`, `tomorrow at 04:00`, `2026-12-31 18:30`.
    pub(crate) fn clock(&self, moment: Timestamp) -> String {
        let (Some(now), Some(local)) = (self.local(self.now), self.local(moment)) else { return moment.to_string() };
        let time = local.strftime(if local.second() == 0 { "%H:%M" } else { "%H:%M:%S" });
        let day = |days: i64| now.date().checked_add(days.days()).is_ok_and(|date| date == local.date());
        match () {
            () if day(0) => time.to_string(),
            () if day(1) => format!("tomorrow at {time}"),
            () if day(-1) => format!("yesterday at {time}"),
            () => format!("{} {time}", local.date()),
        }
    }

    /// The local date and time of a moment, whatever day it is.
    pub(crate) fn date(&self, moment: Timestamp) -> String {
        let Some(local) = self.local(moment) else { return moment.to_string() };
        local.strftime(if local.second() == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
    }

    /// The local date and time of a moment, always with seconds.
    pub(crate) fn seconds(&self, moment: Timestamp) -> String {
        self.local(moment).map_or_else(|| moment.to_string(), |local| local.strftime("%Y-%m-%d %H:%M:%S").to_string())
    }

    /// `None` for a moment that no calendar has.
    fn local(&self, moment: Timestamp) -> Option<DateTime> {
        let moment = jiff::Timestamp::from_microsecond(moment.micros()).ok()?;
        Some(self.zone.to_datetime(moment))
    }

    /// What a limiter allows: `7 of 100 left, renews in 42 s`.
    pub(crate) fn limiter(&self, definition: &LimiterDefinition, view: &LimiterView) -> String {
        if let Some(state) = &view.state {
            return if *state == Json::Null { "custom".to_owned() } else { plain(&state.to_string()).into_owned() };
        }
        let mut words = self.left(view);
        let next = self.next(view);
        let renews = self.renews(definition, view);
        // Most limits admit again when they are as new.
        let next = next.filter(|_| view.retry_at != view.reset_at || renews.is_none());
        for more in next.into_iter().chain(renews) {
            words.push_str(", ");
            words.push_str(&more);
        }
        words
    }

    /// How much of a limit is left, or how long a window without a number is open.
    pub(crate) fn left(&self, view: &LimiterView) -> String {
        if let (Some(remaining), Some(limit)) = (view.remaining, view.limit) {
            return format!("{remaining} of {limit} left");
        }
        match (view.retry_at, view.end) {
            (Some(retry), Some(end)) if retry <= self.now => format!("open until {}", self.clock(end)),
            (Some(retry), None) if retry <= self.now => "open".to_owned(),
            (None, Some(end)) => format!("closed since {}", self.clock(end)),
            (Some(_) | None, _) => "closed".to_owned(),
        }
    }

    /// When a limiter that is closed admits a document again.
    pub(crate) fn next(&self, view: &LimiterView) -> Option<String> {
        match view.retry_at {
            Some(retry) if retry <= self.now => None,
            Some(retry) if view.remaining.is_some() => Some(format!("next {}", self.away(retry))),
            Some(retry) => Some(format!("opens {}", self.away(retry))),
            None => None,
        }
    }

    /// When a limiter is as new again, if it is not.
    pub(crate) fn renews(&self, definition: &LimiterDefinition, view: &LimiterView) -> Option<String> {
        let reset = self.away(view.reset_at?);
        Some(match definition {
            LimiterDefinition::Within(_) | LimiterDefinition::Burst(_) => format!("full {reset}"),
            _ => format!("renews {reset}"),
        })
    }

    /// The status of a tracker besides its progress: its run, its rest, its period and its limits, one line each.
    pub(crate) fn status(&self, tracker: &TrackerSnapshot) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(run) = run(tracker) {
            lines.push(run);
        }
        match (tracker.status, tracker.period) {
            (Status::Resting, Some(period)) => lines.push(format!("resting until {}", self.clock(period.end()))),
            // The state of a streak outlasts its periods.
            (_, Some(period)) if tracker.freezes.is_none() => {
                lines.push(format!("starts again {}", self.away(period.end())));
            }
            _ => {}
        }
        let limiters = tracker.definition.limiters().iter().zip(&tracker.limiters);
        let mut limits: Vec<_> = limiters.map(|(definition, view)| self.limiter(definition, view)).collect();
        if tracker.limited {
            let closed = |view: &LimiterView| view.retry_at.is_none_or(|retry| retry > self.now);
            // A sum may refuse an amount although something is left of it.
            match tracker.limiters.iter().position(closed) {
                Some(by) => limits[by].insert_str(0, "LIMITED "),
                None => lines.push("LIMITED".to_owned()),
            }
        }
        lines.extend(limits);
        lines
    }

    /// A period: `2026-11-28 00:00 to 2026-11-29 00:00`.
    pub(crate) fn period(&self, period: Period) -> String {
        format!("{} to {}", self.date(period.start()), self.date(period.end()))
    }
}

/// `42 s`, `12 min`, `3 h`, `3 h 20 min`.
fn length(seconds: i64) -> String {
    let minutes = (seconds + 59) / 60;
    match (seconds, minutes / 60, minutes % 60) {
        (..120, ..) => format!("{seconds} s"),
        (_, 0, _) => format!("{minutes} min"),
        (_, hours, 0) => format!("{hours} h"),
        (_, hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// Of a streak, its run and its freezes: `5 days in a row, 2 freezes`.
fn run(tracker: &TrackerSnapshot) -> Option<String> {
    let freezes = tracker.freezes?;
    let length = tracker.definition.every()?.window.length().to_string();
    let (run, one) = (tracker.progress, tracker.progress == 1.into());
    let unit = match (length.contains(' '), one) {
        (false, true) => length,
        (false, false) => format!("{length}s"),
        (true, true) => format!("period of {length}"),
        (true, false) => format!("periods of {length}"),
    };
    let freezes = match freezes {
        0 => String::new(),
        1 => ", 1 freeze".to_owned(),
        freezes => format!(", {freezes} freezes"),
    };
    Some(format!("{run} {unit} in a row{freezes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(now: &str) -> Words {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        Words { now: Timestamp::parse(now).unwrap(), zone }
    }

    #[test]
    fn moments_are_relative_below_a_day_and_local_beyond() {
        let words = berlin("2026-03-28T12:00:00Z");
        for (moment, away) in [
            ("2026-03-28T12:00:00Z", "now"),
            ("2026-03-28T12:00:00.000001Z", "in 1 s"),
            ("2026-03-28T12:01:30Z", "in 90 s"),
            ("2026-03-28T12:02:01Z", "in 3 min"),
            ("2026-03-28T13:35:00Z", "in 1 h 35 min"),
            ("2026-03-28T15:00:00Z", "in 3 h"),
            ("2026-03-28T15:20:00Z", "in 3 h 20 min"),
            ("2026-03-29T12:00:00Z", "tomorrow at 14:00"),
            ("2026-12-31T23:00:00Z", "2027-01-01 00:00"),
            ("2026-03-28T11:59:18Z", "42 s ago"),
            ("2026-03-27T12:00:00Z", "yesterday at 13:00"),
            ("2026-03-26T12:00:01Z", "2026-03-26 13:00:01"),
        ] {
            assert_eq!(words.away(Timestamp::parse(moment).unwrap()), away, "{moment}");
        }
        assert_eq!(words.clock(Timestamp::parse("2026-03-28T17:00:05Z").unwrap()), "18:00:05");
        assert_eq!(words.away(Timestamp::MAX), Timestamp::MAX.to_string());
        assert_eq!(words.away(Timestamp::MIN), Timestamp::MIN.to_string());
    }
}
