//! One writer a file, whatever names, locks and other programs do: a store is written by one process, and what it
//! acknowledged is in the file that its name stands for.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod changes;
mod locks;
mod names;
mod process;
mod writers;
