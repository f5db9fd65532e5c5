//! Power failures: what programs do to the files of a store is recorded, and replayed onto a disk that fails.

pub(crate) mod disk;
pub(crate) mod trace;
