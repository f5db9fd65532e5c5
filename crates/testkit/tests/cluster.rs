//! A Redis cluster does what its methods say.

use dictrack_testkit::{Redis, RedisCluster, eventually};

/// So many keys of one slot.
fn keys(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{{user}}: \"{i}\" ü")).collect()
}

fn set(node: &Redis, keys: &[String]) {
    for key in keys {
        assert_eq!(node.cli(&["SET", key, &format!("value of {key}")]), "OK");
    }
}

fn first_word(answer: Result<String, String>) -> String {
    let text = answer.unwrap_or_else(|error| error);
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn a_slot_moves_with_its_keys() {
    let cluster = RedisCluster::start();
    let ports = [0, 1, 2].map(|node| cluster.node(node).port());
    assert_eq!(
        cluster.url(),
        format!("redis-cluster://127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1], ports[2])
    );
    let owners = [0, 5460, 5461, 10921, 10922, 16383].map(|slot| cluster.slot_owner(slot));
    assert_eq!(owners, [0, 0, 1, 1, 2, 2]);

    // More keys than are moved at once.
    let keys = keys(150);
    let slot = cluster.slot_of(&keys[0]);
    let from = cluster.slot_owner(slot);
    let to = (from + 1) % 3;
    set(cluster.node(from), &keys);
    cluster.migrate_slot(slot, to);
    assert_eq!(cluster.slot_owner(slot), to);
    let value = cluster.node(to).cli(&["GET", &keys[149]]);
    assert_eq!(value, format!("value of {}", keys[149]));
    assert_eq!(cluster.node(to).cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]), "150");
    assert_eq!(cluster.node(from).cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]), "0");
    let third = 3 - from - to;
    for node in [from, third] {
        let error = cluster.node(node).try_cli(&["GET", &keys[0]]).unwrap_err();
        assert_eq!(error, format!("MOVED {slot} 127.0.0.1:{}", ports[to]));
    }
    // And back.
    cluster.migrate_slot(slot, from);
    assert_eq!(cluster.node(from).cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]), "150");
    cluster.wait_until_whole();
}

#[test]
fn a_slot_can_be_half_moved() {
    let cluster = RedisCluster::start();
    let keys = keys(10);
    let slot = cluster.slot_of(&keys[0]);
    let from = cluster.slot_owner(slot);
    let to = (from + 2) % 3;
    set(cluster.node(from), &keys);
    let migration = cluster.begin_migration(slot, to);
    assert_eq!((migration.slot(), migration.from(), migration.to()), (slot, from, to));
    assert_eq!(cluster.slot_owner(slot), from);
    assert_eq!(migration.move_keys(4), 4);
    let at = |node: usize| cluster.node(node).cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
    assert_eq!((at(from), at(to)), ("6".into(), "4".into()));
    let answers: Vec<_> = keys.iter().map(|key| first_word(cluster.node(from).try_cli(&["GET", key]))).collect();
    assert_eq!(answers.iter().filter(|answer| *answer == "ASK").count(), 4, "{answers:?}");
    let mut all = vec!["MGET"];
    all.extend(keys.iter().map(String::as_str));
    assert_eq!(first_word(cluster.node(from).try_cli(&all)), "TRYAGAIN");
    migration.finish();
    assert_eq!((at(from), at(to)), ("0".into(), "10".into()));
    assert_eq!(cluster.slot_owner(slot), to);
    assert_eq!(cluster.node(to).cli(&all).lines().count(), 10);
}

#[test]
fn a_node_comes_back_to_its_place() {
    let cluster = RedisCluster::start();
    cluster.node(1).kill();
    eventually("the others miss it", || cluster.node(0).cli(&["CLUSTER", "INFO"]).contains("cluster_state:fail"));
    cluster.node(1).restart_empty();
    cluster.wait_until_whole();
    assert_eq!(cluster.slot_owner(8000), 1);
}
