//! Server processes, which never outlive the test.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::{env, io, thread};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::{PATIENCE, until};

/// What to do if a server is missing.
pub(crate) const SETUP: &str = "run `scripts/setup tests`, which installs it";

/// A program that can be started repeatedly.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    address: SocketAddr,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Program {
    /// Does not start the program yet. It will listen on `address`, and its output is appended to `log`.
    pub(crate) fn new(path: PathBuf, arguments: Vec<OsString>, address: SocketAddr, log: PathBuf) -> Self {
        Self { path, arguments, address, log, child: Mutex::new(None) }
    }

    /// Starts the program and waits until it is `ready`; panics with the reason if it is not.
    pub(crate) fn start(&self, mut ready: impl FnMut() -> Result<(), String>) {
        let mut child = self.child.lock();
        assert!(child.is_none(), "{} runs already", self.path.display());
        let log = File::options().create(true).append(true).open(&self.log).expect("the log can be written");
        let mut command = Command::new(find("setpriv"));
        // The kernel kills the server when the thread that spawned it ends, for any reason. Only a test that is killed in the
        // millisecond before setpriv requests this leaves its server behind.
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.path).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        let process = child.insert(spawn(command).expect("setpriv can be started"));

        let mut trouble = String::new();
        let ended = until(PATIENCE, || {
            if let Some(status) = process.try_wait().expect("a child can be waited for") {
                return Some(Err(status));
            }
            // Trying a connection is cheaper than a command.
            match TcpStream::connect(self.address).map_err(|error| error.to_string()).and_then(|_| ready()) {
                Ok(()) => Some(Ok(())),
                Err(why) => {
                    trouble = why;
                    None
                }
            }
        });
        match ended {
            Some(Ok(())) => {}
            Some(Err(status)) => {
                child.take();
                drop(child);
                panic!("{} ended at once with {status}; its log:\n{}", self.path.display(), self.log());
            }
            None => {
                drop(child);
                self.kill();
                panic!(
                    "{} did not answer within {PATIENCE:?}: {trouble}; its log:\n{}",
                    self.path.display(),
                    self.log()
                );
            }
        }
    }

    /// Kills the program, if it is running, and waits until it has ended.
    pub(crate) fn kill(&self) {
        if let Some(mut child) = self.child.lock().take() {
            // Both only fail if the child has already ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops the program and waits until it has ended.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
        let mut child = self.child.lock();
        let process = child.as_mut().expect("it was just sent a signal");
        let gone = until(PATIENCE, || process.try_wait().expect("a child can be waited for"));
        assert!(gone.is_some(), "{} did not end within {PATIENCE:?}; its log:\n{}", self.path.display(), self.log());
        child.take();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.lock();
        let process = child.as_ref().unwrap_or_else(|| panic!("{} does not run", self.path.display()));
        kill_process(Pid::from_child(process), signal).expect("a child can be signalled");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().as_ref().map(Child::id).unwrap_or_else(|| panic!("{} does not run", self.path.display()))
    }

    /// The last lines that the program printed.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program of that name in the `PATH`.
pub(crate) fn find(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: {SETUP}"))
}

/// The file `path`, which `scripts/setup` would have installed.
pub(crate) fn require(path: &Path) -> PathBuf {
    assert!(path.is_file(), "{} is missing: {SETUP}", path.display());
    path.into()
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Spawns from a thread that lives as long as the process. A server is killed when the thread that spawned it ends, and the
/// thread of a test may end before a server that it shares with others.
fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: LazyLock<mpsc::Sender<Job>> = LazyLock::new(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, spawned) = mpsc::channel();
    SPAWNER.send((command, answer)).expect("the spawning thread lives as long as the process");
    spawned.recv().expect("the spawning thread answers")
}
