//! A MongoDB server for a test.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs, thread};

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use parking_lot::Mutex;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::directory;
use crate::port::Port;
use crate::process::{Program, require};
use crate::url::percent_encoded;
use crate::wait::{PATIENCE, eventually};

const REPLICA_SET: &str = "rs0";

/// A MongoDB server on a free port of this machine. It stops when this is dropped, or when the process of the test ends.
///
/// The program is `.servers/mongod` in the repository, installed by `scripts/setup tests`, or the one named by
/// `DICTRACK_TEST_MONGOD`.
///
/// # Panics
///
/// All methods panic on failures: if the server does not start, if a command fails, or if a signal is sent while it is not
/// running.
#[derive(Debug)]
pub struct Mongo {
    /// For the commands of this kit. Replaced after each start, since an old client would first have to notice that its
    /// connections are gone.
    client: Mutex<Option<Client>>,
    // Dropped before its directory.
    program: Program,
    directory: TempDir,
    port: Port,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Standalone,
    ReplicaSet,
    Password { user: String, password: String },
}

impl Mongo {
    /// Starts a standalone server.
    pub fn start() -> Self {
        let mongo = Self::new(Kind::Standalone);
        mongo.run();
        mongo
    }

    /// Starts a replica set of one, which supports transactions, and waits until it is primary.
    pub fn replica_set() -> Self {
        let mongo = Self::new(Kind::ReplicaSet);
        mongo.listen();
        let member = doc! {"_id": 0, "host": mongo.address().to_string()};
        mongo.command("admin", doc! {"replSetInitiate": {"_id": REPLICA_SET, "members": [member]}});
        mongo.wait_for_primary();
        mongo
    }

    /// Starts a standalone server with a single user who has all permissions.
    pub fn with_password(user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (user.into(), password.into());
        let create = doc! {"createUser": &user, "pwd": &password, "roles": ["root"]};
        let mongo = Self::new(Kind::Password { user, password });
        mongo.program.start(|| Ok(()));
        // While there are no users, anyone on this machine may create the first.
        let nobody = format!("mongodb://{}/", mongo.address());
        block_on(async move {
            let client = client(&nobody).await?;
            client.database("admin").run_command(create).await
        })
        .expect("the first user can be created");
        mongo.ping().expect("the user may log in");
        mongo
    }

    fn new(kind: Kind) -> Self {
        let directory = directory::make();
        let port = Port::claim();
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("a directory can be created");
        let mut arguments: Vec<OsString> = Vec::new();
        for (name, value) in [
            ("--bind_ip", "127.0.0.1"),
            ("--port", &port.number().to_string()),
            ("--wiredTigerCacheSizeGB", "0.25"),
            ("--oplogSize", "16"),
            // For `fail_command`.
            ("--setParameter", "enableTestCommands=1"),
            ("--setParameter", "diagnosticDataCollectionEnabled=false"),
            // Otherwise a member of a replica set waits 15 seconds before it stops.
            ("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
        ] {
            arguments.extend([name.into(), value.into()]);
        }
        arguments.extend(["--quiet".into(), "--nounixsocket".into(), "--dbpath".into(), data.into()]);
        match &kind {
            Kind::Standalone => {}
            Kind::ReplicaSet => arguments.extend(["--replSet".into(), REPLICA_SET.into()]),
            Kind::Password { .. } => arguments.push("--auth".into()),
        }
        let log = directory.path().join("log");
        let program = Program::new(binary(), arguments, port.address(), log);
        Self { client: Mutex::new(None), program, directory, port, kind }
    }

    /// Starts the server and waits until it can be written to.
    fn run(&self) {
        self.listen();
        if matches!(self.kind, Kind::ReplicaSet) {
            self.wait_for_primary();
        }
    }

    /// Starts the server and waits until it answers.
    fn listen(&self) {
        self.program.start(|| self.ping().map_err(|error| error.to_string()));
    }

    fn ping(&self) -> mongodb::error::Result<()> {
        self.try_command("admin", doc! {"ping": 1}).map(|_| ())
    }

    /// Waits until the server accepts writes, which takes a while after [`step_down`](Self::step_down).
    #[track_caller]
    pub fn wait_for_primary(&self) {
        eventually("the server is primary", || {
            let hello = self.try_command("admin", doc! {"hello": 1}).unwrap_or_default();
            hello.get_bool("isWritablePrimary").is_ok_and(|primary| primary)
        });
    }

    /// The URL for clients, with the user and the password, or the name of the replica set, if any.
    pub fn url(&self) -> String {
        let address = self.address();
        match &self.kind {
            Kind::Standalone => format!("mongodb://{address}/"),
            Kind::ReplicaSet => format!("mongodb://{address}/?replicaSet={REPLICA_SET}"),
            Kind::Password { user, password } => {
                let (user, password) = (percent_encoded(user), percent_encoded(password));
                format!("mongodb://{user}:{password}@{address}/?authSource=admin")
            }
        }
    }

    /// The port, the same after each restart.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address of the server.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The directory with the log of the server and, in `data`, its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Kills the server like `kill -9`. Only writes that were acknowledged with `j: true` are certain to survive.
    pub fn kill(&self) {
        self.forget_client();
        self.program.kill();
    }

    /// Stops the server and waits until it has ended.
    pub fn stop(&self) {
        self.forget_client();
        self.program.terminate();
    }

    /// Restarts the server on the same port, with its data. Kills it first if it is running.
    pub fn restart(&self) {
        self.kill();
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

    /// Makes commands fail with the fail point `failCommand`. `document` has its `mode` and `data`, for example
    /// `{"mode": {"times": 2}, "data": {"failCommands": ["insert"], "errorCode": 189}}`. `data` may also have
    /// `closeConnection`, `writeConcernError`, `blockConnection` with `blockTimeMS`, and `appName`, which selects a
    /// client.
    #[track_caller]
    pub fn fail_command(&self, document: Document) {
        let mut command = doc! {"configureFailPoint": "failCommand"};
        command.extend(document);
        self.command("admin", command);
    }

    /// Undoes [`fail_command`](Self::fail_command). So does a restart.
    #[track_caller]
    pub fn fail_no_command(&self) {
        self.fail_command(doc! {"mode": "off"});
    }

    /// Makes the primary of a replica set step down for this many seconds. As the only member, it is then elected again.
    #[track_caller]
    pub fn step_down(&self, seconds: u32) {
        let command = doc! {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 0, "force": true};
        self.command("admin", command);
    }

    /// Runs a command on a database, directly on this server, whatever its state.
    ///
    /// # Panics
    ///
    /// If it fails or is not answered within 20 seconds.
    #[track_caller]
    pub fn command(&self, database: &str, command: Document) -> Document {
        let shown = command.to_string();
        self.try_command(database, command).unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    /// The same, for a command that may fail.
    pub fn try_command(&self, database: &str, command: Document) -> mongodb::error::Result<Document> {
        let url = self.url();
        let known = self.client.lock().clone();
        block_on(async {
            let client = match known {
                Some(client) => client,
                None => {
                    let client = client(&url).await?;
                    self.client.lock().insert(client).clone()
                }
            };
            client.database(database).run_command(command).await
        })
    }

    fn forget_client(&self) {
        let _runtime = RUNTIME.enter();
        self.client.lock().take();
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        self.forget_client();
    }
}

/// The program. Not needed if tests use an existing server.
fn binary() -> PathBuf {
    match env::var_os("DICTRACK_TEST_MONGOD") {
        Some(path) => require(Path::new(&path)),
        None => require(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.servers/mongod")),
    }
}

/// A client for this server only, even if it is a member of a replica set.
async fn client(url: &str) -> mongodb::error::Result<Client> {
    let mut options = ClientOptions::parse(url).await?;
    options.direct_connection = Some(true);
    options.repl_set_name = None;
    options.app_name = Some("dictrack-testkit".into());
    options.server_selection_timeout = Some(PATIENCE);
    Client::with_options(options)
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime can be started")
});

/// Runs a future to completion in its own thread, since an asynchronous test must not block on it.
fn block_on<T: Send>(future: impl Future<Output = mongodb::error::Result<T>> + Send) -> mongodb::error::Result<T> {
    let limited = async {
        let answer = tokio::time::timeout(PATIENCE, future).await;
        answer.unwrap_or_else(|_| Err(mongodb::error::Error::custom(format!("no answer within {PATIENCE:?}"))))
    };
    thread::scope(|scope| {
        let thread = scope.spawn(|| RUNTIME.block_on(limited));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
