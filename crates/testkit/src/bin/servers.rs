//! Starts a Redis and a MongoDB server, prints their URLs, and runs until its input ends. For looking around by hand,
//! and for the test that servers end with the process that started them.

use std::io::{self, Read as _};

fn main() {
    println!("{}", dictrack_testkit::shared_redis());
    println!("{}", dictrack_testkit::shared_mongodb());
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
