//! Names in paths: groups, trackers and keys, percent-encoded.

use axum::http::Uri;
use percent_encoding::percent_decode_str;

use crate::problem::{Code, Problem};

const GROUPS: &str = "/v1/groups/";

/// The group in a path below `/v1/groups/`. It may be any text, even an empty one.
pub(crate) fn group(uri: &Uri) -> Result<String, Problem> {
    segment(uri, 0).and_then(|segment| decode(segment, "group"))
}

/// The name of the tracker in a path `/v1/groups/GROUP/trackers/NAME`.
pub(crate) fn tracker(uri: &Uri) -> Result<String, Problem> {
    segment(uri, 2).and_then(|segment| decode(segment, "tracker"))
}

/// The segment at a position below `/v1/groups/`, as it was sent.
fn segment(uri: &Uri, at: usize) -> Result<&str, Problem> {
    let below = uri.path().strip_prefix(GROUPS).and_then(|rest| rest.split('/').nth(at));
    below.ok_or_else(|| Problem::new(Code::NotFound, "there is nothing at this path"))
}

/// A percent-encoded text.
pub(crate) fn decode(text: &str, what: &str) -> Result<String, Problem> {
    let bad = |why: &str| {
        Problem::new(Code::InvalidRequest, format!("the {what} in the path {why}; expected percent-encoded UTF-8"))
    };
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.as_bytes().get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        digits.ok_or_else(|| bad("has a % without two hexadecimal digits"))?;
        rest = &after[2..];
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| bad("is not UTF-8"))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_may_be_any_text() {
        let of = |path: &str| group(&format!("http://h/v1/groups/{path}").parse().unwrap());
        for (path, expected) in [
            ("user_001/track", "user_001"),
            ("a%2Fb/track", "a/b"),
            ("100%25/track", "100%"),
            ("%E2%80%AE%F0%9F%98%80/track", "\u{202e}😀"),
            ("%00/track", "\0"),
            ("a+b%20c/track", "a+b c"),
            ("/track", ""),
            ("", ""),
            ("%2E%2E/track", ".."),
        ] {
            assert_eq!(of(path).unwrap(), expected, "{path}");
        }
        for path in ["%/track", "%4/track", "%zz/track", "%ff/track", "%ED%A0%80/track", "a%"] {
            assert_eq!(of(path).unwrap_err().code(), "invalid_request", "{path}");
        }
    }
}
