//! A Redis cluster for a test.

use crate::Redis;
use crate::wait::eventually;

const SLOTS: u16 = 16_384;
const NODES: usize = 3;

/// Three masters on free ports of this machine, each with a third of the slots and without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the cluster and waits until every node reports that it is complete.
    pub fn start() -> Self {
        let node = || Redis::builder().config("cluster-enabled", "yes").config("cluster-node-timeout", "3000").start();
        let cluster = Self { nodes: (0..NODES).map(|_| node()).collect() };
        let ports: Vec<_> = cluster.nodes.iter().map(|node| node.port().to_string()).collect();
        for (i, node) in cluster.nodes.iter().enumerate() {
            let share = |i: usize| usize::from(SLOTS) * i / NODES;
            let slots: Vec<_> = (share(i)..share(i + 1)).map(|slot| slot.to_string()).collect();
            // Nodes that start with the same epoch would first have to resolve that conflict.
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
            // Redis 6.2 does not accept ranges.
            let add = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            node.cli(&add.collect::<Vec<_>>());
        }
        for port in &ports[1..] {
            cluster.nodes[0].cli(&["CLUSTER", "MEET", "127.0.0.1", port]);
        }
        cluster.wait_until_whole();
        cluster
    }

    /// `redis-cluster://127.0.0.1:port,127.0.0.1:port,127.0.0.1:port`
    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        format!("redis-cluster://{}", addresses.join(","))
    }

    /// One of the three nodes, counted from 0.
    pub fn node(&self, index: usize) -> &Redis {
        &self.nodes[index]
    }

    /// Waits until each node knows all others and reports `cluster_state:ok`, which takes a while after one of them was
    /// down.
    #[track_caller]
    pub fn wait_until_whole(&self) {
        let whole = |node: &Redis| {
            let info = node.try_cli(&["CLUSTER", "INFO"]).unwrap_or_default();
            ["cluster_state:ok", "cluster_slots_ok:16384", &format!("cluster_known_nodes:{NODES}")]
                .into_iter()
                .all(|wanted| info.lines().any(|line| line.trim_end() == wanted))
        };
        eventually("the cluster is complete", || self.nodes.iter().all(whole));
    }

    /// The slot of a key.
    pub fn slot_of(&self, key: &str) -> u16 {
        self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]).parse().expect("the slot is a number")
    }

    /// The node that reports to have a slot. While a slot is being moved, this is its old node.
    ///
    /// # Panics
    ///
    /// If no running node has it.
    pub fn slot_owner(&self, slot: u16) -> usize {
        let has = |node: &Redis| {
            let nodes = node.try_cli(&["CLUSTER", "NODES"]).unwrap_or_default();
            let own = nodes.lines().find(|line| line.contains("myself")).unwrap_or_default();
            // After eight words about the node come its slots, then, in brackets, those being moved.
            own.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
            })
        };
        self.nodes.iter().position(has).unwrap_or_else(|| panic!("no node has slot {slot}"))
    }

    /// Moves a slot with its keys to another node.
    pub fn migrate_slot(&self, slot: u16, to: usize) {
        self.begin_migration(slot, to).finish();
    }

    /// Starts to move a slot: its keys are still on the old node, and new ones are redirected to node `to` with `ASK`.
    ///
    /// # Panics
    ///
    /// If the node already has the slot.
    pub fn begin_migration(&self, slot: u16, to: usize) -> SlotMigration<'_> {
        let from = self.slot_owner(slot);
        assert_ne!(from, to, "node {to} has slot {slot} already");
        let migration = SlotMigration { cluster: self, slot, from, to };
        let id = |node: usize| self.nodes[node].cli(&["CLUSTER", "MYID"]);
        self.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", &id(from)]);
        self.nodes[from].cli(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &id(to)]);
        migration
    }
}

/// A slot that is being moved to another node, until [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "the slot stays half moved"]
pub struct SlotMigration<'a> {
    cluster: &'a RedisCluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl SlotMigration<'_> {
    /// The slot that is being moved.
    pub fn slot(&self) -> u16 {
        self.slot
    }

    /// The old node of the slot.
    pub fn from(&self) -> usize {
        self.from
    }

    /// The new node of the slot.
    pub fn to(&self) -> usize {
        self.to
    }

    /// Moves up to this many of the remaining keys, and returns how many. After that, commands with keys on both sides get
    /// `TRYAGAIN`, and those with moved keys get `ASK`.
    pub fn move_keys(&self, count: usize) -> usize {
        let source = &self.cluster.nodes[self.from];
        let (slot, count) = (self.slot.to_string(), count.to_string());
        let list = source.run_cli(&["--no-raw"], &["CLUSTER", "GETKEYSINSLOT", &slot, &count]);
        let list = list.expect("the keys of a slot can be listed");
        // Lines of `1) "key"`. The keys stay in quotes, so that they may be any bytes.
        let keys: Vec<_> = list.lines().filter_map(|line| Some(line.split_once(") ")?.1)).collect();
        if !keys.is_empty() {
            let port = self.cluster.nodes[self.to].port().to_string();
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "\"\"", "0", "5000", "KEYS"];
            command.extend(&keys);
            let moved = source.run_cli(&["--quoted-input"], &command);
            assert_eq!(moved.as_deref(), Ok("OK"), "keys of slot {slot} can be moved");
        }
        keys.len()
    }

    /// Moves the remaining keys and assigns the slot to its new node, and tells all nodes.
    pub fn finish(self) {
        while self.move_keys(100) > 0 {}
        let nodes = &self.cluster.nodes;
        let id = nodes[self.to].cli(&["CLUSTER", "MYID"]);
        // The new node first, so that the slot still has an owner if this fails in between.
        let others = (0..NODES).filter(|node| *node != self.to && *node != self.from);
        for node in [self.to, self.from].into_iter().chain(others) {
            nodes[node].cli(&["CLUSTER", "SETSLOT", &self.slot.to_string(), "NODE", &id]);
        }
    }
}
