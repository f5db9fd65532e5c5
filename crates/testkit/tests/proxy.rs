//! The proxy breaks what it is told to break, and nothing else.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use dictrack_testkit::bson::{Document, doc};
use dictrack_testkit::{Mongo, Proxy, Redis, eventually};
use mongodb::Client;

/// A connection through the proxy.
struct Connection(TcpStream);

impl Connection {
    fn open(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// Sends a command and reads its answer; none when the connection was closed instead.
    fn ask(&mut self, command: &str) -> Option<String> {
        self.0.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        self.answer()
    }

    fn answer(&mut self) -> Option<String> {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer in time"),
                _ => return None,
            }
        }
        Some(String::from_utf8(answer).unwrap().trim_end().to_owned())
    }
}

fn start() -> (Redis, Proxy) {
    let redis = Redis::start();
    let proxy = Proxy::start(redis.address());
    (redis, proxy)
}

#[test]
fn without_faults_all_passes() {
    let (redis, proxy) = start();
    assert_eq!(proxy.url_for(&redis.url()), format!("redis://{}", proxy.address()));
    let mut one = Connection::open(&proxy);
    let mut two = Connection::open(&proxy);
    assert_eq!(one.ask("SET a 1").as_deref(), Some("+OK"));
    assert_eq!(two.ask("INCR a").as_deref(), Some(":2"));
    // Larger than what is read at once.
    let value = "v".repeat(1_000_000);
    assert_eq!(one.ask(&format!("*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1000000\r\n{value}")).as_deref(), Some("+OK"));
    assert_eq!(one.ask("GET b").as_deref(), Some("$1000000"));
    assert_eq!(one.answer(), Some(value));
    assert_eq!((proxy.connections(), proxy.open_connections(), proxy.faults()), (2, 2, 0));
    drop(one);
    eventually("the end of a connection is seen", || proxy.open_connections() == 1);
    // What the server says last still arrives.
    assert_eq!(two.ask("QUIT").as_deref(), Some("+OK"));
    assert_eq!(two.answer(), None);
}

#[test]
fn a_dropped_reply_is_of_a_command_that_was_executed() {
    let (redis, proxy) = start();
    proxy.drop_next_replies(2);
    for count in ["1", "2"] {
        let mut connection = Connection::open(&proxy);
        assert_eq!(connection.ask("INCR a"), None);
        assert_eq!(redis.cli(&["GET", "a"]), count);
    }
    assert_eq!(Connection::open(&proxy).ask("INCR a").as_deref(), Some(":3"));
    assert_eq!(proxy.faults(), 2);
}

#[test]
fn a_cut_request_is_of_a_command_that_was_not_executed() {
    let (redis, proxy) = start();
    proxy.cut_every(3);
    let mut lost = 0;
    for _ in 0..9 {
        lost += u32::from(Connection::open(&proxy).ask("INCR a").is_none());
    }
    assert_eq!(lost, 3);
    assert_eq!(redis.cli(&["GET", "a"]), "6");
    proxy.cut_every(0);
    let mut connection = Connection::open(&proxy);
    assert!((7..=20).all(|count| connection.ask("INCR a") == Some(format!(":{count}"))));
    assert_eq!(proxy.faults(), 3);
}

#[test]
fn replies_are_dropped_in_their_turn() {
    let (redis, proxy) = start();
    proxy.drop_replies_every(4);
    let lost: Vec<_> = (1..=12).filter(|_| Connection::open(&proxy).ask("INCR a").is_none()).collect();
    assert_eq!(lost, [4, 8, 12]);
    assert_eq!(redis.cli(&["GET", "a"]), "12");
    proxy.drop_replies_every(0);
    let mut connection = Connection::open(&proxy);
    assert!((13..=20).all(|count| connection.ask("INCR a") == Some(format!(":{count}"))));
}

#[test]
fn faults_can_be_limited_to_some_commands() {
    let (redis, proxy) = start();
    proxy.only_requests_with("INCR");
    proxy.drop_next_replies(1);
    let mut connection = Connection::open(&proxy);
    assert_eq!(connection.ask("PING").as_deref(), Some("+PONG"));
    assert_eq!(connection.ask("INCR a"), None);
    assert_eq!(redis.cli(&["GET", "a"]), "1");
    proxy.cut_every(2);
    let mut connection = Connection::open(&proxy);
    assert_eq!(connection.ask("INCR a").as_deref(), Some(":2"));
    assert_eq!(connection.ask("PING").as_deref(), Some("+PONG"));
    assert_eq!(connection.ask("INCR a"), None);
    assert_eq!(redis.cli(&["GET", "a"]), "2");
}

#[test]
fn a_cut_closes_all_connections_and_new_ones_work() {
    let (_redis, proxy) = start();
    let mut connections = [(); 3].map(|()| Connection::open(&proxy));
    assert!(connections.iter_mut().all(|connection| connection.ask("PING").is_some()));
    proxy.cut();
    assert_eq!(proxy.open_connections(), 0);
    assert!(connections.iter_mut().all(|connection| connection.ask("PING").is_none()));
    assert_eq!(proxy.faults(), 3);
    assert_eq!(Connection::open(&proxy).ask("PING").as_deref(), Some("+PONG"));
}

#[test]
fn a_stall_holds_bytes_and_loses_none() {
    let (redis, proxy) = start();
    let mut connection = Connection::open(&proxy);
    assert!(connection.ask("PING").is_some());
    proxy.stall();
    connection.0.write_all(b"INCR a\r\n").unwrap();
    let mut new = Connection::open(&proxy);
    new.0.write_all(b"PING\r\n").unwrap();
    connection.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(connection.0.peek(&mut [0]).is_err(), "nothing comes, and it is not closed");
    assert_eq!(redis.cli(&["EXISTS", "a"]), "0");
    proxy.unstall();
    connection.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(connection.answer().as_deref(), Some(":1"));
    assert_eq!(new.answer().as_deref(), Some("+PONG"));
    // A connection that is held can be cut.
    proxy.stall();
    connection.0.write_all(b"INCR a\r\n").unwrap();
    proxy.cut();
    assert_eq!(connection.answer(), None);
    proxy.unstall();
    assert_eq!(redis.cli(&["GET", "a"]), "1");
}

#[test]
fn refused_connections_end_and_open_ones_stay() {
    let (_redis, proxy) = start();
    let mut connection = Connection::open(&proxy);
    assert!(connection.ask("PING").is_some());
    proxy.refuse(true);
    assert_eq!(Connection::open(&proxy).ask("PING"), None);
    assert!(connection.ask("PING").is_some());
    proxy.refuse(false);
    assert!(Connection::open(&proxy).ask("PING").is_some());
    assert_eq!((proxy.connections(), proxy.faults()), (3, 1));
}

#[test]
fn a_delay_holds_each_reply() {
    let (redis, proxy) = start();
    let mut connection = Connection::open(&proxy);
    assert!(connection.ask("PING").is_some());
    proxy.delay(Duration::from_millis(500));
    connection.0.write_all(b"INCR a\r\n").unwrap();
    connection.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(connection.0.peek(&mut [0]).is_err(), "it comes later");
    eventually("the command is executed at once", || redis.cli(&["GET", "a"]) == "1");
    connection.0.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(connection.answer().as_deref(), Some(":1"));
}

#[test]
fn a_server_that_is_down_shows_as_a_closed_connection() {
    let (redis, proxy) = start();
    let mut connection = Connection::open(&proxy);
    assert!(connection.ask("PING").is_some());
    redis.kill();
    assert_eq!(connection.ask("PING"), None);
    assert_eq!(Connection::open(&proxy).ask("PING"), None);
    redis.restart();
    assert_eq!(Connection::open(&proxy).ask("PING").as_deref(), Some("+PONG"));
    let address = proxy.address();
    drop(proxy);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn tls_passes() {
    let redis = Redis::builder().tls().start();
    let proxy = Proxy::start(redis.address());
    let url = proxy.url_for(&redis.url());
    let mut cli = Command::new("redis-cli");
    let output = cli.args(["-u", &url, "--tls", "--cacert"]).arg(redis.ca_pem()).arg("PING").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "PONG\n");
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_replica_set_is_reached_through_the_proxy_and_inserts_lose_their_reply() {
    let mongo = Mongo::replica_set();
    let proxy = Proxy::start(mongo.address());
    let url = proxy.url_for(&mongo.url());
    assert_eq!(url, format!("mongodb://{}/?directConnection=true", proxy.address()));
    // Else the driver sends the insert once more by itself.
    let client = Client::with_uri_str(format!("{url}&retryWrites=false")).await.unwrap();
    let things = client.database("test").collection::<Document>("things");
    things.insert_one(doc! {"_id": 1}).await.unwrap();
    proxy.only_requests_with("insert");
    proxy.drop_next_replies(1);
    things.insert_one(doc! {"_id": 2}).await.unwrap_err();
    assert_eq!(proxy.faults(), 1);
    assert_eq!(things.count_documents(doc! {}).await.unwrap(), 2, "it was inserted");
}

#[test]
fn urls_of_mongodb_keep_their_options() {
    let proxy = Proxy::start("127.0.0.1:27017");
    let here = proxy.address();
    assert_eq!(
        proxy.url_for("mongodb://u:p@127.0.0.1:27017/?authSource=admin"),
        format!("mongodb://u:p@{here}/?authSource=admin&directConnection=true")
    );
    assert_eq!(
        proxy.url_for("mongodb://127.0.0.1:27017/name?replicaSet=rs0&w=1"),
        format!("mongodb://{here}/name?w=1&directConnection=true")
    );
}
