//! Three servers that share Redis and MongoDB.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;

use dictrack::open::{CacheAddress, OpenOptions, StoreAddress};
use dictrack::{Durability, Manager, block_on};
use dictrack_server::keys::{self, NewKey, Scope};
use dictrack_server::{Config, Handle};
use dictrack_testkit::{Http, Mongo, Redis, eventually};
use serde_json::{Value, json};
use support::{JSON, LINES, lines};

const TRACKERS: &str = r#"[
    {"name": "all", "kind": "count", "target": 100000},
    {"name": "tens", "kind": "count", "target": 10, "loop_forever": true},
    {"name": "limited", "kind": "count", "limiters": [{"count": 100, "per": "day"}]}
]"#;
const NOW: &str = "2026-01-01T12:00:00Z";

struct Node {
    address: std::net::SocketAddr,
    handle: Handle,
    manager: Manager,
    thread: Option<thread::JoinHandle<Result<(), dictrack_server::ServeError>>>,
}

impl Node {
    fn start(redis: &str, mongo: &str) -> Self {
        let options = OpenOptions::default();
        let cache = CacheAddress::parse(redis).unwrap().open(&options).unwrap();
        let store = block_on(StoreAddress::parse(mongo).unwrap().open(&options)).unwrap();
        let builder = Manager::builder().cache(cache).store(Arc::clone(&store)).durability(Durability::Os);
        let builder = builder.trackers([support::everyone(TRACKERS)]);
        let manager = block_on(builder.open()).unwrap();
        let config = Config::default().listen(([127, 0, 0, 1], 0).into()).store(store);
        let (address, handle, thread) = support::serve(manager.clone(), config).unwrap();
        Self { address, handle, manager, thread: Some(thread) }
    }

    fn call(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let reply = Http::connect(self.address).send(method, path, JSON, body);
        (reply.status, support::json(&reply))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn three_servers_share_groups_limits_ids_and_keys() {
    let (redis, mongo) = (Redis::start(), Mongo::replica_set());
    let url = format!("{}/servers", mongo.url().split('?').next().unwrap().trim_end_matches('/'));
    let nodes: Arc<Vec<Node>> = Arc::new((0..3).map(|_| Node::start(&redis.url(), &url)).collect());

    // Each id is sent to two servers, single and in uploads, so half of what is sent repeats something.
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let nodes = Arc::clone(&nodes);
            thread::spawn(move || {
                let (mut events, mut counted, mut admitted) = (Vec::new(), 0, 0);
                let mut connection = Http::connect(nodes[client % 3].address);
                for n in 0..60 {
                    let id = client / 2 * 1_000 + n;
                    let outcome = if n % 2 == 0 {
                        let path = format!("/v1/groups/shared/track?id={id}&now={NOW}");
                        support::json(&connection.send("POST", &path, JSON, "{}"))
                    } else {
                        let item = json!({"group": "shared", "document": {}, "id": id.to_string(), "now": NOW});
                        let reply = connection.send("POST", "/v1/documents", LINES, item.to_string());
                        lines(&reply).remove(0)["outcome"].take()
                    };
                    if outcome["duplicate"] == false {
                        counted += 1;
                        admitted += usize::from(!outcome["refused"].as_array().unwrap().contains(&json!("limited")));
                    }
                    events.extend(outcome["events"].as_array().unwrap().iter().map(|event| event["id"].to_string()));
                }
                (events, counted, admitted)
            })
        })
        .collect();
    let (mut events, mut counted, mut admitted) = (Vec::new(), 0, 0);
    for client in clients {
        let (theirs, some, let_in) = client.join().unwrap();
        events.extend(theirs);
        counted += some;
        admitted += let_in;
    }
    assert_eq!((counted, admitted), (180, 100));
    let distinct: HashSet<_> = events.iter().collect();
    // Each event is in one answer: three trackers added, a stage for every ten, one limit that ran out.
    assert_eq!((events.len(), distinct.len()), (3 + 18 + 1, 3 + 18 + 1));
    for node in nodes.iter() {
        let (_, shown) = node.call("GET", &format!("/v1/groups/shared?now={NOW}"), "");
        assert_eq!(shown["trackers"][0]["progress"], 180);
        eventually("each server lists the group", || {
            node.call("GET", "/v1/groups", "").1["groups"] == json!(["shared"])
        });
        assert_eq!(node.call("GET", "/readyz", "").0, 200);
    }

    // A key that one server makes is needed on all of them soon after.
    let (_, token) = block_on(keys::create(&nodes[0].manager, NewKey::new("operator", [Scope::Admin]))).unwrap();
    for node in nodes.iter() {
        eventually("the key is known", || node.call("GET", "/v1/groups", "").0 == 401);
        let given = format!("Bearer {token}");
        let reply = Http::connect(node.address).send("GET", "/v1/groups", &[("authorization", &given)], "");
        assert_eq!(reply.status, 200);
    }

    // Without Redis nothing is acknowledged, and afterwards everything is as before.
    let given = format!("Bearer {token}");
    let track = |node: &Node, id: &str| {
        let path = format!("/v1/groups/shared/track?id={id}&now={NOW}");
        Http::connect(node.address).send("POST", &path, &[("authorization", &given)], "{}")
    };
    redis.pause();
    let away = track(&nodes[0], "late");
    support::assert_problem(&away, 503, "unavailable");
    assert_eq!(away.header("retry-after"), "1");
    support::assert_problem(&Http::connect(nodes[0].address).send("GET", "/readyz", &[], ""), 503, "unavailable");
    redis.resume();
    eventually("Redis is back", || track(&nodes[0], "late").status == 200);
    let path = format!("/v1/groups/shared?now={NOW}");
    let shown = Http::connect(nodes[2].address).send("GET", &path, &[("authorization", &given)], "");
    assert_eq!(support::json(&shown)["trackers"][0]["progress"], 181);
}
