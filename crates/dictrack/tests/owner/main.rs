//! One writer per file, whatever names, locks and other programs do: only one process writes a store, and what it
//! acknowledged is in the file that the store's name refers to.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod changes;
mod locks;
mod names;
mod process;
mod writers;
