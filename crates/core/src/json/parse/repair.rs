//! Handles valid JSON that `jiter` does not accept: lone surrogates, and numbers of more than 4,300 digits.
//!
//! Only used for text that `jiter` rejected. Each such part is overwritten with something acceptable of the same length, so
//! that positions do not change, and the builder gets the original value.

use jiter::{JiterError, JiterErrorType, JsonErrorType};

use super::Builder;
use crate::json::Text;
use crate::number::Number;

/// How many digits `jiter` always accepts.
const DIGITS: usize = 4300;

/// Whether the text may be JSON although `jiter` rejected it.
pub(super) fn may_help(error: &JiterError) -> bool {
    use JsonErrorType::{LoneLeadingSurrogateInHexEscape, NumberOutOfRange, UnexpectedEndOfHexEscape};
    let JiterErrorType::JsonError(error) = &error.error_type else { return false };
    matches!(error, LoneLeadingSurrogateInHexEscape | UnexpectedEndOfHexEscape | NumberOutOfRange)
}

/// A builder that restores what was overwritten.
pub(super) struct Repaired<'t, 'b, B> {
    builder: &'b mut B,
    text: &'t [u8],
    /// Where strings with a lone surrogate start, in order.
    surrogates: Vec<usize>,
    /// Where long numbers start, and their values, in order.
    numbers: Vec<(usize, Number)>,
}

impl<'t, 'b, B: Builder> Repaired<'t, 'b, B> {
    /// The builder for `text`, and the text to parse; `None` if there is nothing to repair.
    pub(super) fn of(builder: &'b mut B, text: &'t [u8], lone_surrogates: bool) -> Option<(Self, Vec<u8>)> {
        let mut repaired = Self { builder, text, surrogates: Vec::new(), numbers: Vec::new() };
        let mut copy = text.to_vec();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            at = match byte {
                b'"' => repaired.string(&mut copy, at, lone_surrogates),
                b'-' | b'0'..=b'9' => repaired.number(&mut copy, at),
                _ => at + 1,
            };
        }
        let found = !repaired.surrogates.is_empty() || !repaired.numbers.is_empty();
        found.then_some((repaired, copy))
    }

    /// Repairs the string that starts at `begin`. Returns the offset after it.
    fn string(&mut self, copy: &mut [u8], begin: usize, lone_surrogates: bool) -> usize {
        let mut at = begin + 1;
        while let Some(found) = self.text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
            at += found;
            if self.text[at] == b'"' {
                return at + 1;
            }
            at += match (escaped(self.text, at), escaped(self.text, at + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(0xd800..=0xdfff), _) => {
                    if lone_surrogates {
                        copy[at + 2..at + 6].copy_from_slice(b"fffd");
                        if self.surrogates.last() != Some(&begin) {
                            self.surrogates.push(begin);
                        }
                    }
                    6
                }
                _ => 2,
            };
        }
        self.text.len()
    }

    /// Repairs the number that starts at `begin`. Returns the offset after it.
    fn number(&mut self, copy: &mut [u8], begin: usize) -> usize {
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.text[begin..].iter().take_while(is_part).count();
        let end = begin + length;
        if length > DIGITS
            && let Some(number) = std::str::from_utf8(&self.text[begin..end]).ok().and_then(Number::parse)
        {
            copy[begin] = b'0';
            copy[begin + 1..end].fill(b' ');
            self.numbers.push((begin, number));
        }
        end
    }

    fn is_surrogate(&self, at: usize) -> bool {
        self.surrogates.binary_search(&at).is_ok()
    }
}

/// The UTF-16 unit of the escape `\uXXXX` at `at`, if there is one.
fn escaped(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)? as u16))
}

impl<B: Builder> Builder for Repaired<'_, '_, B> {
    type Value = B::Value;
    type Map = B::Map;

    fn null(&mut self, at: usize) -> B::Value {
        self.builder.null(at)
    }
    fn boolean(&mut self, at: usize, value: bool) -> B::Value {
        self.builder.boolean(at, value)
    }
    fn number(&mut self, at: usize, value: Number) -> B::Value {
        let value = match self.numbers.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(found) => self.numbers[found].1.clone(),
            Err(_) => value,
        };
        self.builder.number(at, value)
    }
    fn text(&mut self, at: usize, value: &str) -> B::Value {
        if self.is_surrogate(at) {
            return self.builder.number(at, Number::NotANumber);
        }
        self.builder.text(at, value)
    }
    fn list(&mut self, at: usize, items: Vec<B::Value>) -> B::Value {
        self.builder.list(at, items)
    }
    fn entry(&mut self, map: &mut B::Map, before: usize, key: Text, value: B::Value) {
        let quote = self.text.get(before..).and_then(|rest| memchr::memchr(b'"', rest));
        if !quote.is_some_and(|quote| self.is_surrogate(before + quote)) {
            self.builder.entry(map, before, key, value);
        }
    }
    fn map(&mut self, at: usize, map: B::Map) -> B::Value {
        self.builder.map(at, map)
    }
}

#[cfg(test)]
mod tests {
    use crate::json::{Json, SyntaxError};
    use crate::number::Number;
    use crate::source::Node;

    fn parse(text: &str) -> Result<Json, SyntaxError> {
        Json::parse(text.as_bytes())
    }

    #[test]
    fn a_string_with_a_lone_surrogate_exists_but_equals_nothing() {
        for lone in [
            r"\ud800",
            r"\uDC00",
            r"a\ud800",
            r"\ud800b",
            r"\ud800\n",
            r"\ud800\ud800",
            r"\udc00\ud800",
            r"\\\ud800",
            r"\ud800\ud83d\ude00",
            r"\ud83d\ude00\ude00",
            r"é\udfff",
            r"\udbff\u0041",
        ] {
            assert!(matches!(parse(&format!("\"{lone}\"")), Ok(Json::Number(Number::NotANumber))), "{lone}");
            let text = format!(r#"{{"a":"\"","b":["\ud83d\ude00", "{lone}" ],"{lone}":[1,{{}}],"c":-1.5}}"#);
            let document = parse(&text).unwrap();
            assert_ne!(document, document.clone(), "{lone}");
            assert_eq!(document.to_string(), "{\"a\":\"\\\"\",\"b\":[\"😀\",null],\"c\":-1.5}", "{lone}");
        }
        for whole in [r"\ud83d\ude00", r"\\ud800", r"\\\\udc00", "fffd"] {
            assert!(matches!(parse(&format!("\"{whole}\"")), Ok(Json::Text(_))), "{whole}");
        }
    }

    #[test]
    fn errors_have_the_position_of_invalid_json() {
        for (text, at) in [
            (r#"["\ud800", x]"#, 11),
            (r#"["\ud800\u12"]"#, 12),
            (r#"["\ud800"#, 8),
            (r#"["\ud80"]"#, 7),
            (r#"["\ud800""#, 9),
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.exceeds && error.at == at, "{text}: {} {}", error.at, error.problem);
        }
        let error = Node::parse(br#"["\ud800"]"#).unwrap_err();
        assert!(error.problem.contains("surrogate"), "{error}");
    }

    #[test]
    fn numbers_may_have_any_length() {
        for length in [17, 18, 19, 4299, 4300, 4301, 4302, 20_000, 500_000] {
            for (number, begin) in [
                ("7".repeat(length), "7.77"),
                (format!("-7{}", "7".repeat(length)), "-7.77"),
                (format!("7{}.5", "7".repeat(length)), "7.77"),
                (format!("0.{}", "7".repeat(length)), "0.77"),
                (format!("7.{}e-1", "7".repeat(length)), "0.77"),
                (format!("1e{}1", "0".repeat(length)), "10"),
            ] {
                let text = format!("[1, {number}\n,\"{number}\", 2]");
                let list = parse(&text).unwrap_or_else(|error| panic!("{begin} {length}: {error}"));
                let [one, Json::Number(found), Json::Text(inner), two] = list.as_list().unwrap() else {
                    panic!("{begin} {length}")
                };
                assert_eq!((one, two), (&Json::from(1), &Json::from(2)), "{begin} {length}");
                assert!(*found == Number::parse(&number).unwrap() && inner == number.as_str(), "{begin} {length}");
            }
        }
        for wrong in [format!("0{}", "7".repeat(5000)), format!("{}.", "7".repeat(5000)), "-".repeat(5000)] {
            assert!(parse(&wrong).is_err());
            assert!(parse(&format!("[\"\\ud800\", {wrong}]")).is_err());
        }
    }
}
