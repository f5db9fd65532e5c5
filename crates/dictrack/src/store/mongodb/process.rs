//! What records say about the process that wrote them.

use mongodb::bson::{Document, doc};

use crate::store::process::{Origin, Process};

impl Process {
    /// The fields of a record that identify the process.
    pub(super) fn to_document(&self) -> Document {
        let mut document = doc! {"host": &self.host, "pid": i64::from(self.pid)};
        if let Some(origin) = &self.origin {
            document.insert("machine", &origin.machine);
            document.insert("start", origin.start);
        }
        document
    }

    /// Whether this process wrote the record.
    pub(super) fn is_of(&self, record: &Document) -> bool {
        self.origin.is_some() && self.to_document().iter().all(|(key, value)| record.get(key) == Some(value))
    }

    /// Whether the process that wrote a record has certainly ended.
    pub(super) fn has_ended(&self, record: &Document) -> bool {
        let (Ok(pid), Ok(machine), Ok(start)) =
            (record.get_i64("pid"), record.get_str("machine"), record.get_i64("start"))
        else {
            return false;
        };
        self.knows_dead(pid, &Origin { machine: machine.to_owned(), start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_of_this_process_when_all_of_it_is() {
        let this = Process::this();
        let mut record = this.to_document();
        assert!(this.is_of(&record) && !this.has_ended(&record));
        record.insert("start", record.get_i64("start").unwrap() - 1);
        assert!(this.has_ended(&record) && !this.is_of(&record));
        record.insert("machine", "another");
        assert!(!this.has_ended(&record), "what runs elsewhere cannot be known");
    }
}
