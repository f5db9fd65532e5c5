//! Errors as clients get them: problem details by RFC 9457.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dictrack::json::{Json, Map};
use dictrack::{Error, ErrorKind};

/// What precedes the code in the `type` of a problem.
pub(crate) const TYPE: &str = "urn:dictrack:problem:";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// The problems that are not errors of the manager.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name),*];

            pub(crate) fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            pub(crate) fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }

            pub(crate) fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }
        }
    };
}

codes! {
    /// The request cannot be read: its path, its query or a header.
    InvalidRequest = "invalid_request", BAD_REQUEST, "The request is not valid";
    /// The body is not what was expected.
    InvalidBody = "invalid_body", BAD_REQUEST, "The body is not valid";
    /// The input of an upload ended in the middle of an item.
    Incomplete = "incomplete", BAD_REQUEST, "The body is incomplete";
    /// There is no key, or an unknown one.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid key is needed";
    /// The key does not allow it.
    Forbidden = "forbidden", FORBIDDEN, "Not allowed";
    /// There is nothing at this path.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The path has no such method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The client was too slow.
    Timeout = "timeout", REQUEST_TIMEOUT, "The client was too slow";
    /// Whether it was admitted cannot be told any more.
    Duplicate = "duplicate", CONFLICT, "A document with this id was handled before";
    /// The body, or an item of it, is too large.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "Too large";
    /// The format of the body is not one of those that are read.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The format is not supported";
    /// The server has too much to do.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "The server is busy";
    /// The server is about to end.
    Stopping = "stopping", SERVICE_UNAVAILABLE, "The server is stopping";
    /// A fault of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "The server failed";
}

/// Why a request failed.
#[derive(Clone, Debug)]
pub(crate) struct Problem(Box<Facts>);

#[derive(Clone, Debug)]
struct Facts {
    status: StatusCode,
    code: &'static str,
    uri: Option<&'static str>,
    title: &'static str,
    detail: String,
    /// After how many seconds the client may try again.
    retry_after: Option<u64>,
    /// Further members.
    more: Map,
    headers: HeaderMap,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut problem = Self::of(code.status(), code.code(), code.title(), detail.into());
        let facts = &mut *problem.0;
        match code {
            Code::Overloaded | Code::Stopping => facts.retry_after = Some(1),
            Code::Unauthorized => {
                facts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"dictrack\""));
            }
            Code::UnsupportedMediaType => {
                facts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, identity"));
            }
            _ => {}
        }
        problem
    }

    /// A limiter refused a document. The type is one that the draft on `RateLimit` fields registers.
    pub(crate) fn quota_exceeded(detail: String) -> Self {
        const TITLE: &str = "Request cannot be satisfied as assigned quota has been exceeded";
        let mut problem = Self::of(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", TITLE, detail);
        problem.0.uri = Some("https://iana.org/assignments/http-problem-types#quota-exceeded");
        problem
    }

    fn of(status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        let (more, headers) = (Map::default(), HeaderMap::new());
        Self(Box::new(Facts { status, code, uri: None, title, detail, retry_after: None, more, headers }))
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// Adds a member.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.0.more.insert(key.into(), value.into());
        self
    }

    /// Adds headers.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.0.headers.extend(headers);
        self
    }

    /// Says when the client may try again.
    pub(crate) fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.0.retry_after = seconds;
        self
    }

    pub(crate) fn to_json(&self) -> Json {
        let mut map = Map::default();
        let mut put = |key: &str, value: Json| map.insert(key.into(), value);
        put("type", self.0.uri.map_or_else(|| format!("{TYPE}{}", self.0.code), str::to_owned).into());
        put("title", self.0.title.into());
        put("status", u64::from(self.0.status.as_u16()).into());
        put("detail", self.0.detail.as_str().into());
        put("code", self.0.code.into());
        for (key, value) in self.0.more.iter() {
            map.insert(key.into(), value.clone());
        }
        map.into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.extend(self.0.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
        response
    }
}

/// The status of an error of the manager.
fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::ConflictingName
        | ErrorKind::RepeatedName
        | ErrorKind::FromTemplate
        | ErrorKind::GenerationsExhausted => StatusCode::CONFLICT,
        ErrorKind::Definition | ErrorKind::Attributes | ErrorKind::Ahead => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Closed
        | ErrorKind::Stopped
        | ErrorKind::Redis
        | ErrorKind::Backend
        | ErrorKind::Unavailable
        | ErrorKind::Lost
        | ErrorKind::TakenOver
        | ErrorKind::Owned => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The kind of an error in a few words.
fn title(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConflictingName => "A tracker of that name has another definition",
        ErrorKind::RepeatedName => "A name appears twice",
        ErrorKind::FromTemplate => "The tracker comes from a template",
        ErrorKind::GenerationsExhausted => "The group cannot have more trackers",
        ErrorKind::Definition => "The definition is not valid",
        ErrorKind::Attributes => "The attributes are not valid",
        ErrorKind::Ahead => "The time is too far ahead",
        ErrorKind::CustomCode | ErrorKind::Reentrant => "Custom code failed",
        ErrorKind::Closed => "The server is stopping",
        ErrorKind::Stopped => "The store failed",
        ErrorKind::Unavailable => "The cache or the store cannot be reached",
        ErrorKind::Lost => "The change was lost",
        ErrorKind::TakenOver | ErrorKind::Owned => "The store has another owner",
        ErrorKind::Corrupt => "The store is damaged",
        _ => "The cache or the store failed",
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let retry_after = match kind {
            ErrorKind::Unavailable | ErrorKind::Lost | ErrorKind::Closed => Some(1),
            _ => None,
        };
        let status = status(kind);
        if status.is_server_error() {
            tracing::error!(code = kind.code(), %error, "a request failed");
        }
        let mut more = Map::default();
        if let Json::Map(facts) = error.to_json() {
            for (key, value) in facts.iter().filter(|(key, _)| !matches!(*key, "code" | "message")) {
                more.insert(key.into(), value.clone());
            }
        }
        let mut problem = Self::of(status, kind.code(), title(kind), error.to_string());
        problem.0.retry_after = retry_after;
        problem.0.more = more;
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_has_a_code_of_its_own() {
        let own = Code::ALL.iter().map(|code| code.code());
        let mut codes: Vec<_> =
            own.chain(ErrorKind::ALL.iter().map(|kind| kind.code())).chain(["quota_exceeded"]).collect();
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn an_error_of_the_manager_keeps_its_code_and_facts() {
        let problem = Problem::from(Error::Lost { group: "g".into() });
        let json = problem.to_json();
        let map = json.as_map().unwrap();
        assert_eq!(map.get("type").and_then(Json::as_str), Some("urn:dictrack:problem:lost"));
        assert_eq!(map.get("status"), Some(&503_u64.into()));
        assert_eq!(map.get("group").and_then(Json::as_str), Some("g"));
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
