//! The MongoDB store: one readable document a group.
