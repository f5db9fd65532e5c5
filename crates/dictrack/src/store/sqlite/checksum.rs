//! Checksums of rows.
//!
//! A checksum has two halves. The lower half is the CRC-32 of the row's long text; the upper half is that of the
//! table's name, of all other columns and of the lower half. So the short columns can be checked without reading a long
//! text, and a row that was moved to another key or table does not match.

/// A column other than the long text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column<'a> {
    Text(&'a str),
    Number(i64),
}

/// The checksum of a row.
pub(super) fn of(table: &str, columns: &[Column<'_>], text: &str) -> i64 {
    joined(table, columns, crc32fast::hash(text.as_bytes()))
}

/// Whether a row matches this checksum.
pub(super) fn fits(checksum: i64, table: &str, columns: &[Column<'_>], text: &str) -> bool {
    checksum == of(table, columns, text)
}

/// Whether the columns match this checksum; the long text is not checked.
pub(super) fn columns_fit(checksum: i64, table: &str, columns: &[Column<'_>]) -> bool {
    checksum == joined(table, columns, checksum as u32)
}

fn joined(table: &str, columns: &[Column<'_>], text: u32) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(table.as_bytes());
    for column in columns {
        match column {
            // The length is included, so that the end of one column cannot pass for the beginning of the next.
            Column::Text(text) => {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
            Column::Number(number) => hasher.update(&number.to_le_bytes()),
        }
    }
    hasher.update(&text.to_le_bytes());
    (i64::from(hasher.finalize()) << 32) | i64::from(text)
}

#[cfg(test)]
mod tests {
    use super::Column::{Number, Text};
    use super::*;

    #[test]
    fn every_column_the_table_and_the_text_are_in_the_checksum() {
        let sum = of("marks", &[Text("ab"), Text("c"), Number(1)], "text");
        for other in [
            of("mark", &[Text("sab"), Text("c"), Number(1)], "text"),
            of("marks", &[Text("a"), Text("bc"), Number(1)], "text"),
            of("marks", &[Text("ab"), Text("c"), Number(-1)], "text"),
            of("marks", &[Text("ab"), Text("c"), Number(1)], "test"),
        ] {
            assert_ne!(sum, other);
        }
    }

    #[test]
    fn columns_are_checked_without_the_text_and_the_text_by_its_half() {
        let columns = [Text("a"), Number(7)];
        let sum = of("events", &columns, "text");
        assert!(columns_fit(sum, "events", &columns) && fits(sum, "events", &columns, "text"));
        assert!(!columns_fit(sum, "events", &[Text("a"), Number(8)]) && !fits(sum, "events", &columns, "texT"));
        for bit in 0..64 {
            assert!(!columns_fit(sum ^ (1 << bit), "events", &columns), "bit {bit}");
        }
    }
}
