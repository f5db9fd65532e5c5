//! Other processes: this test binary, started again.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use dictrack::{Blocking, Manager, SqliteStore, group::Differing, manager::Submission};

use crate::common::{counter, document, open};

/// Tells another process what to do.
const WORK: &str = "DICTRACK_TEST_OWNER";

/// Another process, which is killed when this value is dropped.
pub(crate) struct Other {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Other {
    /// Starts another process that does `work` with the store at `path`.
    pub(crate) fn start(work: &str, path: &Path) -> Self {
        Self::start_with(work, path, |_| ())
    }

    pub(crate) fn start_with(work: &str, path: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "process::another_process", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(WORK, format!("{work} {}", path.display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that begins with `begin`; `None` at the end.
    pub(crate) fn line(&mut self, begin: &str) -> Option<String> {
        // The test harness prints lines of its own.
        self.lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(begin))
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it continue to its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.child.wait().unwrap()
    }

    /// The rest of what it prints.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        self.lines.by_ref().map(Result::unwrap).collect()
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The harness has already begun a line.
    writeln!(out, "\n{line}").and_then(|()| out.flush()).unwrap();
}

fn wait() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Counts one document in the group `a`.
pub(crate) fn count(manager: &Blocking, id: &str) -> Result<(), dictrack::Error> {
    let list = manager.tracker_list([counter("n", &[1_000_000])])?;
    manager.track_one(Submission::new("a", &document()).id(id).ensure(&list, Differing::Refuse)).map(drop)
}

#[test]
#[ignore = "another process of the tests beside it, which start it"]
fn another_process() {
    let work = std::env::var(WORK).expect("what to do");
    let (work, path) = work.split_once(' ').expect("what to do, and with which store");
    let path = PathBuf::from(path);
    match work {
        // Opens, counts a document and waits.
        "write" => {
            let manager = open(&path);
            count(&manager, "by another process").unwrap();
            say("opened");
            wait();
        }
        // Opens and closes it as other SQLite programs do.
        "look" => {
            let connection = rusqlite::Connection::open(&path).unwrap();
            let groups: i64 = connection.query_row("SELECT count(*) FROM groups", [], |row| row.get(0)).unwrap();
            drop(connection);
            say(&format!("groups {groups}"));
        }
        // Only tries to open it.
        "try" => match SqliteStore::open(&path) {
            Ok(_) => say("opened"),
            Err(error) => say(&format!("refused {error}")),
        },
        // Counts until it is refused, and prints what was acknowledged.
        work => {
            let Some(name) = work.strip_prefix("count:") else { panic!("unknown work {work}") };
            let open = || pollster::block_on(Manager::builder().store(SqliteStore::open(&path)?).open());
            let manager = match open() {
                Ok(manager) => manager.blocking(),
                Err(error) => return say(&format!("refused {error}")),
            };
            say("opened");
            for number in 0.. {
                let id = format!("{name}-{number}");
                match count(&manager, &id) {
                    Ok(()) => say(&format!("kept {id}")),
                    Err(error) => return say(&format!("ended {error}")),
                }
            }
        }
    }
}
