//! Serde for what the engine gives and takes: each type as its `to_json` prints it, and definitions through their reader.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::condition::Condition;
use crate::group::{Added, CompletedTracker};
use crate::json::Json;
use crate::limiter::{LimiterDefinition, LimiterView, Refusal};
use crate::number::Number;
use crate::source::Node;
use crate::{
    Amount, DefinitionError, Event, EventCode, Explanation, Outcome, PeriodRecord, SkipReason, Status, Timestamp,
    Tracked, TrackerDefinition, TrackerSnapshot,
};

/// Serializes types as their JSON, so that their fields are listed in one place.
macro_rules! serialized {
    ($($type:ty: |$it:ident| $json:expr;)*) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $it = self;
                $json.serialize(serializer)
            }
        })*
    };
}

serialized! {
    Outcome: |it| it.to_json();
    Tracked<'_>: |it| it.to_json();
    TrackerSnapshot: |it| it.to_json();
    CompletedTracker: |it| it.to_json();
    LimiterView: |it| it.to_json();
    Refusal: |it| it.to_json();
    PeriodRecord: |it| it.to_json();
    Event: |it| it.to_json();
    Explanation: |it| it.to_json();
    Added: |it| it.to_json();
    DefinitionError: |it| it.to_json();
    TrackerDefinition: |it| it.to_json();
    LimiterDefinition: |it| it.to_json();
    Condition: |it| it.to_json();
    Amount: |it| Number::Exact(*it);
    Timestamp: |it| it.to_string();
    EventCode: |it| it.name();
    SkipReason: |it| it.name();
    Status: |it| it.name();
}

macro_rules! read {
    ($($type:ty: $read:expr;)*) => {
        $(impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $read(&Node::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        })*
    };
}

read! {
    TrackerDefinition: Self::from_node;
    LimiterDefinition: Self::from_node;
    Condition: Self::from_node;
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(|node| node.to_json())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer)?.moment().map_err(D::Error::custom)
    }
}
