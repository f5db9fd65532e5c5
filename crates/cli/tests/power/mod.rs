//! Power failures: records what programs do to the files of a store, and replays it on a failing disk.

pub(crate) mod disk;
pub(crate) mod trace;
