//! YAML 1.2 with the core schema, one document per file.

use std::collections::HashMap;

use dictrack_core::json::MAX_DEPTH;
use dictrack_core::number::Number;
use dictrack_core::source::{Entry, Node, NodeValue};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::Fault;

/// How far aliases may expand a small file: this many values more than it has bytes. Strings count by length.
const UNFOLDED: usize = 10_000;
/// How many bytes of a string count as one value.
const VALUE_BYTES: usize = 32;

pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        text,
        anchors: HashMap::new(),
        left: text.len() + UNFOLDED,
        seen: (0, 0),
    };
    let mut document = None;
    loop {
        let (event, at) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if document.is_some() => {
                return Err(Fault::new("second YAML document; expected one document per file", at));
            }
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => document = Some(reader.node(event, at, 0)?),
        }
    }
    Ok(document.unwrap_or(Node { at: Some(0), value: NodeValue::Null }))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    anchors: HashMap<usize, (Node, usize)>,
    left: usize,
    /// The character looked up last and its byte offset. Events come in order.
    seen: (usize, usize),
}

impl<'a> Reader<'a> {
    /// The next event and the byte offset where it starts.
    fn next(&mut self) -> Result<(Event<'a>, usize), Fault> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.byte(span))),
            Some(Err(error)) => Err(self.fault(&error)),
            None => Ok((Event::StreamEnd, self.text.len())),
        }
    }

    fn byte(&mut self, span: Span) -> usize {
        self.byte_of(span.start.index())
    }

    /// The parser counts characters.
    fn byte_of(&mut self, letter: usize) -> usize {
        let (seen, at) = if self.seen.0 <= letter { self.seen } else { (0, 0) };
        let rest = &self.text[at..];
        let byte = at + rest.char_indices().nth(letter - seen).map_or(rest.len(), |(byte, _)| byte);
        self.seen = if byte < self.text.len() { (letter, byte) } else { (0, 0) };
        byte
    }

    fn fault(&mut self, error: &ScanError) -> Fault {
        Fault::new(error.info(), self.byte_of(error.marker().index()))
    }

    fn spend(&mut self, values: usize, at: usize) -> Result<(), Fault> {
        self.left = self
            .left
            .checked_sub(values)
            .ok_or_else(|| Fault::new("too many values: the aliases expand to far more than the file", at))?;
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, at: usize, depth: usize) -> Result<Node, Fault> {
        self.spend(1, at)?;
        let before = self.left;
        if depth > MAX_DEPTH {
            return Err(Fault::new(format!("nested deeper than {MAX_DEPTH} levels"), at));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(text.len() / VALUE_BYTES, at)?;
                (tagged(&text, style, tag.as_deref(), at)?, anchor)
            }
            Event::Alias(anchor) => {
                let (node, size) = self.anchors.get(&anchor).cloned().ok_or_else(|| Fault::new("unknown alias", at))?;
                self.spend(size, at)?;
                return Ok(node);
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, at) => items.push(self.node(event, at, depth + 1)?),
                    }
                }
                (NodeValue::List(items), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                let mut entries = Vec::new();
                loop {
                    let (event, at) = self.next()?;
                    if event == Event::MappingEnd {
                        break;
                    }
                    let Event::Scalar(key, style, key_anchor, tag) = event else {
                        return Err(Fault::new("key is not a string", at));
                    };
                    check_tag(tag.as_deref(), "str", at)?;
                    if key == "<<" && style == ScalarStyle::Plain && tag.is_none() {
                        let problem =
                            "merge keys (<<) are not YAML 1.2; write the fields out, or quote a key of this name";
                        return Err(Fault::new(problem, at));
                    }
                    if key_anchor > 0 {
                        self.anchors.insert(
                            key_anchor,
                            (Node { at: Some(at), value: NodeValue::Text(key.as_ref().into()) }, 1),
                        );
                    }
                    let (event, value_at) = self.next()?;
                    let value = self.node(event, value_at, depth + 1)?;
                    entries.push(Entry { at: Some(at), key: key.as_ref().into(), value });
                }
                (NodeValue::Map(entries), anchor)
            }
            _ => return Err(Fault::new("expected a value here", at)),
        };
        let node = Node { at: Some(at), value };
        if anchor > 0 {
            self.spend(before - self.left, at)?;
            self.anchors.insert(anchor, (node.clone(), before - self.left));
        }
        Ok(node)
    }
}

/// The name of a tag of the core schema: `str` of `!!str`, also when it is written in full.
fn core_name(tag: &Tag) -> Option<&str> {
    const CORE: &str = "tag:yaml.org,2002:";
    if tag.handle == CORE { Some(&tag.suffix) } else { tag.suffix.strip_prefix(CORE).filter(|_| tag.handle.is_empty()) }
}

/// Whether this is the tag `!`, which makes a scalar a string and does not affect other values.
fn is_bare(tag: &Tag) -> bool {
    (tag.handle.is_empty() && tag.suffix == "!") || (tag.handle == "!" && tag.suffix.is_empty())
}

fn unfit(tag: &Tag, at: usize) -> Fault {
    let name = core_name(tag).map_or_else(|| format!("{}{}", tag.handle, tag.suffix), |name| format!("!!{name}"));
    Fault::new(format!("the tag {name} does not apply to this value; remove it"), at)
}

/// Rejects a tag that names another kind than the value has.
fn check_tag(tag: Option<&Tag>, kind: &str, at: usize) -> Result<(), Fault> {
    match tag {
        Some(tag) if core_name(tag) != Some(kind) && !is_bare(tag) => Err(unfit(tag, at)),
        Some(_) | None => Ok(()),
    }
}

/// Resolves a scalar according to its tag.
fn tagged(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: usize) -> Result<NodeValue, Fault> {
    let Some(tag) = tag else { return scalar(text, style, at) };
    let name = if is_bare(tag) { Some("str") } else { core_name(tag) };
    if matches!(name, Some("str" | "timestamp")) {
        return Ok(NodeValue::Text(text.into()));
    }
    // A quoted scalar with such a tag means what it would mean without quotes.
    let value = scalar(text, ScalarStyle::Plain, at)?;
    let fits = match (name, &value) {
        (Some("null"), NodeValue::Null)
        | (Some("bool"), NodeValue::Bool(_))
        | (Some("float"), NodeValue::Number(_)) => true,
        (Some("int"), NodeValue::Number(number)) => {
            matches!(number, Number::Exact(amount) if amount.to_integer().is_some())
        }
        _ => false,
    };
    if fits { Ok(value) } else { Err(unfit(tag, at)) }
}

/// Resolves a scalar by the core schema: quoted and block scalars are always strings.
fn scalar(text: &str, style: ScalarStyle, at: usize) -> Result<NodeValue, Fault> {
    if style != ScalarStyle::Plain {
        return Ok(NodeValue::Text(text.into()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" => NodeValue::Bool(true),
        "false" | "False" | "FALSE" => NodeValue::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "-.inf" | "-.Inf" | "-.INF" | "+.inf" => {
            return Err(Fault::new("NaN or infinity; expected a finite number", at));
        }
        _ => match Number::parse(text.strip_prefix('+').unwrap_or(text)) {
            Some(number) => NodeValue::Number(number),
            None => NodeValue::Text(text.into()),
        },
    })
}
