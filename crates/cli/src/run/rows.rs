//! The documents of a batch.

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

use dictrack::json::{Json, Projected, Projection, Projector};
use dictrack::{Document, Path, document::Value};

use super::malformed::Problem;
use super::reader::Item;

/// The maximum number of values that are picked out of the lines of a batch, so that short lines do not take much memory.
const MAX_SLOTS: usize = 1 << 15;

/// A document of a batch.
pub(super) enum Row {
    Whole(Json),
    /// The number of a line of [`Rows`].
    Line(usize),
    /// The number of a row of a table.
    #[cfg(feature = "parquet")]
    Cells(usize),
}

/// The lines of a batch. Of each, only some values are read. Their memory is used again.
#[derive(Default)]
pub(super) struct Rows {
    text: Vec<u8>,
    /// Where each line ends in `text`.
    ends: Vec<usize>,
    /// The values of all lines, one line after another.
    slots: Vec<Option<Json>>,
    /// What was read, if anything was.
    projection: Option<Arc<Projection>>,
    /// The table, if this is one.
    #[cfg(feature = "parquet")]
    pub(super) columns: Option<dictrack::arrow::Columns>,
}

impl Rows {
    /// Adds a line, which is read later.
    pub(super) fn push(&mut self, line: &[u8]) -> Row {
        self.text.extend_from_slice(line);
        self.ends.push(self.text.len());
        Row::Line(self.ends.len() - 1)
    }

    fn line(&self, at: usize) -> &[u8] {
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin..self.ends[at]]
    }

    /// Reads the lines among these items.
    pub(super) fn read(&mut self, items: &mut [Item], projector: &mut Projector) {
        let projection = Arc::clone(projector.projection());
        let width = projection.slots();
        let most = self.ends.len().min(MAX_SLOTS / width.max(1));
        if self.slots.len() < most * width {
            self.slots.resize(most * width, None);
        }
        self.projection = Some(projection);
        for item in items {
            let Ok(Row::Line(at)) = item.document else { continue };
            let mut slots = std::mem::take(&mut self.slots);
            let line = self.line(at);
            let read = match slots.get_mut(at * width..(at + 1) * width).filter(|_| at < most) {
                Some(slots) => projector.read(line, slots),
                None => Json::parse(line).map(Some),
            };
            match read {
                Ok(None) => {}
                Ok(Some(whole)) => item.document = Ok(Row::Whole(whole)),
                Err(error) => item.document = Err(Problem::syntax(line, &error)),
            }
            self.slots = slots;
        }
    }

    /// The document of a row that was read.
    pub(super) fn document<'a>(&'a self, row: &'a Row) -> Found<'a> {
        match (row, &self.projection) {
            (Row::Whole(document), _) => Found::Whole(document),
            (Row::Line(at), Some(projection)) => {
                let slots = &self.slots[at * projection.slots()..][..projection.slots()];
                Found::Line(Projected::new(projection, slots, self.line(*at)))
            }
            (Row::Line(_), None) => unreachable!("a line is read with a projection"),
            #[cfg(feature = "parquet")]
            (Row::Cells(at), _) => match &self.columns {
                Some(columns) => Found::Cells(columns.row(*at)),
                None => unreachable!("a row has a table"),
            },
        }
    }

    /// All of the document of a row, for a report.
    pub(super) fn whole(&self, row: &Row) -> Option<Json> {
        match row {
            Row::Whole(document) => Some(document.clone()),
            // Not from what was read of it: whatever is missed there is read of the next lines, too.
            Row::Line(at) => Json::parse(self.line(*at)).ok(),
            #[cfg(feature = "parquet")]
            Row::Cells(at) => Some(self.columns.as_ref()?.row(*at).to_json().into_owned()),
        }
    }

    /// Empties it for other lines.
    pub(super) fn clear(&mut self) {
        // Long values would be kept for a long time.
        self.slots.fill(None);
        self.text.clear();
        self.ends.clear();
        self.projection = None;
        #[cfg(feature = "parquet")]
        {
            self.columns = None;
        }
    }
}

/// A document of a batch, as the engine sees it.
pub(super) enum Found<'a> {
    Whole(&'a Json),
    Line(Projected<'a>),
    #[cfg(feature = "parquet")]
    Cells(dictrack::arrow::Row<'a>),
}

impl Document for Found<'_> {
    #[inline]
    fn value_at(&self, path: &Path) -> Option<Value<'_>> {
        match self {
            Self::Whole(document) => document.value_at(path),
            Self::Line(document) => document.value_at(path),
            #[cfg(feature = "parquet")]
            Self::Cells(document) => document.value_at(path),
        }
    }

    fn to_json(&self) -> Cow<'_, Json> {
        match self {
            Self::Whole(document) => Cow::Borrowed(document),
            Self::Line(document) => document.to_json(),
            #[cfg(feature = "parquet")]
            Self::Cells(document) => document.to_json(),
        }
    }

    fn as_any(&self) -> &dyn Any {
        match self {
            Self::Whole(document) => document.as_any(),
            Self::Line(document) => document.as_any(),
            #[cfg(feature = "parquet")]
            Self::Cells(document) => document.as_any(),
        }
    }
}
