//! Finds the items of a body that arrives in parts: lines, or the elements of a JSON list.
//!
//! It keeps one item at a time, so a body may be of any length. It only looks for where elements end; whether they are valid JSON is
//! decided when they are read. So an element that is not valid, but closes what it opens, harms no other.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::problem::{Code, Problem};

/// How items are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    List,
}

/// One item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Bytes),
    /// It was longer than allowed and was skipped.
    TooLarge,
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::TooLarge => 0,
        }
    }
}

/// Where in a list the splitter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the list.
    Start,
    /// Before an element; the first may be missing.
    Before { first: bool },
    /// In an element, this deep in it.
    In { depth: usize, text: bool, escaped: bool },
    /// After the list.
    Done,
}

#[derive(Debug)]
pub(super) struct Splitter {
    form: Form,
    most: usize,
    buffer: BytesMut,
    /// How much of the buffer was looked at.
    seen: usize,
    place: Place,
    /// Whether the current item is too large, so that it is not kept.
    skips: bool,
}

impl Splitter {
    pub(super) fn new(form: Form, most: usize) -> Self {
        Self { form, most, buffer: BytesMut::new(), seen: 0, place: Place::Start, skips: false }
    }

    /// How many bytes it keeps.
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Adds the next part of the body.
    pub(super) fn push(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    /// The next item that is complete.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Problem> {
        match self.form {
            Form::Lines => Ok(self.next_line()),
            Form::List => self.next_element(),
        }
    }

    /// The rest, when the body has ended.
    pub(super) fn end(&mut self) -> Result<Option<Piece>, Problem> {
        match (self.form, self.place) {
            (Form::Lines, _) if self.skips => Ok(Some(Piece::TooLarge)),
            (Form::Lines, _) => Ok(line(std::mem::take(&mut self.buffer).freeze())),
            (Form::List, Place::Done) => Ok(None),
            (Form::List, Place::Start) => Err(not_a_list("nothing")),
            (Form::List, _) => Err(Problem::new(Code::Incomplete, "the list ended before it was complete; expected ]")),
        }
    }

    fn next_line(&mut self) -> Option<Piece> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.buffer[self.seen..]) else {
                self.seen = self.buffer.len();
                self.keep_short();
                return None;
            };
            let text = self.buffer.split_to(self.seen + end).freeze();
            self.buffer.advance(1);
            self.seen = 0;
            if std::mem::take(&mut self.skips) || text.len() > self.most {
                return Some(Piece::TooLarge);
            }
            if let Some(piece) = line(text) {
                return Some(piece);
            }
        }
    }

    /// Forgets what belongs to an item that is too large.
    fn keep_short(&mut self) {
        if self.skips || self.buffer.len() > self.most {
            self.skips = true;
            self.buffer.clear();
            self.seen = 0;
        }
    }

    fn next_element(&mut self) -> Result<Option<Piece>, Problem> {
        loop {
            if let Place::In { .. } = self.place {
                let Some(end) = self.element_end() else {
                    self.keep_short();
                    return Ok(None);
                };
                let text = self.buffer.split_to(end).freeze();
                let last = self.buffer[0] == b']';
                self.buffer.advance(1);
                self.seen = 0;
                self.place = if last { Place::Done } else { Place::Before { first: false } };
                let too_large = std::mem::take(&mut self.skips) || text.len() > self.most;
                return Ok(Some(if too_large { Piece::TooLarge } else { Piece::Text(text) }));
            }
            let space = self.buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.buffer.advance(space);
            let Some(&byte) = self.buffer.first() else { return Ok(None) };
            self.place = match (self.place, byte) {
                (Place::Start, b'[') => Place::Before { first: true },
                (Place::Start, _) => return Err(not_a_list("something else")),
                (Place::Before { first: true }, b']') => Place::Done,
                (Place::Before { .. }, b',' | b']') => {
                    return Err(Problem::new(Code::InvalidBody, "an element of the list is missing before , or ]"));
                }
                (Place::Before { .. }, _) => {
                    self.place = Place::In { depth: 0, text: false, escaped: false };
                    continue;
                }
                (Place::Done, _) => {
                    return Err(Problem::new(Code::InvalidBody, "there is more after the list; expected its end"));
                }
                (place @ Place::In { .. }, _) => place,
            };
            self.buffer.advance(1);
        }
    }

    /// Where the element ends that begins the buffer: at the comma or the bracket after it.
    fn element_end(&mut self) -> Option<usize> {
        let Place::In { mut depth, mut text, mut escaped } = self.place else { return None };
        let rest = &self.buffer[self.seen..];
        let end = rest.iter().position(|&byte| {
            if text {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => text = false,
                    _ => {}
                }
                return false;
            }
            match byte {
                b'"' => text = true,
                b'{' | b'[' => depth += 1,
                b',' | b']' if depth == 0 => return true,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            false
        });
        self.place = Place::In { depth, text, escaped };
        match end {
            Some(end) => Some(self.seen + end),
            None => {
                self.seen = self.buffer.len();
                None
            }
        }
    }
}

fn not_a_list(what: &str) -> Problem {
    Problem::new(Code::InvalidBody, format!("the body is {what}; expected a JSON list, which begins with ["))
}

/// A line, unless it is blank.
fn line(text: Bytes) -> Option<Piece> {
    (!text.iter().all(u8::is_ascii_whitespace)).then_some(Piece::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The items of a body that arrives in parts of this length; the last one may be the code of a problem.
    fn items(form: Form, body: &str, step: usize) -> Vec<String> {
        let mut splitter = Splitter::new(form, 20);
        let mut found = Vec::new();
        let show = |piece: Piece| match piece {
            Piece::Text(text) => String::from_utf8(text.to_vec()).unwrap().trim().to_owned(),
            Piece::TooLarge => "(too large)".to_owned(),
        };
        for part in body.as_bytes().chunks(step) {
            splitter.push(part);
            loop {
                match splitter.next() {
                    Ok(Some(piece)) => found.push(show(piece)),
                    Ok(None) => break,
                    Err(problem) => {
                        found.push(problem.code().to_owned());
                        return found;
                    }
                }
            }
            assert!(splitter.len() <= 20, "{}", splitter.len());
        }
        match splitter.end() {
            Ok(piece) => found.extend(piece.map(show)),
            Err(problem) => found.push(problem.code().to_owned()),
        }
        found
    }

    #[test]
    fn items_do_not_depend_on_the_parts_of_the_body() {
        let long = "x".repeat(25);
        for (form, body, expected) in [
            (Form::Lines, "", vec![]),
            (Form::Lines, "1\n\r\n  \n{\"a\":2}\r\n3", vec!["1", "{\"a\":2}", "3"]),
            (Form::Lines, &format!("1\n{long}\n2\n{long}"), vec!["1", "(too large)", "2", "(too large)"]),
            (Form::List, " [ ] ", vec![]),
            (Form::List, "[1, {\"a\": [1, 2]} ,[\"],\\\"\"]\n]\n", vec!["1", "{\"a\": [1, 2]}", "[\"],\\\"\"]"]),
            (Form::List, &format!("[1,\"{long}\",2]"), vec!["1", "(too large)", "2"]),
            (Form::List, "[{oops}, }, 2]", vec!["{oops}", "}", "2"]),
            (Form::List, "[1, 2", vec!["1", "incomplete"]),
            (Form::List, "[1,", vec!["1", "incomplete"]),
            (Form::List, "", vec!["invalid_body"]),
            (Form::List, "{\"a\": 1}", vec!["invalid_body"]),
            (Form::List, "[1,,2]", vec!["1", "invalid_body"]),
            (Form::List, "[1,]", vec!["1", "invalid_body"]),
            (Form::List, "[1] 2", vec!["1", "invalid_body"]),
        ] {
            for step in [1, 2, 3, 7, 1000] {
                if step < 20 || body.len() <= 20 {
                    assert_eq!(items(form, body, step), expected, "{body} in parts of {step}");
                }
            }
        }
    }
}
