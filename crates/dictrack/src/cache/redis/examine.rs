//! Examines a server before programs rely on it. `docs/doctor.md` lists what it can find.

use std::collections::HashMap;
use std::sync::Arc;

use redis::Value;

use super::connection::{Node, escaped, said};
use super::{RedisCache, Shared, keys, on_network, script};
use crate::Error;
use crate::cache::read_some;
use crate::doctor::{Examination, Level, SAMPLE, Setup, bytes};
use crate::random::token;

/// The percentage of the allowed memory in use from which a warning is due.
const ALMOST_FULL: u64 = 90;
/// Keys left by an interrupted examination expire after this many milliseconds.
const GONE_AFTER: &[u8] = b"60000";

impl RedisCache {
    /// Examines the server: versions, round trips, whether it may drop groups, what it keeps over a restart, and
    /// whether this login may do what dictrack does. For the last, it writes keys of its own under the prefix and
    /// removes them.
    pub(super) async fn look(&self, setup: &Setup) -> Examination {
        let subject = format!("cache {}", self.shared.connection.address());
        let mut examination = Examination::new(subject.clone());
        let (shared, setup_of_look) = (Arc::clone(&self.shared), setup.clone());
        let servers = on_network(async move {
            let mut look = Look { shared, setup: setup_of_look, found: Examination::new(subject) };
            if let Err(error) = look.servers().await {
                look.found.error(&error);
            }
            Ok(look.found)
        });
        match servers.await {
            Ok(found) => examination = found,
            Err(error) => examination.error(&error),
        }
        if examination.level() < Some(Level::Problem) {
            match self.some_ids().await {
                Ok(ids) => read_some(self, &ids, setup, &mut examination).await,
                Err(error) => examination.error(&error),
            }
        }
        examination
    }

    /// The ids of some groups.
    async fn some_ids(&self) -> Result<Vec<String>, Error> {
        let shared = Arc::clone(&self.shared);
        on_network(async move {
            let prefix = &shared.connection.address().prefix;
            let found = shared.connection.scan_some(&format!("{}:{{b*}}:g:*", escaped(prefix)), SAMPLE).await?;
            Ok(found.iter().filter_map(|key| keys::group_of(prefix, key)).map(str::to_owned).collect())
        })
        .await
    }
}

/// The server being examined.
struct Look {
    shared: Arc<Shared>,
    setup: Setup,
    found: Examination,
}

impl Look {
    async fn servers(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let connection = &shared.connection;
        let ping = redis::cmd("PING");
        connection.command("connect", &ping).await?;
        self.found.time_round_trips(async || connection.command("ping", &ping).await.map(drop)).await?;
        if connection.address().cluster {
            self.cluster().await?;
        }
        for mut node in connection.masters().await? {
            self.node(&mut node).await?;
        }
        // Nothing depends on it.
        if let Ok(recorded) = shared.zone_data(self.setup.clock.now()).await {
            let who = |at| format!("a program that began to use the cache at {at}");
            let recorded = recorded.into_iter().map(|(version, at)| (version, who(at)));
            self.found.compare_zone_data(&recorded.collect::<Vec<_>>());
        }
        self.try_writing().await;
        Ok(())
    }

    async fn cluster(&mut self) -> Result<(), Error> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("INFO");
        let info = fields(text(self.shared.connection.command("look at the cluster", &command).await?));
        let value = |name: &str| info.get(name).map_or("", String::as_str);
        let (state, slots) = (value("cluster_state"), value("cluster_slots_ok"));
        self.found.fact("cluster", format!("{state}, {slots} of 16384 slots served"));
        if state != "ok" || slots != "16384" {
            self.found.find(
                Level::Problem,
                "cluster_down",
                format!("the cluster's state is {state:?}, {slots} of 16384 slots are served"),
                "groups in the other slots cannot be used",
                "restore the missing nodes, or assign their slots to others (redis-cli --cluster fix)",
            );
        }
        Ok(())
    }

    /// Examines one server.
    async fn node(&mut self, node: &mut Node) -> Result<(), Error> {
        let info = match node.command(redis::cmd("INFO").arg("all")).await {
            Ok(info) => fields(text(info)),
            Err(error) => {
                self.found.find(
                    Level::Note,
                    "settings_hidden",
                    format!("{} rejects INFO ({})", node.name, said(&error)),
                    "eviction and persistence cannot be examined",
                    "examine with a login that may use INFO and CONFIG GET",
                );
                return Ok(());
            }
        };
        let value = |name: &str| info.get(name).map_or("", String::as_str);
        let number = |name: &str| value(name).parse::<u64>().unwrap_or(0);
        let resp = node.protocol().await;
        let mode = value("redis_mode");
        let address = if mode == "cluster" { format!("{}: ", node.name) } else { String::new() };
        self.found.fact("server", format!("{address}Redis {}, {mode}, RESP{resp}", value("redis_version")));
        let before = self.setup.clock.now().micros();
        if let Some(there) = node.time().await {
            let here = before.midpoint(self.setup.clock.now().micros());
            self.found.compare_clocks(here, there);
        }
        if mode == "cluster" && !self.shared.connection.address().cluster {
            self.found.find(
                Level::Problem,
                "cluster_url",
                format!("{} belongs to a cluster, but the URL names a single server", node.name),
                "groups on other nodes cannot be used",
                "use redis-cluster:// (rediss-cluster:// with TLS) instead of redis://",
            );
        }
        if value("role") != "master" {
            self.found.find(
                Level::Problem,
                "replica",
                format!("{} is a replica of {}:{}", node.name, value("master_host"), value("master_port")),
                "it refuses writes, so nothing can be counted",
                "use the master in the URL",
            );
        }
        let (most, used) = (number("maxmemory"), number("used_memory"));
        let policy = value("maxmemory_policy").to_owned();
        let limit = if most == 0 { "no limit".to_owned() } else { bytes(most) };
        self.found.fact("memory", format!("{} of {limit}, {policy}", bytes(used)));
        self.eviction(&node.name, &policy, most, number("evicted_keys"));
        if most > 0 && used >= most / 100 * ALMOST_FULL {
            self.found.find(
                Level::Warning,
                "memory",
                format!("{} uses {} of the {} that maxmemory allows", node.name, bytes(used), bytes(most)),
                "when it is full, it evicts keys or refuses changes, depending on its policy",
                "increase maxmemory, or shorten the option idle in the URL, so that stored groups leave sooner",
            );
        }
        self.persistence(node, &info).await;
        Ok(())
    }

    fn eviction(&mut self, node: &str, policy: &str, most: u64, evicted: u64) {
        let refuses = "noeviction";
        let (meaning, remedy) = if self.setup.has_store {
            (
                "it may evict groups before the store has them: changes that were acknowledged within the last \
                 interval are lost then",
                "CONFIG SET maxmemory-policy volatile-lru, so that only groups that the store has are evicted",
            )
        } else {
            ("it may evict groups, which exist nowhere else", "CONFIG SET maxmemory-policy noeviction")
        };
        if policy.starts_with("allkeys") {
            let (level, when) = if most > 0 {
                (Level::Problem, format!("with maxmemory {}; {evicted} keys were evicted so far", bytes(most)))
            } else {
                (Level::Warning, "which matters once maxmemory is set".to_owned())
            };
            let found = format!("maxmemory-policy of {node} is {policy}, {when}");
            self.found.find(level, "eviction", found, meaning, format!("{remedy}, also in its configuration file"));
        } else if policy == refuses && most > 0 && self.setup.has_store {
            self.found.find(
                Level::Note,
                "no_eviction",
                format!("maxmemory of {node} is {} and nothing is evicted", bytes(most)),
                "when it is full, calls fail until there is room",
                "CONFIG SET maxmemory-policy volatile-lru lets it evict groups that the store has",
            );
        }
    }

    /// What survives a restart of the server.
    async fn persistence(&mut self, node: &mut Node, info: &HashMap<String, String>) {
        let value = |name: &str| info.get(name).map_or("", String::as_str);
        for (name, what) in [("rdb_last_bgsave_status", "snapshot"), ("aof_last_write_status", "write to the log")] {
            if value(name) == "err" {
                self.found.find(
                    Level::Problem,
                    "persistence_fails",
                    format!("the last {what} of {} failed ({name}:err)", node.name),
                    "a restart goes back a long way, and Redis may refuse changes until a snapshot succeeds",
                    "check its log: the disk may be full, or its directory not writable",
                );
            }
        }
        let log = value("aof_enabled") == "1";
        let snapshots = node.setting("save").await;
        let sync = if log { node.setting("appendfsync").await.unwrap_or_default() } else { String::new() };
        let kept = match (log, snapshots.as_deref()) {
            (true, _) => format!("a log (appendfsync {})", if sync.is_empty() { "not shown" } else { &sync }),
            (false, Some("")) => "nothing".to_owned(),
            (false, Some(points)) => format!("snapshots (save {points})"),
            (false, None) => "not shown, at most snapshots".to_owned(),
        };
        self.found.fact("kept on disk", kept);
        if self.setup.has_store {
            return;
        }
        let log_remedy =
            "CONFIG SET appendonly yes and appendfsync always, also in its configuration file; or use a store";
        let (level, code, found, meaning) = match (log, snapshots.as_deref(), sync.as_str()) {
            (true, _, "everysec") => (
                Level::Note,
                "log_within_a_second",
                "writes its log to disk once a second",
                "a power failure can lose the last second; a crash of Redis alone loses nothing",
            ),
            (true, _, "no") => (
                Level::Warning,
                "log_whenever",
                "leaves it to the system when to write its log to disk (appendfsync no)",
                "a power failure can lose the last half minute",
            ),
            (true, ..) => return,
            (false, Some(""), _) => (
                Level::Problem,
                "not_kept",
                "keeps nothing on disk, neither log nor snapshots, and there is no store",
                "a restart of Redis loses every group",
            ),
            (false, ..) => (
                Level::Warning,
                "snapshots_only",
                "keeps only snapshots, and there is no store",
                "a restart goes back to the last snapshot, so minutes of counts are lost",
            ),
        };
        let found = format!("{} {found}", node.name);
        self.found.find(level, code, found, meaning, log_remedy);
    }

    /// Does once, with its own keys, what programs do all the time.
    async fn try_writing(&mut self) {
        if self.found.level() >= Some(Level::Problem) {
            return;
        }
        if let Err(error) = self.write().await {
            self.found.find(
                Level::Problem,
                "cannot_write",
                error.to_string(),
                "programs that use it fail in the same way",
                "docs/redis.md lists the commands and keys that a user needs",
            );
        }
    }

    async fn write(&self) -> Result<(), Error> {
        let connection = &self.shared.connection;
        let base = format!("{}:doctor:{}", keys::bucket(&connection.address().prefix, 0), token());
        let [group, dirty, set, lease] = ["g", "dirty", "s", "l"].map(|part| format!("{base}:{part}"));
        let keys = [group.as_str(), &dirty, &set, &lease];
        let mut command = redis::cmd("SET");
        command.arg(&lease).arg("x").arg("NX").arg("PX").arg(GONE_AFTER);
        connection.command("take a lease", &command).await?;
        let swap: [&[u8]; 17] = [
            b"0",
            b"",
            b"1",
            b"t",
            b"w:doctor",
            b"1",
            b"x",
            b"=doctor",
            b"[]",
            b"1",
            b"none",
            b"claim",
            b"0",
            b"stored",
            b"0",
            b"ring",
            b"[]",
        ];
        connection.run("change a group", &script::SWAP, &keys, &swap).await?;
        let stored: [&[u8]; 6] = [b"0", b"1", b"t", GONE_AFTER, b"doctor", b""];
        connection.run("note what is stored", &script::STORED, &keys[..3], &stored).await?;
        let drop: [&[u8]; 3] = [b"1", b"t", b"doctor"];
        connection.run("drop a group", &script::DROP, &keys[..2], &drop).await?;
        self.write_in_pieces(&format!("{base}:n"), &keys).await?;
        let mut command = redis::cmd("UNLINK");
        command.arg(&keys[..]);
        connection.command("remove keys", &command).await?;
        Ok(())
    }

    /// Loads and reads a group the way large ones are.
    async fn write_in_pieces(&self, pieces: &str, keys: &[&str; 4]) -> Result<(), Error> {
        let connection = &self.shared.connection;
        let [group, dirty, set, lease] = *keys;
        let mut command = redis::cmd("SET");
        command.arg(lease).arg("y").arg("PX").arg(GONE_AFTER);
        connection.command("take a lease", &command).await?;
        let piece: [&[u8]; 11] =
            [b"y", GONE_AFTER, GONE_AFTER, b"claim", b"0", b"stored", b"1", b"sequence", b"0", b"set", b"0"];
        connection.run("load a group", &script::FILL, &[lease, pieces], &piece).await?;
        let swap: [&[u8]; 10] = [b"0", b"", b"1", b"t", b"w:doctor", b"2", b"y", b"~60000", b"[]", b"+4"];
        connection.run("change a group", &script::SWAP, &[group, dirty, set, lease, pieces], &swap).await?;
        connection.run("read a group", &script::READ, &[group], &[]).await?;
        connection.run("read a group", &script::REST, &[group], &[b"0", b"0", b"0", b"0", b""]).await?;
        let mut command = redis::cmd("HSCAN");
        command.arg(group).arg(0);
        connection.command("read a group", &command).await.map(drop)
    }
}

impl Node {
    /// The version of the protocol in use.
    async fn protocol(&mut self) -> &'static str {
        let hello = self.command(&redis::cmd("HELLO")).await.and_then(|hello| Ok(redis::from_redis_value(hello)?));
        let hello: HashMap<String, Value> = hello.unwrap_or_default();
        if hello.get("proto") == Some(&Value::Int(3)) { "3" } else { "2" }
    }

    /// Its clock, in microseconds since 1970.
    async fn time(&mut self) -> Option<i64> {
        let (seconds, micros): (i64, i64) =
            redis::from_redis_value(self.command(&redis::cmd("TIME")).await.ok()?).ok()?;
        Some(seconds * 1_000_000 + micros)
    }

    /// A setting; `None` if the server does not show it.
    async fn setting(&mut self, name: &str) -> Option<String> {
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        let mut found: HashMap<String, String> = redis::from_redis_value(self.command(&command).await.ok()?).ok()?;
        found.remove(name)
    }
}

fn text(value: Value) -> String {
    redis::from_redis_value(value).unwrap_or_default()
}

/// The lines `name:value` of an answer.
fn fields(text: String) -> HashMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}
