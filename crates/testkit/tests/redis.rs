//! A Redis server does what its methods say.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use dictrack_testkit::Redis;

#[test]
fn it_keeps_nothing_over_a_restart_unless_told_to() {
    let redis = Redis::start();
    assert_eq!(redis.cli(&["SET", "a", "1"]), "OK");
    assert_eq!(redis.cli(&["GET", "a"]), "1");
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
    let first = redis.pid();
    redis.restart();
    assert_ne!(redis.pid(), first);
    assert_eq!(redis.cli(&["GET", "a"]), "");
}

#[test]
fn an_append_only_file_survives_a_kill() {
    let redis = Redis::builder().append_only().start();
    for count in 1..=100 {
        assert_eq!(redis.cli(&["INCR", "a"]), count.to_string());
    }
    redis.kill();
    assert!(redis.try_cli(&["PING"]).unwrap_err().contains("Could not connect"));
    redis.restart();
    assert_eq!(redis.cli(&["GET", "a"]), "100");
    redis.restart_empty();
    assert_eq!(redis.cli(&["EXISTS", "a"]), "0");
    redis.cli(&["SET", "a", "1"]);
    redis.restart();
    assert_eq!(redis.cli(&["GET", "a"]), "1", "an emptied server persists as before");
}

#[test]
fn a_password_is_asked_for_also_one_that_urls_and_files_would_part() {
    let password = "p@ss: \"wörd\"/%\\'#";
    let redis = Redis::builder().password(password).start();
    assert_eq!(redis.cli(&["PING"]), "PONG");
    assert_eq!(redis.try_cli(&["AUTH", "other"]).unwrap_err().split(' ').next(), Some("WRONGPASS"));
    assert_eq!(redis.url(), format!("redis://:p%40ss%3A%20%22w%C3%B6rd%22%2F%25%5C%27%23@127.0.0.1:{}", redis.port()));
    let mut stranger = TcpStream::connect(redis.address()).unwrap();
    stranger.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    stranger.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"-NOAUTH");
}

#[test]
fn tls_answers_those_who_trust_its_authority() {
    let redis = Redis::builder().tls().start();
    assert_eq!(redis.url(), format!("rediss://127.0.0.1:{}", redis.port()));
    let ping = |options: &[&str]| {
        let port = redis.port().to_string();
        let mut cli = std::process::Command::new("redis-cli");
        let output = cli.args(["-h", "127.0.0.1", "-p", &port]).args(options).arg("PING").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ping(&["--tls", "--cacert", redis.ca_pem().to_str().unwrap()]), "PONG\n");
    // Another authority.
    let other = Redis::builder().tls().start();
    assert_eq!(ping(&["--tls", "--cacert", other.ca_pem().to_str().unwrap()]), "");
    assert_eq!(ping(&[]), "", "without TLS there is no answer");
}

#[test]
fn directives_reach_the_server() {
    let redis = Redis::builder().config("maxmemory", "8mb").config("maxmemory-policy", "noeviction").start();
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory"]), "maxmemory\n8388608");
    let value = "v".repeat(100_000);
    let full = (0..100).find_map(|key| redis.try_cli(&["SET", &key.to_string(), &value]).err());
    assert!(full.unwrap().starts_with("OOM"));
}

#[test]
fn a_paused_server_keeps_connections_and_is_silent() {
    let redis = Redis::start();
    let mut client = TcpStream::connect(redis.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 7];
    redis.pause();
    client.write_all(b"PING\r\n").unwrap();
    assert!(client.read_exact(&mut answer).is_err());
    redis.resume();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    // A paused server can be killed.
    redis.pause();
    redis.restart();
    assert_eq!(redis.cli(&["PING"]), "PONG");
}

#[test]
fn a_dropped_server_is_gone_with_its_directory() {
    let redis = Redis::start();
    let (process, directory) = (format!("/proc/{}", redis.pid()), redis.directory().to_owned());
    assert!(Path::new(&process).exists() && directory.exists());
    drop(redis);
    assert!(!Path::new(&process).exists());
    assert!(!directory.exists());
}

#[test]
#[should_panic(expected = "Bad directive")]
fn a_server_that_does_not_start_shows_its_log() {
    let _ = Redis::builder().config("no-such-directive", "1").start();
}

#[test]
#[should_panic(expected = "unknown command")]
fn a_command_that_fails_panics_with_its_error() {
    Redis::start().cli(&["NOSUCHCOMMAND"]);
}
