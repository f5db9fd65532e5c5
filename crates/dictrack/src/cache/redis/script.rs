//! The scripts that Redis runs: constant texts, identified by their hash.

use std::sync::LazyLock;

use redis::Cmd;

/// A script and the hash by which Redis knows it.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

pub(super) static SWAP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/swap.lua")));
pub(super) static STORED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/stored.lua")));
pub(super) static DROP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/drop.lua")));
pub(super) static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/read.lua")));
pub(super) static REST: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/rest.lua")));
pub(super) static FILL: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/fill.lua")));
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/claim.lua")));

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// The call by hash, which is short, but a server that was just started does not know the script.
    pub(super) fn by_hash(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.hash, keys, arguments)
    }

    /// The call that also sends the text of the script.
    pub(super) fn by_text(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        call("EVAL", self.text, keys, arguments)
    }
}

fn call(command: &str, script: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
    let texts = keys.iter().map(|key| key.len()).chain(arguments.iter().map(|argument| argument.len()));
    let bytes = command.len() + script.len() + texts.sum::<usize>() + 20;
    let mut call = Cmd::with_capacity(keys.len() + arguments.len() + 3, bytes);
    call.arg(command).arg(script).arg(keys.len()).arg(keys);
    arguments.iter().for_each(|argument| {
        call.arg(*argument);
    });
    call
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Commands of Redis 6.2 that scripts may use.
    const KNOWN: [&str; 15] = [
        "DEL", "EXISTS", "GET", "HDEL", "HGET", "HGETALL", "HLEN", "HMGET", "HSET", "PERSIST", "PEXPIRE", "RENAME",
        "SADD", "SET", "SREM",
    ];

    #[test]
    fn the_scripts_use_only_commands_of_redis_6_2_and_no_text_of_users() {
        let mut used = BTreeSet::new();
        for text in [
            include_str!("scripts/swap.lua"),
            include_str!("scripts/stored.lua"),
            include_str!("scripts/drop.lua"),
            include_str!("scripts/claim.lua"),
            include_str!("scripts/read.lua"),
            include_str!("scripts/rest.lua"),
            include_str!("scripts/fill.lua"),
        ] {
            for call in text.split("redis.call(").skip(1) {
                let name = call.strip_prefix('\'').and_then(|rest| rest.split('\'').next());
                used.insert(name.expect("a command that is spelled out"));
            }
        }
        assert!(!used.is_empty());
        let unknown: Vec<_> = used.iter().filter(|name| !KNOWN.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
