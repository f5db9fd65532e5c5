//! JSON documents that do not take one line each: pretty-printed, one after another, or in a list. Finds where each document
//! begins and ends, and leaves reading it to the parser.

use dictrack::json::MAX_BYTES;

use super::csv::BOM;

/// Whether a text that begins like this has such documents: it begins with a list, or its first line is only the opening brace
/// of a document.
pub(super) fn are_in(begin: &[u8]) -> bool {
    let begin = begin.strip_prefix(BOM).unwrap_or(begin).trim_ascii_start();
    match begin.split_first() {
        Some((b'[', _)) => true,
        Some((b'{', rest)) => rest.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')) == Some(&b'\n'),
        _ => false,
    }
}

/// A document that was found.
pub(super) struct Value<'a> {
    /// Its text, up to one byte longer than a document may be.
    pub(super) text: &'a [u8],
    /// Its number of bytes.
    pub(super) length: u64,
    /// The line where it starts.
    pub(super) line: u64,
    /// The number of lines that end before it does.
    pub(super) last_line: u64,
    /// The byte after it.
    pub(super) end: u64,
}

/// Finds documents in a text that is read piece by piece.
pub(super) struct Values {
    offset: u64,
    /// The number of lines that have ended.
    lines: u64,
    /// The document that has begun.
    begun: Option<Begun>,
    /// How many lists are open around the documents; unknown after an earlier run.
    lists: Option<u64>,
}

#[derive(Default)]
struct Begun {
    text: Vec<u8>,
    length: u64,
    line: u64,
    /// How many lists and maps are open in it.
    depth: u64,
    in_string: bool,
    is_escaped: bool,
}

impl Values {
    /// Starts between two documents.
    pub(super) fn new(offset: u64, lines: u64) -> Self {
        Self { offset, lines, begun: None, lists: (offset == 0).then_some(0) }
    }

    /// Reads the next piece of the text and shows each document that ends in it.
    pub(super) fn read(&mut self, piece: &[u8], mut found: impl FnMut(Value<'_>)) {
        for &byte in piece {
            if let Some(begun) = &mut self.begun
                && begun.ends_before(byte)
            {
                self.finish(&mut found);
            }
            match &mut self.begun {
                Some(begun) => begun.push(byte),
                None => self.between(byte),
            }
            self.offset += 1;
            self.lines += u64::from(byte == b'\n');
            if self.begun.as_ref().is_some_and(Begun::has_ended) {
                self.finish(&mut found);
            }
        }
    }

    /// Reads a byte that is not part of a document, unless one begins.
    fn between(&mut self, byte: u8) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
            byte if BOM.get(self.offset as usize) == Some(&byte) => {}
            b'[' => self.lists = self.lists.map(|lists| lists + 1),
            b']' => self.lists = self.lists.map(|lists| lists.saturating_sub(1)),
            byte => {
                let mut begun = Begun { line: self.lines + 1, ..Begun::default() };
                begun.push(byte);
                self.begun = Some(begun);
            }
        }
    }

    fn finish(&mut self, found: &mut impl FnMut(Value<'_>)) {
        if let Some(Begun { text, length, line, .. }) = self.begun.take() {
            found(Value { text: &text, length, line, last_line: self.lines, end: self.offset });
        }
    }

    /// Shows the last document, if the text ends with one. Returns what is missing at the end.
    pub(super) fn end(mut self, mut found: impl FnMut(Value<'_>)) -> Option<&'static str> {
        match &self.begun {
            Some(begun) if begun.depth > 0 || begun.in_string => {
                return Some("the input ends within a document; it will count once it is complete");
            }
            Some(_) => self.finish(&mut found),
            None => {}
        }
        self.lists.is_some_and(|lists| lists > 0).then_some("the input ends within a list; expected \"]\"")
    }
}

impl Begun {
    fn push(&mut self, byte: u8) {
        self.length += 1;
        if self.text.len() <= MAX_BYTES {
            self.text.push(byte);
        }
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Whether a map or a list is complete.
    fn has_ended(&self) -> bool {
        self.depth == 0 && !self.in_string && matches!(self.text.first(), Some(b'{'))
    }

    /// Whether anything else ends before this byte.
    fn ends_before(&self, byte: u8) -> bool {
        self.depth == 0 && !self.in_string && matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'{')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, the line and the end of each document, and what is missing.
    fn values(text: &str, step: usize) -> (Vec<(String, u64, u64)>, Option<&'static str>) {
        let mut found = Vec::new();
        let mut note = |value: Value<'_>| {
            assert_eq!(value.length, value.text.len() as u64);
            found.push((String::from_utf8(value.text.to_vec()).unwrap(), value.line, value.end));
        };
        let mut values = Values::new(0, 0);
        text.as_bytes().chunks(step).for_each(|piece| values.read(piece, &mut note));
        let missing = values.end(&mut note);
        (found, missing)
    }

    #[test]
    fn documents_are_found_wherever_the_text_is_split() {
        type Found = &'static [(&'static str, u64, u64)];
        let cases: [(&str, Found); 7] = [
            ("[{\"a\":1},\n {\"a\": [{}]}\n]\n", &[("{\"a\":1}", 1, 8), ("{\"a\": [{}]}", 2, 22)]),
            ("{\n \"a\": \"}\\\"{\"\n}\n{\n}", &[("{\n \"a\": \"}\\\"{\"\n}", 1, 16), ("{\n}", 4, 20)]),
            ("\u{feff}[\n]", &[]),
            ("{}{}", &[("{}", 1, 2), ("{}", 1, 4)]),
            ("[1, \"a b\",null]", &[("1", 1, 2), ("\"a b\"", 1, 9), ("null", 1, 14)]),
            ("nonsense {}", &[("nonsense", 1, 8), ("{}", 1, 11)]),
            ("[{\"a\":[1,2]}]", &[("{\"a\":[1,2]}", 1, 12)]),
        ];
        for (text, expected) in cases {
            for step in [1, 2, 3, 100] {
                let (found, missing) = values(text, step);
                let found: Vec<_> = found.iter().map(|(text, line, end)| (text.as_str(), *line, *end)).collect();
                assert_eq!((found.as_slice(), missing), (expected, None), "{text} by {step}");
            }
        }
        assert_eq!(values("[{},", 1).1, Some("the input ends within a list; expected \"]\""));
        assert!(values("{\"a\"", 1).1.is_some_and(|missing| missing.contains("within a document")));
    }

    #[test]
    fn only_the_beginning_tells() {
        for text in ["[", " [{\n", "{\n", "{ \r\n\"a\":1}", "\u{feff}\n[1]"] {
            assert!(are_in(text.as_bytes()), "{text:?}");
        }
        for text in ["", "{}", "{\"a\":1}\n", "{\"a\":\n1}", "{", "a,b\n"] {
            assert!(!are_in(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn a_long_document_takes_no_more_memory_than_one_may_have() {
        let mut values = Values::new(0, 0);
        let mut lengths = Vec::new();
        values.read(b"{\"a\":\"", |_| unreachable!());
        for _ in 0..40 {
            values.read(&[b'x'; 100_000], |_| unreachable!());
        }
        values.read(b"\"}{}", |value| lengths.push((value.text.len(), value.length)));
        assert_eq!(lengths, [(MAX_BYTES + 1, 4_000_008), (2, 2)]);
    }
}
