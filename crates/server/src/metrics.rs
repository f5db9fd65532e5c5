//! Counters and histograms for Prometheus. No label has values that clients choose.

use std::fmt;
use std::time::Duration;

use dictrack::{Event, EventCode, Manager, Outcome};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The counters of a server.
pub(crate) struct Metrics {
    registry: Registry,
    documents: [Counter; Result::ALL.len()],
    events: [Counter; EventCode::ALL.len()],
    track: Histogram,
    requests: Family<Request, Counter>,
    duration: Histogram,
    in_progress: Gauge,
    connections: Gauge,
    shed: Counter,
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Result {
    /// It counted for a tracker.
    Counted,
    /// It counted for none, and a limiter refused it.
    Refused,
    /// It counted for none.
    Ignored,
    /// Its id was known.
    Duplicate,
    /// It was not applied.
    Failed,
}

impl Result {
    const ALL: [Self; 5] = [Self::Counted, Self::Refused, Self::Ignored, Self::Duplicate, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Failed => "failed",
        }
    }

    fn of(outcome: &Outcome) -> Self {
        match outcome {
            _ if outcome.duplicate() => Self::Duplicate,
            _ if outcome.is_counted() => Self::Counted,
            _ if outcome.counts().1 > 0 => Self::Refused,
            _ => Self::Ignored,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCode {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

/// What the manager itself has counted.
#[derive(Debug)]
struct OfManager(Manager);

impl Collector for OfManager {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::result::Result<(), fmt::Error> {
        let counts = self.0.metrics();
        for (name, help, count) in [
            ("commits", "Commits that the store has kept", counts.commits),
            ("committed_groups", "Changed groups in these commits", counts.committed_groups),
            ("store_retries", "How often the store had to be tried again", counts.retries),
            ("group_loads", "Groups that were read from the store", counts.loads),
        ] {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let seconds = ConstCounter::new(counts.commit_time.as_secs_f64());
        let help = "How long the store took for these commits";
        let unit = Some(&Unit::Seconds);
        seconds.encode(encoder.encode_descriptor("commit_time", help, unit, seconds.metric_type())?)?;
        let mut errors =
            encoder.encode_descriptor("errors", "Calls of the engine that failed", None, MetricType::Counter)?;
        for (code, count) in counts.errors {
            ConstCounter::new(count).encode(errors.encode_family(&OfCode { code })?)?;
        }
        Ok(())
    }
}

impl Metrics {
    pub(crate) fn new(manager: &Manager) -> Self {
        let mut registry = Registry::with_prefix("dictrack");
        registry.register_collector(Box::new(OfManager(manager.clone())));
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version of the server", build);
        let by_result: Family<OfResult, Counter> = Family::default();
        registry.register("documents", "Documents by what became of them", by_result.clone());
        let by_code: Family<OfCode, Counter> = Family::default();
        registry.register("events", "Events that documents and resets caused", by_code.clone());
        // From 10 µs to 10 s.
        let durations = || Histogram::new(exponential_buckets(0.000_01, 2.0, 21));
        let (track, duration) = (durations(), durations());
        let help = "How long it took to track one document, including its commit";
        registry.register_with_unit("track_duration", help, Unit::Seconds, track.clone());
        let requests: Family<Request, Counter> = Family::default();
        registry.register("http_requests", "Requests by route and status", requests.clone());
        let help = "How long requests took until their response began";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, duration.clone());
        let (in_progress, connections, shed): (Gauge, Gauge, Counter) = Default::default();
        registry.register("http_requests_in_progress", "Requests in progress", in_progress.clone());
        registry.register("http_connections", "Open connections", connections.clone());
        registry.register("http_requests_shed", "Requests refused because the server was busy", shed.clone());
        Self {
            documents: Result::ALL.map(|result| by_result.get_or_create_owned(&OfResult { result: result.name() })),
            events: EventCode::ALL.map(|code| by_code.get_or_create_owned(&OfCode { code: code.name() })),
            registry,
            track,
            requests,
            duration,
            in_progress,
            connections,
            shed,
        }
    }

    /// A document was applied.
    pub(crate) fn tracked(&self, outcome: &Outcome) {
        let result = Result::of(outcome);
        self.documents[result as usize].inc();
        outcome.events().iter().for_each(|event| self.event(event));
    }

    /// A document was not applied.
    pub(crate) fn failed(&self) {
        self.documents[Result::Failed as usize].inc();
    }

    pub(crate) fn event(&self, event: &Event) {
        if let Some(at) = EventCode::ALL.iter().position(|code| *code == event.code) {
            self.events[at].inc();
        }
    }

    pub(crate) fn track_took(&self, time: Duration) {
        self.track.observe(time.as_secs_f64());
    }

    pub(crate) fn request_began(&self) {
        self.in_progress.inc();
    }

    pub(crate) fn request_ended(&self, route: &str, status: u16, time: Duration) {
        self.in_progress.dec();
        self.duration.observe(time.as_secs_f64());
        self.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
    }

    pub(crate) fn connections(&self, more: i64) {
        self.connections.inc_by(more);
    }

    pub(crate) fn shed(&self) {
        self.shed.inc();
    }

    /// Everything in the text format of Prometheus, version 0.0.4.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let written = prometheus_client::encoding::prometheus_text::encode(&mut out, &self.registry);
        if written.is_err() {
            tracing::error!("the metrics cannot be written");
        }
        out
    }
}
