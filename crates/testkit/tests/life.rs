//! Servers live as long as the process that started them, and no longer.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread};

use dictrack_testkit::{Redis, eventually, shared_redis};

/// A process with the two shared servers, whose URLs it prints.
fn servers() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_servers"));
    command.env_remove("DICTRACK_TEST_REDIS_URL").env_remove("DICTRACK_TEST_MONGODB_URL");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn urls(child: &mut Child) -> [String; 2] {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    [(); 2].map(|()| lines.next().unwrap().unwrap())
}

/// Whether a server listens at the address in the URL.
fn listens(url: &str) -> bool {
    let address = url.split("//").nth(1).unwrap().split('/').next().unwrap();
    TcpStream::connect(address).is_ok()
}

fn directories_of(pid: u32) -> usize {
    let prefix = format!("dictrack-test-{pid}-");
    let entries = fs::read_dir(env::temp_dir()).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).count()
}

#[test]
fn servers_end_with_a_process_that_is_killed_and_the_next_one_clears_up() {
    let mut child = servers().spawn().unwrap();
    let urls = urls(&mut child);
    assert!(urls.iter().all(|url| listens(url)));
    assert_eq!(directories_of(child.id()), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the servers are gone", || !urls.iter().any(|url| listens(url)));
    let mut next = servers().spawn().unwrap();
    self::urls(&mut next);
    assert_eq!(directories_of(child.id()), 0);
    next.kill().unwrap();
    next.wait().unwrap();
}

#[test]
fn servers_end_with_a_process_that_ends_well() {
    let mut child = servers().spawn().unwrap();
    let urls = urls(&mut child);
    assert!(urls.iter().all(|url| listens(url)));
    assert!(child.wait().unwrap().success(), "its input has ended");
    eventually("the servers are gone", || !urls.iter().any(|url| listens(url)));
}

#[test]
fn servers_of_the_environment_are_taken_instead() {
    let (redis, mongodb) = ("redis://redis.example:1", "mongodb://mongodb.example:2/");
    let mut child =
        servers().envs([("DICTRACK_TEST_REDIS_URL", redis), ("DICTRACK_TEST_MONGODB_URL", mongodb)]).spawn().unwrap();
    assert_eq!(urls(&mut child), [redis, mongodb]);
    assert_eq!(directories_of(child.id()), 0, "none is started");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_missing_server_is_an_error_that_says_what_to_run() {
    for (variable, value) in [("DICTRACK_TEST_MONGOD", "/nonexistent/mongod"), ("PATH", "/nonexistent")] {
        let output = servers().env(variable, value).output().unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("is missing: run `scripts/setup tests`"), "{error}");
    }
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let redis = thread::spawn(Redis::start).join().unwrap();
    assert_eq!(redis.cli(&["PING"]), "PONG");
    let pid = redis.pid();
    assert_eq!(
        redis.cli(&["INFO", "server"]).lines().filter(|line| line.trim() == format!("process_id:{pid}")).count(),
        1
    );
}

#[test]
fn threads_share_one_server() {
    let threads = [(); 4].map(|()| thread::spawn(shared_redis));
    let urls = threads.map(|thread| thread.join().unwrap());
    assert!(urls.iter().all(|url| *url == urls[0] && listens(url)));
}
