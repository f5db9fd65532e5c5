//! The moment of a command: `--now`, or the clock.

use dictrack::clock::{Clock as _, SystemClock};
use dictrack::json::Json;
use dictrack::{Timestamp, number::Number, url};

use crate::Failure;

/// Reads `--now`: seconds since 1970, an RFC 3339 timestamp or a date. Without it, the clock.
pub(crate) fn read(now: Option<&str>) -> Result<Timestamp, Failure> {
    let Some(text) = now else { return Ok(SystemClock.now()) };
    let seconds = Number::parse(text).map(Json::Number);
    let read = Timestamp::read(&seconds.unwrap_or_else(|| text.into()));
    read.ok_or_else(|| {
        Failure(format!(
            "--now: invalid timestamp {}; expected seconds since 1970, an RFC 3339 timestamp or a date",
            url::quoted(text)
        ))
    })
}
