//! The names of keys.

use dictrack_core::group::ContentHash;

/// Groups are spread over this many buckets. All keys of a bucket are on one node of a cluster, so that a script may
/// use them together.
pub(super) const BUCKETS: u64 = 1024;

/// The keys of one group.
#[derive(Debug)]
pub(super) struct Keys {
    /// The hash with the group.
    pub(super) group: String,
    /// The set of the bucket's groups with changes that the store lacks.
    pub(super) dirty: String,
    /// Names the process that is loading the group from the store.
    pub(super) lease: String,
    bucket: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, id: &str) -> Self {
        let bucket = bucket(prefix, ContentHash::of_one(id.as_bytes()).short() % BUCKETS);
        Self { group: format!("{bucket}:g:{id}"), dirty: dirty(&bucket), lease: format!("{bucket}:l:{id}"), bucket }
    }

    /// The key in which the pieces of the group wait while it is loaded under a lease.
    pub(super) fn pieces(&self, lease: &str) -> String {
        format!("{}:n:{lease}", self.bucket)
    }

    /// The key of a definition set; each bucket has its own copy.
    pub(super) fn set(&self, hash: ContentHash) -> String {
        format!("{}:s:{hash}", self.bucket)
    }
}

/// The prefix of the keys of a bucket.
pub(super) fn bucket(prefix: &str, number: u64) -> String {
    format!("{prefix}:{{b{number}}}")
}

/// The versions of the time zone data of the programs that use the cache, and when one with each version last began to.
pub(super) fn zone_data(prefix: &str) -> String {
    format!("{}:zone_data", bucket(prefix, 0))
}

pub(super) fn dirty(bucket: &str) -> String {
    format!("{bucket}:dirty")
}

/// The group whose key this is.
pub(super) fn group_of<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    let (bucket, rest) = key.strip_prefix(prefix)?.strip_prefix(":{b")?.split_once("}:")?;
    bucket.parse::<u64>().ok().filter(|bucket| *bucket < BUCKETS)?;
    rest.strip_prefix("g:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_a_group() {
        for id in ["", "user_001", "a:b", "{x}", "}:g:", "\0", "😀"] {
            let keys = Keys::new("shop", id);
            assert_eq!(group_of("shop", &keys.group), Some(id));
            assert_eq!((group_of("other", &keys.group), group_of("shop", &keys.lease)), (None, None));
        }
    }
}
