//! Rows of [Arrow](https://arrow.apache.org) tables as documents, read in place, without a value for each cell.
//!
//! [`Columns`] makes each row of a record batch a [`Document`](crate::Document). [`Rows`] arranges them by group, for
//! [`Manager::track_rows`](crate::Manager::track_rows), which is faster than tracking them one by one.
//!
//! Nulls are missing. Whole numbers, decimals and floats are exact; timestamps, dates and durations are seconds; dictionaries and
//! runs are their values; structs and maps are maps. What JSON does not have, such as bytes, equals nothing.

mod column;
mod columns;
mod rows;

pub use columns::{Columns, Row};
pub use rows::{BadRow, RowPaths, Rows};
