//! Options of a request: its query, and the header with an id.

use axum::http::{HeaderMap, Uri};
use dictrack::Timestamp;
use dictrack::json::{Bounds, Json};
use dictrack::text::quoted;
use percent_encoding::percent_decode_str;

use crate::problem::{Code, Problem};

/// The query of a request. Names that nobody reads are refused: a mistyped `dry` must not count.
pub(crate) struct Query(Vec<(String, String)>);

fn bad(problem: String) -> Problem {
    Problem::new(Code::InvalidRequest, problem)
}

impl Query {
    /// Reads a query with these names, each at most once.
    pub(crate) fn read(uri: &Uri, names: &[&str]) -> Result<Self, Problem> {
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                let text = text.replace('+', " ");
                percent_decode_str(&text).decode_utf8().map(std::borrow::Cow::into_owned)
            };
            let (Ok(name), Ok(value)) = (decode(name), decode(value)) else {
                return Err(bad("the query is not UTF-8".to_owned()));
            };
            if !names.contains(&name.as_str()) {
                let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(bad(format!("unknown parameter {}; expected {known}", quoted(&name))));
            }
            if found.iter().any(|(known, _)| *known == name) {
                return Err(bad(format!("the parameter {name} appears twice; expected it once")));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `true` or `false`; `false` if it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(bad(format!("invalid {name} {}; expected true or false", quoted(other)))),
        }
    }

    /// A whole number from 1 to `most`.
    pub(crate) fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| bad(format!("invalid {name} {}; expected a number from 1 to {most}", quoted(text))))
    }

    /// The moment `now`: seconds since 1970, or RFC 3339.
    pub(crate) fn now(&self) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get("now") else { return Ok(None) };
        let number =
            Json::parse_within(text.as_bytes(), Bounds::DOCUMENT).ok().filter(|json| json.as_number().is_some());
        let moment = match number {
            Some(number) => Timestamp::read(&number),
            None => Timestamp::parse(text),
        };
        moment.map(Some).ok_or_else(|| {
            bad(format!(
                "invalid now {}; expected seconds since 1970, an RFC 3339 timestamp (2026-12-31T23:59:59Z) or a date",
                quoted(text)
            ))
        })
    }

    /// The id of the document: `?id=`, or the header `Idempotency-Key`, which may be a quoted string as its draft says, or plain.
    pub(crate) fn id(&self, headers: &HeaderMap) -> Result<Option<String>, Problem> {
        let mut headers = headers.get_all("idempotency-key").iter();
        let (header, more) = (headers.next(), headers.next());
        let header = match header {
            None => None,
            Some(_) if more.is_some() => {
                return Err(bad("the header Idempotency-Key appears twice; expected it once".to_owned()));
            }
            Some(value) => Some(unquoted(value.as_bytes()).ok_or_else(|| {
                bad("invalid Idempotency-Key; expected a text such as \"8e03978e\", in quotes or plain".to_owned())
            })?),
        };
        let id = match (self.get("id"), header) {
            (Some(id), Some(header)) if id != header => {
                return Err(bad(
                    "the parameter id and the header Idempotency-Key differ; expected one of them".to_owned()
                ));
            }
            (Some(id), _) => Some(id.to_owned()),
            (None, header) => header,
        };
        match id {
            Some(id) if id.is_empty() => Err(bad("the id is empty; expected a text, or no id at all".to_owned())),
            id => Ok(id),
        }
    }
}

/// The text of a structured string, or of a plain header.
fn unquoted(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let Some(inner) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    loop {
        match letters.next()? {
            '"' => return letters.as_str().is_empty().then_some(out),
            '\\' => out.push(letters.next().filter(|letter| matches!(letter, '"' | '\\'))?),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Problem> {
        Query::read(&format!("http://h/?{text}").parse().unwrap(), &["id", "now", "dry"])
    }

    #[test]
    fn a_mistyped_parameter_is_refused() {
        assert!(query("dry=true&id=a%26b&now=5").is_ok());
        for text in ["dyr=true", "dry=true&dry=true", "%ff=1", "id=%ff"] {
            assert_eq!(query(text).err().map(|problem| problem.code()), Some("invalid_request"), "{text}");
        }
        assert!(query("dry=1").unwrap().flag("dry").is_err());
        assert!(query("dry").unwrap().flag("dry").is_err());
    }

    #[test]
    fn an_id_is_in_the_query_or_in_the_header() {
        let id = |text: &str, header: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", header.parse().unwrap());
            query(text).unwrap().id(&headers)
        };
        assert_eq!(id("", "\"a \\\"b\\\\\"").unwrap().as_deref(), Some("a \"b\\"));
        assert_eq!(id("", " plain ").unwrap().as_deref(), Some("plain"));
        assert_eq!(id("id=x", "x").unwrap().as_deref(), Some("x"));
        for (text, header) in [("id=x", "y"), ("", "\"open"), ("", "\"a\"b"), ("", "\"\""), ("id=", "")] {
            assert!(id(text, header).is_err(), "{text} {header}");
        }
    }

    #[test]
    fn a_moment_is_seconds_or_text() {
        let now = |text: &str| query(&format!("now={text}")).unwrap().now();
        assert_eq!(now("1.5").unwrap(), Some(Timestamp::from_micros(1_500_000)));
        assert_eq!(now("1970-01-01T00:00:02Z").unwrap(), Some(Timestamp::from_secs(2)));
        assert!(now("yesterday").is_err() && now("1e99").is_err() && now("").is_err());
    }
}
