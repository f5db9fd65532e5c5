//! Reads JSON with exact numbers and positions.

use super::Text;
use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};

use crate::number::Number;

mod repair;

use repair::Repaired;

/// The maximum size of a document in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The maximum nesting depth of lists and maps.
pub const MAX_DEPTH: usize = 64;

/// Builds values from the parts of JSON. `at` is the byte offset where the part starts.
#[expect(missing_docs, reason = "each method is named after the part it takes")]
pub trait Builder {
    type Value;
    type Map: Default;

    fn null(&mut self, at: usize) -> Self::Value;
    fn boolean(&mut self, at: usize, value: bool) -> Self::Value;
    fn number(&mut self, at: usize, value: Number) -> Self::Value;
    fn text(&mut self, at: usize, value: &str) -> Self::Value;
    fn list(&mut self, at: usize, items: Vec<Self::Value>) -> Self::Value;
    /// `before` is a byte offset; the next quote from there starts the key.
    fn entry(&mut self, map: &mut Self::Map, before: usize, key: Text, value: Self::Value);
    fn map(&mut self, at: usize, map: Self::Map) -> Self::Value;
}

/// A line and a column, both counted from 1. The column counts bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The position of byte `at` in `text`.
    pub fn of(text: &[u8], at: usize) -> Self {
        let before = &text[..at.min(text.len())];
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Self { line, column: before.len() - start + 1 }
    }
}

/// Why JSON cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {}, column {}", position.line, position.column)]
pub struct SyntaxError {
    /// What is wrong, in lower case.
    pub problem: String,
    /// The position of the error.
    pub position: Position,
    /// The byte offset of the error.
    pub at: usize,
    /// Whether the text exceeds a limit, although it may be valid JSON.
    pub exceeds: bool,
}

/// Limits and options for reading JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The maximum size in bytes.
    pub bytes: usize,
    /// The maximum nesting depth of lists and maps.
    pub depth: usize,
    /// Whether to accept strings with a lone surrogate, `"\ud800"`, which are valid JSON but not valid Unicode. Such a string
    /// becomes the number NaN, which equals nothing. An entry with such a key is left out.
    pub lone_surrogates: bool,
}

impl Bounds {
    /// For documents: [`MAX_BYTES`] and [`MAX_DEPTH`].
    pub const DOCUMENT: Self = Self { bytes: MAX_BYTES, depth: MAX_DEPTH, lone_surrogates: true };
    /// For data that dictrack stored: any length, and enough depth for the records around user values.
    pub const STORED: Self = Self { bytes: usize::MAX, depth: MAX_DEPTH * 2, lone_surrogates: false };
}

/// Reads `text` into a value created by `builder`.
///
/// # Errors
/// A [`SyntaxError`] if `text` exceeds `bounds` or is not JSON.
pub fn parse_with<B: Builder>(builder: &mut B, text: &[u8], bounds: Bounds) -> Result<B::Value, SyntaxError> {
    let fail =
        |problem: String, at: usize| SyntaxError { problem, position: Position::of(text, at), at, exceeds: false };
    if text.len() > bounds.bytes {
        return Err(SyntaxError { exceeds: true, ..fail(format!("JSON is longer than {} bytes", bounds.bytes), 0) });
    }
    let mut value = read(builder, text, bounds);
    if let Err(Fault::Syntax(error)) = &value
        && repair::may_help(error)
        && let Some((mut repaired, text)) = Repaired::of(builder, text, bounds.lone_surrogates)
    {
        value = read(&mut repaired, &text, bounds);
    }
    value.map_err(|fault| match fault {
        Fault::Syntax(error) => fail(describe(&error.error_type), error.index),
        Fault::TooDeep(at) => SyntaxError {
            exceeds: true,
            ..fail(format!("lists and maps are nested deeper than {} levels", bounds.depth), at)
        },
    })
}

fn read<B: Builder>(builder: &mut B, text: &[u8], bounds: Bounds) -> Result<B::Value, Fault> {
    let mut reader = Reader { jiter: Jiter::new(text), builder, depth: bounds.depth };
    let value = reader.value(0)?;
    reader.jiter.finish()?;
    Ok(value)
}

enum Fault {
    Syntax(JiterError),
    TooDeep(usize),
}

impl From<JiterError> for Fault {
    fn from(error: JiterError) -> Self {
        Self::Syntax(error)
    }
}

fn invalid(error: JsonErrorType, index: usize) -> Fault {
    Fault::Syntax(JiterError { error_type: JiterErrorType::JsonError(error), index })
}

fn describe(error: &JiterErrorType) -> String {
    let JiterErrorType::JsonError(error) = error else { return error.to_string() };
    match error {
        JsonErrorType::EofWhileParsingList
        | JsonErrorType::EofWhileParsingObject
        | JsonErrorType::EofWhileParsingString
        | JsonErrorType::EofWhileParsingValue => "unexpected end of input".to_owned(),
        JsonErrorType::ExpectedSomeIdent => "invalid literal; expected true, false or null".to_owned(),
        JsonErrorType::LoneLeadingSurrogateInHexEscape | JsonErrorType::UnexpectedEndOfHexEscape => {
            "invalid \\u escape; expected four hexadecimal digits, and both halves of a surrogate pair".to_owned()
        }
        JsonErrorType::InvalidUnicodeCodePoint => "invalid UTF-8".to_owned(),
        other => other.to_string(),
    }
}

struct Reader<'a, 'b, B> {
    jiter: Jiter<'a>,
    builder: &'b mut B,
    depth: usize,
}

impl<B: Builder> Reader<'_, '_, B> {
    fn value(&mut self, depth: usize) -> Result<B::Value, Fault> {
        let peek = self.jiter.peek()?;
        self.known(peek, depth)
    }

    fn known(&mut self, peek: Peek, depth: usize) -> Result<B::Value, Fault> {
        let at = self.jiter.current_index();
        Ok(match peek {
            Peek::String => {
                let text = self.jiter.known_str()?;
                self.builder.text(at, text)
            }
            Peek::True | Peek::False => {
                let value = self.jiter.known_bool(peek)?;
                self.builder.boolean(at, value)
            }
            Peek::Null => {
                self.jiter.known_null()?;
                self.builder.null(at)
            }
            Peek::Array | Peek::Object if depth >= self.depth => return Err(Fault::TooDeep(at)),
            Peek::Array => {
                let mut items = Vec::new();
                let mut next = self.jiter.known_array()?;
                while let Some(peek) = next {
                    items.push(self.known(peek, depth + 1)?);
                    next = self.jiter.array_step()?;
                }
                self.builder.list(at, items)
            }
            Peek::Object => {
                let mut map = B::Map::default();
                let mut before = at;
                let mut next = self.jiter.known_object()?.map(Text::from);
                while let Some(key) = next {
                    let value = self.value(depth + 1)?;
                    self.builder.entry(&mut map, before, key, value);
                    before = self.jiter.current_index();
                    next = self.jiter.next_key()?.map(Text::from);
                }
                self.builder.map(at, map)
            }
            _ if !peek.is_num() => return Err(invalid(JsonErrorType::ExpectedSomeValue, at)),
            _ => {
                let text = self.jiter.known_number_bytes(peek)?;
                match std::str::from_utf8(text).ok().and_then(Number::parse) {
                    Some(number) => self.builder.number(at, number),
                    None => return Err(invalid(JsonErrorType::InvalidNumber, at)),
                }
            }
        })
    }
}
