//! One item of an upload.

use dictrack::Timestamp;
use dictrack::json::Json;
use dictrack::manager::Submission;
use dictrack::text::quoted;

use crate::problem::{Code, Problem};

/// A document with its group, its id and its moment.
#[derive(Debug)]
pub(super) struct Item {
    /// The whole item, of which the document is a part.
    json: Json,
    /// The key at which the document is; without one, all of it is the document.
    at: Option<&'static str>,
    group: String,
    id: Option<String>,
    now: Option<Timestamp>,
}

fn bad(problem: String) -> Problem {
    Problem::new(Code::InvalidBody, problem)
}

impl Item {
    /// An item that is a document as a whole.
    pub(super) fn whole(json: Json, group: String, id: String, now: Option<Timestamp>) -> Self {
        Self { json, at: None, group, id: Some(id), now }
    }

    /// Reads `{"group": …, "document": …, "id": …, "now": …}`.
    pub(super) fn read(json: Json) -> Result<Self, Problem> {
        const EXPECTED: &str = "expected an object with group and document, such as {\"group\": \"user_001\", \"document\": {\"event\": \"login\"}}";
        let map = json.as_map().ok_or_else(|| bad(format!("unexpected JSON; {EXPECTED}")))?;
        let known = |key: &str| matches!(key, "group" | "document" | "id" | "now");
        if let Some((key, _)) = map.iter().find(|(key, _)| !known(key)) {
            return Err(bad(format!("unknown field {}; expected group, document, id and now", quoted(key))));
        }
        let group = match map.get("group") {
            Some(Json::Text(group)) => group.as_str().to_owned(),
            Some(_) => return Err(bad("the group is not text; expected one such as \"user_001\"".to_owned())),
            None => return Err(bad(format!("there is no group; {EXPECTED}"))),
        };
        if map.get("document").is_none() {
            return Err(bad(format!("there is no document; {EXPECTED}")));
        }
        let id = match map.get("id") {
            None | Some(Json::Null) => None,
            Some(Json::Text(id)) if !id.as_str().is_empty() => Some(id.as_str().to_owned()),
            Some(_) => {
                return Err(bad("the id is not a text, or it is empty; expected one such as \"8e03978e\"".to_owned()));
            }
        };
        let now = match map.get("now") {
            None | Some(Json::Null) => None,
            Some(now) => Some(Timestamp::read(now).ok_or_else(|| {
                bad("invalid now; expected seconds since 1970, an RFC 3339 timestamp (2026-12-31T23:59:59Z) or a date".to_owned())
            })?),
        };
        Ok(Self { group, id, now, at: Some("document"), json })
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// What the manager gets.
    pub(super) fn submission(&self) -> Submission<'_> {
        let part = self.at.and_then(|key| self.json.as_map()?.get(key));
        let mut submission = Submission::new(&self.group, part.unwrap_or(&self.json));
        submission.event_id = self.id.as_deref();
        submission.now = self.now;
        submission
    }
}
