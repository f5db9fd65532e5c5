//! Which process wrote a record, and whether it still runs.

use mongodb::bson::{Document, doc};

/// A process of some machine.
#[derive(Clone, Debug)]
pub(super) struct Process {
    host: String,
    pid: u32,
    /// Names the kernel that runs it and the numbering of its processes; host names are not unique.
    machine: Option<String>,
    /// When it began, since numbers of processes are used again.
    start: Option<i64>,
}

impl Process {
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        let read = |path: &str| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
        let host = read("/proc/sys/kernel/hostname").or_else(|| std::env::var("HOSTNAME").ok());
        let numbering = std::fs::read_link("/proc/self/ns/pid").ok();
        let machine = read("/proc/sys/kernel/random/boot_id").zip(numbering);
        Self {
            host: host.unwrap_or_else(|| "this host".to_owned()),
            pid,
            machine: machine.map(|(boot, numbering)| format!("{boot} {}", numbering.display())),
            start: start_of(pid),
        }
    }

    /// What records say of it.
    pub(super) fn to_document(&self) -> Document {
        let mut document = doc! {"host": &self.host, "pid": i64::from(self.pid)};
        if let (Some(machine), Some(start)) = (&self.machine, self.start) {
            document.insert("machine", machine);
            document.insert("start", start);
        }
        document
    }

    /// Whether the record is of this process.
    pub(super) fn is_of(&self, record: &Document) -> bool {
        let own = self.to_document();
        own.contains_key("start") && own.iter().all(|(key, value)| record.get(key) == Some(value))
    }

    /// Whether the process of a record has surely ended: it ran where this one runs.
    pub(super) fn knows_dead(&self, record: &Document) -> bool {
        let (Some(machine), Ok(pid), Ok(start)) = (&self.machine, record.get_i64("pid"), record.get_i64("start"))
        else {
            return false;
        };
        let Ok(pid) = u32::try_from(pid) else { return false };
        // Where processes of other users are hidden, the first one is, and nothing can be known.
        record.get_str("machine").is_ok_and(|other| other == machine)
            && start_of(1).is_some()
            && start_of(pid) != Some(start)
    }
}

/// When a process began, in ticks since the machine did; `None` if there is none, or only what a parent has not noticed.
fn start_of(pid: u32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may have brackets and spaces of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_dead_when_its_number_is_free_or_used_again() {
        let this = Process::this();
        assert!(this.is_of(&this.to_document()) && !this.knows_dead(&this.to_document()));
        let mut other = this.to_document();
        other.insert("start", this.start.unwrap() - 1);
        assert!(this.knows_dead(&other) && !this.is_of(&other));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut record = this.to_document();
        record.insert("pid", i64::from(child.id()));
        record.insert("start", start_of(child.id()).unwrap_or(1));
        child.wait().unwrap();
        assert!(this.knows_dead(&record));
        record.insert("machine", "another");
        assert!(!this.knows_dead(&record), "what runs elsewhere cannot be known");
    }
}
