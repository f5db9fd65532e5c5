//! The first documents of inputs, for `dictrack init`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum as _;
use dictrack::json::{Json, Projection, Projector};
use dictrack::{Document as _, Timestamp, Zone, document::Value};

use super::args::delimiter;
use super::csv::Typing;
use super::found;
use super::input::{Format, Input};
use super::local::LocalTimes;
use super::reader::Reader;
use super::text::Taken;
use crate::Failure;
use crate::words::shell;

/// After this many documents, or bytes of the inputs, enough is known.
const DOCUMENTS: usize = 10_000;
const BYTES: u64 = 32 << 20;

/// What is read, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Inputs {
    /// The format of the inputs [default: depends on the file name and on how the file begins].
    #[arg(short, long)]
    format: Option<Format>,
    /// What separates the cells of CSV: one character, or "tab" [default: a comma, or what the header suggests].
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// Files as `dictrack run` reads them, also folders and quoted patterns; - for standard input.
    #[arg(value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
}

/// The first documents of some inputs.
pub(crate) struct Sample {
    pub(crate) documents: Vec<Json>,
    /// Whether there are no others.
    pub(crate) is_whole: bool,
    /// The options with which `dictrack run` reads the inputs in the same way, with a space before each.
    pub(crate) options: String,
}

impl Sample {
    pub(crate) fn read(args: &Inputs) -> Result<Self, Failure> {
        let first = Self::read_as(args, &[]);
        // Only files can be read again.
        if !args.inputs.iter().all(|input| input.is_file()) {
            return first;
        }
        let mut args = args.clone();
        let mut sample = first;
        if args.delimiter.is_none() && sample.as_ref().map_or(true, Self::has_one_column) {
            // Of CSV that is separated by something else, the records may not even have as many cells as the header.
            for delimiter in [b';', b'\t', b'|'] {
                let other = Inputs { delimiter: Some(delimiter), ..args.clone() };
                let Ok(read) = Self::read_as(&other, &[]) else { continue };
                if !read.documents.is_empty() && !read.has_one_column() {
                    (args, sample) = (other, Ok(read));
                    break;
                }
            }
        }
        let sample = sample?;
        match sample.with_decimal_comma() {
            numbers if numbers.is_empty() => Ok(sample),
            numbers => Self::read_as(&args, &numbers),
        }
    }

    /// Reads the columns `numbers` as numbers with a decimal comma.
    fn read_as(args: &Inputs, numbers: &[String]) -> Result<Self, Failure> {
        let typing = Typing {
            delimiter: args.delimiter,
            number: numbers.to_vec(),
            decimal_comma: !numbers.is_empty(),
            ..Typing::default()
        };
        let taken = Taken::default();
        let mut inputs = Vec::new();
        for path in found::files(&args.inputs)? {
            let mut input = Input::open(&path, args.format, false)?;
            // Nothing will be marked as counted, so the last line is complete even without a newline.
            input.key = None;
            if let Some(failure) = input.check(&typing, &taken, inputs.len()) {
                return Err(failure);
            }
            inputs.push(input);
        }
        let reader = Reader::start(inputs, typing, taken);
        let mut projector = Projector::new(Arc::new(Projection::everything()));
        let mut sample = Self { documents: Vec::new(), is_whole: true, options: args.options(numbers) };
        let mut problem = None;
        while let Some(mut batch) = reader.next() {
            batch.rows.read(&mut batch.items, &mut projector);
            for item in &batch.items {
                match &item.document {
                    Ok(row) => sample.documents.push(batch.rows.document(row).to_json().into_owned()),
                    Err(wrong) => drop(problem.get_or_insert_with(|| match batch.broken {
                        true => format!("{}: {wrong}", batch.name),
                        false => format!("{}:{}: {wrong}", batch.name, item.line),
                    })),
                }
            }
            if sample.documents.len() >= DOCUMENTS || batch.taken >= BYTES {
                sample.is_whole = false;
                break;
            }
        }
        match problem {
            Some(problem) if sample.documents.is_empty() => Err(Failure(problem)),
            _ => Ok(sample),
        }
    }

    fn has_one_column(&self) -> bool {
        self.documents.iter().all(|document| document.as_map().is_some_and(|map| map.len() == 1))
    }

    /// The columns with texts such as `12,50`, and no others.
    fn with_decimal_comma(&self) -> Vec<String> {
        // Whether a column has such a text, and nothing but numbers.
        let mut columns: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
        for (name, value) in self.documents.iter().filter_map(Json::as_map).flat_map(|map| map.iter()) {
            let parts = value.as_str().and_then(|text| text.split_once(','));
            let is_number = parts.is_some_and(|(whole, rest)| {
                let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(rest)
            });
            let (has_comma, has_numbers) = columns.entry(name).or_insert((false, true));
            *has_comma |= is_number;
            // A whole number has no comma.
            *has_numbers &= is_number || value.as_number().is_some();
        }
        columns.into_iter().filter(|(_, fits)| *fits == (true, true)).map(|(name, _)| name.to_owned()).collect()
    }
}

impl Inputs {
    fn options(&self, numbers: &[String]) -> String {
        let mut options = String::new();
        if let Some(format) = self.format.and_then(|format| format.to_possible_value()) {
            options.push_str(&format!(" --format {}", format.get_name()));
        }
        if !numbers.is_empty() {
            options.push_str(&format!(" --number {} --decimal-comma", shell(&numbers.join(","))));
        }
        match self.delimiter {
            None => {}
            Some(b'\t') => options.push_str(" --delimiter tab"),
            Some(other) => options.push_str(&format!(" --delimiter {}", shell(&char::from(other).to_string()))),
        }
        options
    }
}

/// The time in a value, as `--time` reads it in UTC.
pub(crate) fn time(value: &Json) -> Option<Timestamp> {
    LocalTimes::of(Zone::UTC).read(&Value::from(value))
}
