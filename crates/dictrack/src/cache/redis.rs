//! The Redis cache: groups that many processes share.
