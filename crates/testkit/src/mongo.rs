//! A MongoDB server of its own.

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

/// A MongoDB server on a free port of this machine. It ends when this is dropped, or when the test's process does.
///
/// The program is `.servers/mongod` in the repository, where `scripts/setup tests` puts it, or what
/// `DICTRACK_TEST_MONGOD` names.
///
/// # Panics
///
/// All methods panic when the server, or the test, does what makes no sense: the server does not start, a command
/// fails, it gets a signal while it does not run.
#[derive(Debug)]
pub struct Mongo {
    /// For the commands of this kit. A new one after each start, since an old one first has to see that its connections
    /// are gone.
    client: Mutex<Option<Client>>,
    // The server goes before its directory.
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
    /// Starts a server that stands alone.
    pub fn start() -> Self {
        let mongo = Self::new(Kind::Standalone);
        mongo.run();
        mongo
    }

    /// Starts a replica set of one, which has transactions, and waits until it is primary.
    pub fn replica_set() -> Self {
        let mongo = Self::new(Kind::ReplicaSet);
        mongo.listen();
        let member = doc! {"_id": 0, "host": mongo.address().to_string()};
        mongo.command("admin", doc! {"replSetInitiate": {"_id": REPLICA_SET, "members": [member]}});
        mongo.wait_for_primary();
        mongo
    }

    /// Starts a server that stands alone and knows this one user, who may do everything.
    pub fn with_password(user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (user.into(), password.into());
        let create = doc! {"createUser": &user, "pwd": &password, "roles": ["root"]};
        let mongo = Self::new(Kind::Password { user, password });
        mongo.program.start(|| Ok(()));
        // As long as there are no users, anyone on this machine may make the first.
        let nobody = format!("mongodb://{}/", mongo.address());
        block_on(async move {
            let client = client(&nobody).await?;
            client.database("admin").run_command(create).await
        })
        .expect("the first user can be made");
        mongo.ping().expect("the user may log in");
        mongo
    }

    fn new(kind: Kind) -> Self {
        let directory = directory::make();
        let port = Port::claim();
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("a directory can be made");
        let mut arguments: Vec<OsString> = Vec::new();
        for (name, value) in [
            ("--bind_ip", "127.0.0.1"),
            ("--port", &port.number().to_string()),
            ("--wiredTigerCacheSizeGB", "0.25"),
            ("--oplogSize", "16"),
            // For `fail_command`.
            ("--setParameter", "enableTestCommands=1"),
            ("--setParameter", "diagnosticDataCollectionEnabled=false"),
            // Else a member of a replica set waits 15 seconds before it ends.
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

    /// Waits until the server takes writes, as it does not for a while after [`step_down`](Self::step_down).
    #[track_caller]
    pub fn wait_for_primary(&self) {
        eventually("the server is primary", || {
            let hello = self.try_command("admin", doc! {"hello": 1}).unwrap_or_default();
            hello.get_bool("isWritablePrimary").is_ok_and(|primary| primary)
        });
    }

    /// What clients connect to: with the user and the password, or the name of the replica set, if there is one.
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

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Where the server keeps its log and, in `data`, its data.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The id of the server's process.
    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Kills the server at once, as `kill -9` does. Only writes that were acknowledged with `j: true` are then sure to
    /// be there after a restart.
    pub fn kill(&self) {
        self.forget_client();
        self.program.kill();
    }

    /// Asks the server to end, and waits until it has.
    pub fn stop(&self) {
        self.forget_client();
        self.program.terminate();
    }

    /// Starts the server again, on the same port and with its data; kills it first if it runs.
    pub fn restart(&self) {
        self.kill();
        self.run();
    }

    /// Stops the server in its steps: connections stay open, and nothing is answered.
    pub fn pause(&self) {
        self.program.signal(Signal::STOP);
    }

    /// Lets the server go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.program.signal(Signal::CONT);
    }

    /// Makes commands fail, by the fail point `failCommand`. `document` has its `mode` and `data`, for example
    /// `{"mode": {"times": 2}, "data": {"failCommands": ["insert"], "errorCode": 189}}`. `data` may also have
    /// `closeConnection`, `writeConcernError`, `blockConnection` with `blockTimeMS`, and `appName`, the client to which
    /// it is done.
    #[track_caller]
    pub fn fail_command(&self, document: Document) {
        let mut command = doc! {"configureFailPoint": "failCommand"};
        command.extend(document);
        self.command("admin", command);
    }

    /// Ends what [`fail_command`](Self::fail_command) began. A restart does so too.
    #[track_caller]
    pub fn fail_no_command(&self) {
        self.fail_command(doc! {"mode": "off"});
    }

    /// Makes the primary of a replica set a secondary for so many seconds. As the only member it is then elected again.
    #[track_caller]
    pub fn step_down(&self, seconds: u32) {
        let command = doc! {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 0, "force": true};
        self.command("admin", command);
    }

    /// Runs a command on a database, directly on this server whatever its state.
    ///
    /// # Panics
    ///
    /// When it fails, or is not answered within 20 seconds.
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

/// The program, whose place need not be known where a test runs on a server that is there.
fn binary() -> PathBuf {
    match env::var_os("DICTRACK_TEST_MONGOD") {
        Some(path) => require(Path::new(&path)),
        None => require(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.servers/mongod")),
    }
}

/// A client for this one server, also where it is a member of a set.
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

/// Runs a future to its end in a thread of its own, since a test that is asynchronous itself must not block on it.
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
