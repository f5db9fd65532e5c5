//! Parquet files: their rows are documents. A mark records how many rows were counted.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use dictrack::Path;
use dictrack::arrow::Columns;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::input::Unfit;
use super::trail::Fingerprint;

/// How many rows are read at a time.
const ROWS: usize = 1024;

/// A file whose columns are known.
pub(super) struct Table {
    builder: ParquetRecordBatchReaderBuilder<File>,
    fingerprint: Fingerprint,
    size: u64,
}

/// The rows of a file, some at a time.
pub(super) struct Pieces {
    reader: ParquetRecordBatchReader,
    /// How many bytes of the file there are for each row.
    row_bytes: f64,
}

impl Table {
    pub(super) fn open(mut file: File) -> Result<Self, Unfit> {
        let size = file.metadata()?.len();
        let fingerprint = footer(&mut file, size)?;
        let builder = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(Unfit::Unread)?;
        Ok(Self { builder: builder.with_batch_size(ROWS), fingerprint, size })
    }

    /// Identifies the file: it is a hash of its last part, which has the columns, and the place and size of each of their pieces.
    pub(super) fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The names of the columns, if none of them is the one that `path` begins with.
    pub(super) fn lacks(&self, path: &Path) -> Option<String> {
        Columns::new(&RecordBatch::new_empty(self.builder.schema().clone())).lacks(path)
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.builder.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The rows from `first` on.
    pub(super) fn read(self, first: u64) -> Result<Pieces, String> {
        let row_bytes = self.size as f64 / self.rows().max(1) as f64;
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let reader = guarded(|| self.builder.with_offset(first).build())?;
        Ok(Pieces { reader, row_bytes })
    }
}

impl Pieces {
    /// About how many bytes of the file `rows` are.
    pub(super) fn bytes(&self, rows: usize) -> u64 {
        (self.row_bytes * rows as f64) as u64
    }
}

impl Iterator for Pieces {
    type Item = Result<Columns, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = guarded(|| self.reader.next().transpose());
        read.map(|batch| batch.map(|batch| Columns::new(&batch))).transpose()
    }
}

/// The fingerprint of a file of `size` bytes: its last eight bytes are the length of the footer before them, and a magic number.
fn footer(file: &mut File, size: u64) -> io::Result<Fingerprint> {
    let mut end = [0; 8];
    let from = size.saturating_sub(end.len() as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    if size > end.len() as u64 {
        file.read_exact(&mut end)?;
        let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
        file.seek(SeekFrom::Start(from.saturating_sub(length)))?;
        file.take(length).read_to_end(&mut text)?;
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(Fingerprint::of_whole(&text))
}

/// Calls the library that reads the file. It reports most damage as an error, but some as a panic.
fn guarded<T, E: ToString>(work: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| format!("not a Parquet file that can be read: {}", error.to_string())),
        Err(_) => Err("not a Parquet file that can be read: it is damaged".to_owned()),
    }
}
