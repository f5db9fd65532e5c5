//! Writing outcomes as JSON without making it: a server that answers many documents would spend most of its time on that.

use std::fmt::{self, Write as _};

use super::{COMPLETED, COUNTED, DIRTIED, LISTED, Outcome, REFUSED, Tracked};
use crate::amount::{Amount, push_integer};
use crate::json::write_text;
use crate::limiter::LimiterView;
use crate::time::Timestamp;

/// Writing to a string does not fail.
fn put(written: fmt::Result) {
    debug_assert!(written.is_ok());
}

/// Writes items with commas between them.
fn listed<T>(out: &mut String, items: impl Iterator<Item = T>, mut each: impl FnMut(&mut String, T)) {
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        each(out, item);
    }
}

fn amount(out: &mut String, amount: Option<Amount>) {
    match amount {
        Some(amount) => amount.push_to(out),
        None => out.push_str("null"),
    }
}

fn moment(out: &mut String, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => put(write!(out, "{}", moment.to_number())),
        None => out.push_str("null"),
    }
}

/// Writes `"name":`.
fn key(out: &mut String, name: &str) {
    put(write_text(out, name));
    out.push(':');
}

impl Outcome {
    /// Appends the outcome as JSON, as [`to_json`](Self::to_json) prints it. Programs that print many outcomes save most of the
    /// time.
    pub fn write_json(&self, out: &mut String) {
        out.push_str("{\"trackers\":[");
        listed(out, self.touched(), |out, tracker| tracker.write_json(out));
        for (name, flag) in [
            ("counted", COUNTED),
            ("dirtied", DIRTIED),
            ("completed", COMPLETED),
            ("limited", LISTED),
            ("refused", REFUSED),
        ] {
            out.push_str("],\"");
            out.push_str(name);
            out.push_str("\":[");
            listed(out, self.listed(flag), |out, tracker| put(write_text(out, tracker.name())));
        }
        out.push_str("],\"refusals\":{");
        let refusals = self.refused().filter_map(|tracker| Some((tracker.name(), tracker.refusal()?)));
        listed(out, refusals, |out, (name, refusal)| {
            key(out, name);
            out.push_str("{\"limiter\":");
            push_integer(out, refusal.limiter as u64);
            out.push_str(",\"until\":");
            moment(out, refusal.until);
            out.push('}');
        });
        out.push_str("},\"skipped\":{");
        listed(out, self.skipped(), |out, (name, reason)| {
            key(out, name);
            put(write_text(out, reason.name()));
        });
        out.push_str("},\"failed\":{");
        listed(out, self.failed(), |out, (name, error)| {
            key(out, name);
            put(write_text(out, &error.to_string()));
        });
        out.push_str("},\"events\":[");
        listed(out, self.events().iter(), |out, event| event.write_json(out));
        out.push_str("],\"duplicate\":");
        out.push_str(if self.duplicate { "true}" } else { "false}" });
    }
}

impl Tracked<'_> {
    /// Appends the tracker as JSON, as [`to_json`](Self::to_json) prints it.
    fn write_json(&self, out: &mut String) {
        out.push_str("{\"name\":");
        put(write_text(out, self.name()));
        out.push_str(",\"progress\":");
        self.progress().push_to(out);
        out.push_str(",\"target\":");
        amount(out, self.target());
        out.push_str(",\"stage\":");
        push_integer(out, self.stage() as u64);
        out.push_str(",\"stages\":");
        push_integer(out, self.definition().targets().len() as u64);
        out.push_str(if self.is_limited() { ",\"limited\":true" } else { ",\"limited\":false" });
        out.push_str(",\"status\":\"");
        out.push_str(self.status().name());
        out.push('"');
        if let Some(period) = self.period() {
            out.push_str(",\"period\":{\"start\":");
            moment(out, Some(period.start()));
            out.push_str(",\"end\":");
            moment(out, Some(period.end()));
            out.push('}');
        }
        if let Some(freezes) = self.freezes() {
            out.push_str(",\"freezes\":");
            push_integer(out, freezes);
        }
        out.push_str(",\"limiters\":[");
        listed(out, self.limiters(), |out, limiter| limiter.write_json(out));
        out.push_str("]}");
    }
}

impl LimiterView {
    /// Appends the view as JSON, as [`to_json`](Self::to_json) prints it.
    fn write_json(&self, out: &mut String) {
        if let Some(state) = &self.state {
            return put(write!(out, "{state}"));
        }
        out.push_str("{\"limit\":");
        amount(out, self.limit);
        out.push_str(",\"remaining\":");
        amount(out, self.remaining);
        out.push_str(",\"retry_at\":");
        moment(out, self.retry_at);
        out.push_str(",\"reset_at\":");
        moment(out, self.reset_at);
        for (name, bound) in [(",\"start\":", self.start), (",\"end\":", self.end)] {
            if bound.is_some() {
                out.push_str(name);
                moment(out, bound);
            }
        }
        out.push('}');
    }
}
