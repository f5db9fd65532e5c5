//! The moment of a command: `--now`, or the clock.

use dictrack::clock::{Clock as _, SystemClock};
use dictrack::json::Json;
use dictrack::{Timestamp, number::Number, url};

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
