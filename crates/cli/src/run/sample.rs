//! The first documents of inputs, for `dictrack init`.

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
        let sample = Self::read_as(args)?;
        match sample.other_delimiter() {
            Some(other) if args.delimiter.is_none() && args.inputs.iter().all(|input| input.is_file()) => {
                Self::read_as(&Inputs { delimiter: Some(other), ..args.clone() })
            }
            _ => Ok(sample),
        }
    }

    fn read_as(args: &Inputs) -> Result<Self, Failure> {
        let typing = Typing { delimiter: args.delimiter, ..Typing::default() };
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
        let mut sample = Self { documents: Vec::new(), is_whole: true, options: args.options() };
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

    /// What separates the cells of CSV, if it is not a comma: then there is one column, with a name that has others in it.
    fn other_delimiter(&self) -> Option<u8> {
        let (name, _) = match self.documents.first()?.as_map()? {
            map if map.len() == 1 => map.iter().next()?,
            _ => return None,
        };
        [b';', b'\t', b'|'].into_iter().find(|delimiter| name.contains(char::from(*delimiter)))
    }
}

impl Inputs {
    fn options(&self) -> String {
        let mut options = String::new();
        if let Some(format) = self.format.and_then(|format| format.to_possible_value()) {
            options.push_str(&format!(" --format {}", format.get_name()));
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
