//! A MongoDB server does what its methods say.

use std::path::Path;
use std::time::Duration;

use dictrack_testkit::bson::{Document, doc};
use dictrack_testkit::{Mongo, eventually};
use mongodb::Client;

fn insert(mongo: &Mongo, id: i32) -> mongodb::error::Result<Document> {
    let durable = doc! {"w": 1, "j": true};
    mongo.try_command("test", doc! {"insert": "things", "documents": [{"_id": id}], "writeConcern": durable})
}

/// Counts the documents themselves: without a query it is a number that a crash leaves behind the truth.
fn count(mongo: &Mongo) -> i32 {
    mongo.command("test", doc! {"count": "things", "query": {"_id": {"$gt": 0}}}).get_i32("n").unwrap()
}

/// A command by a client of its own, as a user has it.
async fn ping(url: &str) -> mongodb::error::Result<Document> {
    let client = Client::with_uri_str(url).await?;
    client.database("test").run_command(doc! {"ping": 1}).await
}

#[test]
fn data_survives_a_kill_and_a_stop() {
    let mongo = Mongo::start();
    assert_eq!(mongo.url(), format!("mongodb://127.0.0.1:{}/", mongo.port()));
    insert(&mongo, 1).unwrap();
    mongo.kill();
    mongo.restart();
    assert_eq!(count(&mongo), 1);
    insert(&mongo, 2).unwrap();
    let process = format!("/proc/{}", mongo.pid());
    mongo.stop();
    assert!(!Path::new(&process).exists());
    mongo.restart();
    assert_eq!(count(&mongo), 2);
}

#[test]
fn commands_fail_as_told() {
    let mongo = Mongo::start();
    mongo.fail_command(doc! {"mode": {"times": 2}, "data": {"failCommands": ["insert"], "errorCode": 11601}});
    for _ in 0..2 {
        assert!(insert(&mongo, 1).unwrap_err().to_string().contains("11601"));
    }
    insert(&mongo, 1).unwrap();
    mongo.fail_command(doc! {"mode": "alwaysOn", "data": {"failCommands": ["insert"], "closeConnection": true}});
    for _ in 0..3 {
        insert(&mongo, 2).unwrap_err();
    }
    mongo.fail_no_command();
    insert(&mongo, 2).unwrap();
    assert_eq!(count(&mongo), 2);
}

#[tokio::test]
async fn a_replica_set_has_transactions_and_steps_down() {
    let mongo = Mongo::replica_set();
    insert(&mongo, 1).unwrap();
    let client = Client::with_uri_str(mongo.url()).await.unwrap();
    let mut session = client.start_session().await.unwrap();
    session.start_transaction().await.unwrap();
    let things = client.database("test").collection::<Document>("things");
    things.insert_one(doc! {"_id": 2}).session(&mut session).await.unwrap();
    assert_eq!(count(&mongo), 1, "what is not committed is not seen");
    session.commit_transaction().await.unwrap();
    assert_eq!(count(&mongo), 2);

    mongo.step_down(1);
    // The error has to say that this is no primary, else the test shows nothing.
    assert!(insert(&mongo, 3).unwrap_err().to_string().contains("NotWritablePrimary"));
    mongo.wait_for_primary();
    insert(&mongo, 3).unwrap();

    mongo.stop();
    mongo.restart();
    mongo.kill();
    mongo.restart();
    insert(&mongo, 4).unwrap();
    assert_eq!(count(&mongo), 4);
}

#[tokio::test]
async fn a_password_is_asked_for_also_one_that_urls_would_part() {
    let mongo = Mongo::with_password("us/er", "p@ss:%wörd");
    insert(&mongo, 1).unwrap();
    ping(&mongo.url()).await.unwrap();
    let stranger = Client::with_uri_str(format!("mongodb://{}/", mongo.address())).await.unwrap();
    let refused = stranger.database("test").run_command(doc! {"count": "things"}).await.unwrap_err();
    assert!(refused.to_string().contains("requires authentication"), "{refused}");
    mongo.restart();
    assert_eq!(count(&mongo), 1);
}

#[tokio::test]
async fn a_paused_server_does_not_answer() {
    let mongo = Mongo::start();
    mongo.pause();
    let url = mongo.url();
    assert!(tokio::time::timeout(Duration::from_millis(300), ping(&url)).await.is_err());
    mongo.resume();
    ping(&url).await.unwrap();
}

#[test]
fn a_dropped_server_is_gone_with_its_directory() {
    let mongo = Mongo::start();
    let (process, directory) = (format!("/proc/{}", mongo.pid()), mongo.directory().to_owned());
    drop(mongo);
    assert!(!Path::new(&process).exists());
    eventually("the directory is gone", || !directory.exists());
}
