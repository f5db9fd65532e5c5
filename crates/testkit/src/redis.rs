//! A Redis server for a test.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fmt::Write as _, fs};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificate::Certificate;
use crate::port::Port;
use crate::process::{Program, find, require};
use crate::url::percent_encoded;
use crate::{directory, wait};

/// A Redis server on a free port of this machine. It stops when this is dropped, or when the process of the test ends.
///
/// # Panics
///
/// All methods panic on failures: if the server does not start, or if a signal is sent while it is not running.
#[derive(Debug)]
pub struct Redis {
    // Dropped before its directory.
    program: Program,
    directory: TempDir,
    port: Port,
    password: Option<String>,
    certificate: Option<Certificate>,
}

/// The configuration of a [`Redis`].
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    password: Option<String>,
    tls: bool,
    directives: Vec<(String, String)>,
}

impl RedisBuilder {
    /// Requires a password.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Accepts only TLS, with a certificate for `127.0.0.1` and `localhost` from its own authority: [`Redis::ca_pem`].
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Sets a directive in `redis.conf`. The value is written as given, so one with spaces may need quotes.
    #[must_use]
    pub fn config(mut self, directive: impl Into<String>, value: impl Into<String>) -> Self {
        self.directives.push((directive.into(), value.into()));
        self
    }

    /// Keeps the data in an append-only file, which has everything that was acknowledged, even after [`Redis::kill`].
    #[must_use]
    pub fn append_only(self) -> Self {
        self.config("appendonly", "yes")
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not within 20 seconds; shows its log.
    pub fn start(self) -> Redis {
        let directory = directory::make();
        let port = Port::claim();
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("a directory can be created");
        let certificate = self.tls.then(|| Certificate::make(directory.path()));

        let mut config = format!("bind 127.0.0.1\ndir {data:?}\nsave \"\"\n");
        let mut set = |directive: &str, value: &str| {
            let value = if value.is_empty() { "\"\"" } else { value };
            let _ = writeln!(config, "{directive} {value}");
        };
        match &certificate {
            None => set("port", &port.number().to_string()),
            Some(files) => {
                set("port", "0");
                set("tls-port", &port.number().to_string());
                set("tls-ca-cert-file", &format!("{:?}", files.authority));
                set("tls-cert-file", &format!("{:?}", files.certificate));
                set("tls-key-file", &format!("{:?}", files.key));
                set("tls-auth-clients", "no");
            }
        }
        if let Some(password) = &self.password {
            let hex: String = password.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            set("requirepass", &format!("\"{hex}\""));
        }
        for (directive, value) in &self.directives {
            set(directive, value);
        }
        let file = directory.path().join("redis.conf");
        fs::write(&file, config).expect("the server's directory can be written");

        let arguments: Vec<OsString> = vec![file.into()];
        let log = directory.path().join("log");
        let program = Program::new(binary(), arguments, port.address(), log);
        let redis = Redis { program, directory, port, password: self.password, certificate };
        redis.run();
        redis
    }
}

/// The program: `DICTRACK_TEST_REDIS_SERVER`, or the one in the `PATH`.
fn binary() -> PathBuf {
    env::var_os("DICTRACK_TEST_REDIS_SERVER").map_or_else(|| find("redis-server"), |path| require(Path::new(&path)))
}

impl Redis {
    /// Starts a server without persistence or a password.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Configures a server.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    fn run(&self) {
        self.program.start(|| match self.try_cli(&["PING"]) {
            Ok(answer) if answer == "PONG" => Ok(()),
            Ok(answer) => Err(format!("PING got {answer:?}")),
            Err(error) => Err(error),
        });
    }

    /// `redis://127.0.0.1:port`, with the password if there is one; `rediss://` with TLS.
    pub fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "rediss" } else { "redis" };
        let password = self.password.as_deref().map(percent_encoded);
        let login = password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{login}{}", self.address())
    }

    /// The port, the same after each restart.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The certificate file of the authority that clients must trust.
    ///
    /// # Panics
    ///
    /// If the server was started without [`RedisBuilder::tls`].
    pub fn ca_pem(&self) -> &Path {
        &self.certificate.as_ref().expect("this server has no TLS").authority
    }

    /// The directory with the configuration and the log of the server and, in `data`, what it persists.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Runs a command with `redis-cli`. The answer is plain text: one line per element, empty for nil.
    ///
    /// # Panics
    ///
    /// If the answer is an error, or there is none within 20 seconds.
    #[track_caller]
    pub fn cli(&self, command: &[&str]) -> String {
        match self.try_cli(command) {
            Ok(answer) => answer,
            Err(error) => panic!("redis-cli {command:?}: {error}"),
        }
    }

    /// The same, for a command that may fail.
    pub fn try_cli(&self, command: &[&str]) -> Result<String, String> {
        self.run_cli(&[], command)
    }

    /// Runs a command with options of `redis-cli`.
    pub(crate) fn run_cli(&self, options: &[&str], command: &[&str]) -> Result<String, String> {
        // redis-cli has no timeout, and a paused server does not answer.
        let mut cli = Command::new(find("timeout"));
        cli.args(["--signal=KILL", &wait::PATIENCE.as_secs().to_string()]).arg(find("redis-cli"));
        cli.args(["-e", "-h", "127.0.0.1", "-p", &self.port().to_string()]);
        if let Some(files) = &self.certificate {
            cli.arg("--tls").arg("--cacert").arg(&files.authority);
        }
        if let Some(password) = &self.password {
            cli.env("REDISCLI_AUTH", password);
        }
        let output = cli.args(options).args(command).output().expect("redis-cli can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
        let (answer, error) = (text(&output.stdout), text(&output.stderr));
        match output.status.success() {
            true => Ok(answer),
            false if answer.is_empty() && error.is_empty() => Err(format!("no answer: {}", output.status)),
            false if error.is_empty() => Err(answer),
            false => Err(error),
        }
    }

    /// Kills the server like `kill -9`.
    pub fn kill(&self) {
        self.program.kill();
    }

    /// Restarts the server on the same port, with the data that it persisted. Kills it first if it is running.
    pub fn restart(&self) {
        self.kill();
        self.run();
    }

    /// Restarts the server without any data. A cluster node keeps its place in the cluster.
    pub fn restart_empty(&self) {
        self.kill();
        let entries = fs::read_dir(self.directory().join("data")).expect("the server has a directory");
        for entry in entries {
            let path = entry.expect("a directory can be read").path();
            if path.is_dir() {
                fs::remove_dir_all(path).expect("a directory can be removed");
            } else if !path.ends_with("nodes.conf") {
                fs::remove_file(path).expect("a file can be removed");
            }
        }
        self.run();
    }

    /// Suspends the server: connections stay open, but nothing is answered.
    pub fn pause(&self) {
        self.program.signal(Signal::STOP);
    }

    /// Resumes the server after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.program.signal(Signal::CONT);
    }
}
