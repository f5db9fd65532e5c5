//! What the limiters say in headers: `RateLimit-Policy`, `RateLimit` and `Retry-After`.
//!
//! The first two are those of the Internet-Draft "RateLimit header fields for HTTP", version 10
//! (`draft-ietf-httpapi-ratelimit-headers`).

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use dictrack::json::Json;
use dictrack::{Amount, LimiterDefinition, Outcome, Timestamp, Tracked};

/// Only that many policies are listed, so that a group with many trackers does not exceed what clients read.
const MOST_POLICIES: usize = 16;
/// The length of a name, beyond which it is cut.
const MOST_NAME: usize = 64;

/// The headers for what a document did to the limiters of a group.
pub(crate) fn headers(outcome: &Outcome) -> HeaderMap {
    let (mut policies, mut limits) = (String::new(), String::new());
    let mut listed = 0;
    // What refused comes first, since only the first ones are listed.
    let refused = outcome.touched().filter(Tracked::is_refused);
    let others = outcome.touched().filter(|tracker| !tracker.is_refused());
    'all: for tracker in refused.chain(others) {
        for (at, limiter) in tracker.limiters().enumerate() {
            let (Some(limit), Some(remaining)) = (limiter.limit, limiter.remaining) else { continue };
            if listed == MOST_POLICIES {
                break 'all;
            }
            listed += 1;
            let name = policy(&tracker, at);
            let separator = if listed > 1 { ", " } else { "" };
            let _ = write!(policies, "{separator}{name};q={}", whole(limit));
            if let Some(seconds) = window(&tracker.definition().limiters()[at]) {
                let _ = write!(policies, ";w={seconds}");
            }
            let _ = write!(limits, "{separator}{name};r={}", whole(remaining));
            if let Some(reset) = limiter.reset_at {
                let _ = write!(limits, ";t={}", seconds_until(outcome.now(), reset));
            }
        }
    }
    let mut headers = HeaderMap::new();
    for (name, text) in [("ratelimit-policy", policies), ("ratelimit", limits)] {
        if let (false, Ok(value)) = (text.is_empty(), HeaderValue::from_str(&text)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// After how many seconds all limiters that refused admit again; `None` if one of them needs a reset.
pub(crate) fn retry_after(outcome: &Outcome) -> Option<u64> {
    let until = outcome.refused().map(|tracker| tracker.refusal().and_then(|refusal| refusal.until));
    let last = until.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    Some(seconds_until(outcome.now(), last).max(1))
}

/// The names of the policies that refused, as they are in the headers.
pub(crate) fn violated(outcome: &Outcome) -> Json {
    let refused = outcome.refused().filter_map(|tracker| Some(name(&tracker, tracker.refusal()?.limiter)));
    refused.map(Json::from).collect::<Vec<_>>().into()
}

/// Whole seconds, rounded up.
fn seconds_until(now: Timestamp, moment: Timestamp) -> u64 {
    u64::try_from(moment.since(now).micros()).unwrap_or(0).div_ceil(1_000_000)
}

/// Structured fields have integers of up to 15 digits.
fn whole(amount: Amount) -> u64 {
    (amount.to_f64().floor().max(0.0) as u64).min(999_999_999_999_999)
}

/// The name of a limiter's policy as a structured string.
fn policy(tracker: &Tracked<'_>, at: usize) -> String {
    format!("\"{}\"", name(tracker, at).replace('\\', "\\\\").replace('"', "\\\""))
}

/// The tracker's name, with the position of the limiter if there are several. What is not printable ASCII is percent-encoded.
fn name(tracker: &Tracked<'_>, at: usize) -> String {
    let mut out = String::new();
    for byte in tracker.name().bytes() {
        if out.len() >= MOST_NAME {
            break;
        }
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    if tracker.definition().limiters().len() > 1 {
        let _ = write!(out, "#{at}");
    }
    out
}

/// The length of a limiter's window in seconds, if it always has the same.
fn window(limiter: &LimiterDefinition) -> Option<u64> {
    let json = limiter.to_json();
    let map = json.as_map()?;
    let length = map.get("per").or_else(|| map.get("within"))?.as_str()?;
    let (count, unit) = length.split_once(' ').unwrap_or(("1", length));
    let each: u64 = match unit.strip_suffix('s').unwrap_or(unit) {
        "second" => 1,
        "minute" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 604_800,
        _ => return None,
    };
    count.parse::<u64>().ok()?.checked_mul(each)
}

#[cfg(test)]
mod tests {
    use dictrack::json::Json;
    use dictrack::{Manager, TrackerDefinition};

    use super::*;

    fn definition(json: &str) -> TrackerDefinition {
        TrackerDefinition::from_json(&Json::parse(json.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn headers_name_each_limiter_with_what_remains() {
        let manager = Manager::in_memory().blocking();
        let requests = definition(
            r#"{"name": "req \"é\"", "kind": "count", "limiters": [{"count": 2, "per": "minute"}, {"count": 1000, "per": "month"}]}"#,
        );
        let at = manager.at(Timestamp::from_micros(30_500_000));
        at.add_tracker("g", requests).unwrap();
        let outcome = at.track("g", &Json::Null).unwrap();
        let shown = headers(&outcome);
        assert_eq!(shown["ratelimit-policy"], r##""req \"%C3%A9\"#0";q=2;w=60, "req \"%C3%A9\"#1";q=1000"##);
        assert_eq!(shown["ratelimit"], r##""req \"%C3%A9\"#0";r=1;t=30, "req \"%C3%A9\"#1";r=999;t=2678370"##);
        at.track("g", &Json::Null).unwrap();
        let refused = at.track("g", &Json::Null).unwrap();
        assert_eq!(retry_after(&refused), Some(30));
        assert_eq!(violated(&refused).to_string(), r##"["req \"%C3%A9\"#0"]"##);
    }

    #[test]
    fn a_limiter_that_needs_a_reset_has_no_time_to_wait_for() {
        let manager = Manager::in_memory().blocking();
        manager
            .add_tracker("g", definition(r#"{"name": "once", "kind": "count", "limiters": [{"count": 1}]}"#))
            .unwrap();
        manager.track("g", &Json::Null).unwrap();
        let refused = manager.track("g", &Json::Null).unwrap();
        assert_eq!((refused.refused().count(), retry_after(&refused)), (1, None));
    }
}
