//! `dictrack serve`: the same engine over HTTP.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use dictrack::clock::SystemClock;
use dictrack::open::OpenOptions;
use dictrack::template::Template;
use dictrack::{Durability, Manager, Span, url};
use dictrack_server::{Config, Handle, Server, Tls};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::moment::{self, ZoneArg};
use crate::print::{say, warn};
use crate::store::{Where, unread};
use crate::{Failure, Outcome, check, store};

/// Serve over HTTP, for programs in any language.
///
/// Each group gets the trackers in FILE with the next request that names it.
/// Without --store, nothing is kept.
///
/// Without keys, only programs on this machine may send requests. Create keys
/// with `dictrack keys create`; from the first one on, each request needs one.
///
/// SIGHUP reads the certificate and the keys again. SIGTERM and Ctrl-C end the
/// server within 5 seconds, with everything written.
///
/// Examples:
///   dictrack serve --trackers quests.toml --store app.db
///   dictrack serve --trackers quests.toml --cache redis://localhost \
///       --store mongodb://localhost/app --listen 0.0.0.0:3428 \
///       --tls-cert server.pem --tls-key server.key
///   curl localhost:3428/v1/groups/user_001/track --json '{"event": "login"}'
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The definition file, in TOML, YAML or JSON.
    #[arg(short, long, value_name = "FILE")]
    trackers: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
    /// The address to listen on. Port 0 chooses a free one, which is printed.
    #[arg(short, long, value_name = "ADDRESS", default_value = "127.0.0.1:3428")]
    listen: SocketAddr,
    /// When a change counts as durable, and so when a request is answered: fsync, os or interval(100ms)
    /// [default: fsync, or interval(100ms) with --cache].
    #[arg(long)]
    durability: Option<Durability>,
    /// The memory limit for groups, in MiB. Groups beyond it are dropped and read again when they are needed.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: usize,
    #[command(flatten)]
    zone: ZoneArg,
    /// Reject documents whose time is further ahead of the clock: 5m, "1 hour". One from the far future would begin new
    /// periods, for which all others are late.
    #[arg(long, value_name = "TIME", value_parser = moment::length)]
    ahead: Option<Span>,
    /// The certificate for TLS, in PEM, followed by those that lead to its authority.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The format of the log, on standard error.
    #[arg(long, default_value = "text")]
    log: Log,
    /// Log each request, with its id.
    #[arg(long)]
    log_requests: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Log {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Logs what happens while a server runs.
pub(crate) fn log(args: &Args) {
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_target(false)
        // It would try to log that logging failed, and panic.
        .log_internal_errors(false);
    match args.log {
        Log::Text => builder.init(),
        Log::Json => builder.json().flatten_event(true).init(),
    }
}

pub(crate) fn serve(args: &Args) -> Outcome {
    // Each connection takes a file descriptor, and the usual limit is low for the sake of very old programs.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("the threads cannot be started: {error}")))?;
    let served = runtime.block_on(run(args));
    // A call to a server that never answers must not hold up the end.
    runtime.shutdown_background();
    served.map(|()| true)
}

async fn run(args: &Args) -> Result<(), Failure> {
    let mut config = Config::default().listen(args.listen);
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        config = config.tls(Tls { certificate: certificate.clone(), key: key.clone() });
    }
    if args.log_requests {
        config = config.log_requests();
    }
    let (cache, place) = args.place.optional()?.read()?;
    let budget = args.memory.saturating_mul(1024 * 1024);
    let options = OpenOptions::default().memory(budget);
    let mut builder = Manager::builder().clock(SystemClock).zone(args.zone.zone).memory_budget(budget);
    match (args.durability, &cache) {
        (Some(durability), _) => builder = builder.durability(durability),
        (None, None) => builder = builder.durability(Durability::Fsync),
        // The default of a shared cache.
        (None, Some(_)) => {}
    }
    if let Some(path) = &args.trackers {
        builder = builder.trackers(read_trackers(path)?);
    }
    if let Some(ahead) = args.ahead {
        builder = builder.ahead(ahead);
    }
    if let Some(cache) = cache {
        builder = builder.cache(cache.open(&options)?);
    }
    match place {
        Some(place) => {
            let store = store::open(&place, &options)?;
            config = config.store(std::sync::Arc::clone(&store));
            builder = builder.store(store);
        }
        None => warn("dictrack: no --store: nothing is kept when the server ends"),
    }
    let manager = builder.open().await.map_err(|error| unread(&error))?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let server = Server::bind(manager, config).await?;
    let mut signals = Signals::listen()?;
    const OPEN: &str =
        "\nthere are no keys: only programs on this machine may send requests; create one with `dictrack keys create`";
    let open = if server.needs_keys() { "" } else { OPEN };
    // At once: whoever starts the server may read only the first line, and close the pipe.
    say(format_args!("dictrack listens on {scheme}://{}{open}", server.address()));
    let handle = server.handle();
    tokio::spawn(async move { signals.heed(&handle).await });
    server.run().await?;
    Ok(())
}

fn read_trackers(path: &Path) -> Result<Vec<Template>, Failure> {
    let (templates, warnings) = dictrack::files::read_templates_with_warnings(path)?;
    warnings.iter().for_each(warn);
    let customs = check::customs(check::definitions(&templates));
    if customs.is_empty() {
        return Ok(templates);
    }
    Err(Failure(format!(
        "{}: the command cannot run {}; use a program that registers them",
        url::shown_path(path),
        customs.join(", ")
    )))
}

/// The signals that control a server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure(format!("signals cannot be received: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn heed(&mut self, handle: &Handle) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => handle.stop(),
                _ = self.terminate.recv() => handle.stop(),
                _ = self.hangup.recv() => match handle.reload().await {
                    Ok(()) => tracing::info!("the certificate and the keys were read again"),
                    Err(error) => tracing::error!(%error, "the certificate or the keys stay as they were"),
                },
            }
        }
    }
}
