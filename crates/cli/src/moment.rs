//! The moment of a command, `--now` or the clock; time zones and lengths of time.

use dictrack::clock::{Clock as _, SystemClock};
use dictrack::json::Json;
use dictrack::{Span, Timestamp, Zone, group::Engine, number::Number, url};
use jiff::SpanRelativeTo;

use crate::Failure;
use crate::print::warn;

/// Reads `--now`: seconds since 1970, an RFC 3339 timestamp or a date. Without it, the clock.
pub(crate) fn read(now: Option<&str>) -> Result<Timestamp, Failure> {
    let Some(text) = now else { return Ok(SystemClock.now()) };
    let seconds = Number::parse(text).map(Json::Number);
    let is_number = seconds.is_some();
    let read = Timestamp::read(&seconds.unwrap_or_else(|| text.into()));
    if let Some(now) = read
        && is_number
        && let Some(date) = now.date_in_digits()
    {
        warn(format_args!(
            "dictrack: --now: {text} is read as seconds since 1970: {now}; if it is a date, write {date}"
        ));
    }
    read.ok_or_else(|| {
        Failure(format!(
            "--now: invalid timestamp {}; expected seconds since 1970, an RFC 3339 timestamp or a date",
            url::quoted(text)
        ))
    })
}

/// The time zone of windows that have none.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct ZoneArg {
    /// The time zone of windows for which neither the limiter, the tracker nor the group has one: an IANA name such as
    /// Europe/Berlin.
    #[arg(long, value_name = "NAME", default_value = "UTC")]
    pub(crate) zone: Zone,
}

impl ZoneArg {
    /// An engine whose windows are in this zone, unless they have their own.
    pub(crate) fn engine(self) -> Engine {
        Engine { zone: self.zone, ..Engine::default() }
    }
}

/// Reads a length of time: seconds, `90s`, `5 minutes`, `1h30m`, `2 days` (of 24 hours), or ISO 8601 such as `PT5M`.
pub(crate) fn length(text: &str) -> Result<Span, String> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(span);
    }
    let span = text.parse::<jiff::Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let span = span.ok().and_then(|span| std::time::Duration::try_from(span).ok());
    span.map(Span::from).ok_or_else(|| "expected a length of time such as 90s, 5m, \"1 hour\" or PT5M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_the_usual_spellings() {
        for (text, seconds) in [
            ("90", 90),
            ("0", 0),
            ("90s", 90),
            ("5m", 300),
            ("1 hour", 3600),
            ("1h30m", 5400),
            ("PT5M", 300),
            ("2 days", 172_800),
        ] {
            assert_eq!(length(text), Ok(Span::from_secs(seconds)), "{text}");
        }
        assert_eq!(length("1.5"), Ok(Span::from_micros(1_500_000)));
        for text in ["", "-5", "-5m", "5 months", "soon", "nan", "m"] {
            assert!(length(text).is_err(), "{text}");
        }
    }
}
