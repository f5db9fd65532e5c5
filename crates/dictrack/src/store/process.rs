//! Which process wrote a record, and whether it is still running.

/// A process of some machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Distinguishes it from other processes with the same number, if the system provides that.
    pub(crate) origin: Option<Origin>,
}

/// Distinguishes a process from all others with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Identifies the kernel that runs it and the namespace of its process number; host names are not unique.
    pub(crate) machine: String,
    /// When it started, since process numbers are reused.
    pub(crate) start: i64,
}

impl Process {
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        let read = |path: &str| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
        let host = read("/proc/sys/kernel/hostname").or_else(|| std::env::var("HOSTNAME").ok());
        let numbering = std::fs::read_link("/proc/self/ns/pid").ok();
        let place = read("/proc/sys/kernel/random/boot_id").zip(numbering).zip(start_of(pid));
        Self {
            host: host.unwrap_or_else(|| "this host".to_owned()),
            pid,
            origin: place
                .map(|((boot, numbering), start)| Origin { machine: format!("{boot} {}", numbering.display()), start }),
        }
    }

    /// Whether the process `pid` of `origin` has certainly ended; only known if it ran where this one runs.
    pub(crate) fn knows_dead(&self, pid: i64, origin: &Origin) -> bool {
        let Ok(pid) = u32::try_from(pid) else { return false };
        // If the system hides processes of other users, it hides the first one too, and nothing can be known.
        self.origin.as_ref().is_some_and(|own| own.machine == origin.machine)
            && start_of(1).is_some()
            && start_of(pid) != Some(origin.start)
    }
}

/// When a process started, in ticks since the machine did; `None` if there is none, or only one that its parent has not
/// reaped.
fn start_of(pid: u32) -> Option<i64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program name, in brackets, may itself contain brackets and spaces.
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
        let (pid, mut origin) = (i64::from(this.pid), this.origin.clone().unwrap());
        assert!(!this.knows_dead(pid, &origin));
        origin.start -= 1;
        assert!(this.knows_dead(pid, &origin));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i64::from(child.id());
        origin.start = start_of(child.id()).unwrap_or(1);
        child.wait().unwrap();
        assert!(this.knows_dead(pid, &origin));
        origin.machine.push('x');
        assert!(!this.knows_dead(pid, &origin), "what runs elsewhere cannot be known");
    }
}
