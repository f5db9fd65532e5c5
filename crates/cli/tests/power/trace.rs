//! What processes did to the files of a store, and what they printed, in order.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file, by a number that stays the same when it is renamed.
pub(crate) type File = usize;

/// One step of a process.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create {
        file: File,
        name: String,
    },
    Write {
        file: File,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: File,
        size: usize,
    },
    Sync(File),
    SyncFolder,
    Unlink(String),
    Rename {
        from: String,
        to: String,
    },
    /// Something was written to standard output.
    Said(Vec<u8>),
    /// A process succeeded after it was given this many documents.
    Done(usize),
}

/// Compiles the recording library, and makes processes load it.
pub(crate) struct Recorder {
    folder: tempfile::TempDir,
    /// The files that exist, by inode.
    files: HashMap<u64, File>,
    created: usize,
    pub(crate) steps: Vec<Step>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("shim.c"), include_str!("shim.c")).unwrap();
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", "shim.so", "shim.c", "-ldl", "-lpthread"])
            .current_dir(folder.path())
            .output()
            .expect("a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder, files: HashMap::new(), created: 0, steps: Vec::new() }
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// Records what the command does to the store at `store`.
    pub(crate) fn record(&self, command: &mut Command, store: &Path) {
        command.env("LD_PRELOAD", self.folder.path().join("shim.so"));
        command.env("POWER_TRACE", self.trace()).env("POWER_STORE", store.canonicalize().unwrap_or(store.to_owned()));
    }

    /// Adds what a finished process did.
    pub(crate) fn read(&mut self) {
        let bytes = std::fs::read(self.trace()).expect("the library was not loaded");
        std::fs::remove_file(self.trace()).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let kind = take(&mut rest, 1)[0];
            let [inode, number] = [(); 2].map(|()| u64::from_ne_bytes(take(&mut rest, 8).try_into().unwrap()));
            let lengths = [(); 2].map(|()| u32::from_ne_bytes(take(&mut rest, 4).try_into().unwrap()) as usize);
            let text = String::from_utf8(take(&mut rest, lengths[0]).to_vec()).unwrap();
            let data = take(&mut rest, lengths[1]).to_vec();
            if kind == b'c' {
                // The inode of a deleted file may be reused.
                self.files.insert(inode, self.created);
                self.created += 1;
            }
            let file = || self.files[&inode];
            self.steps.push(match kind {
                b'c' => Step::Create { file: file(), name: text },
                b'w' => Step::Write { file: file(), at: number as usize, bytes: data },
                b't' => Step::Truncate { file: file(), size: number as usize },
                b'f' => Step::Sync(file()),
                b'd' => Step::SyncFolder,
                b'u' => Step::Unlink(text),
                b'r' => Step::Rename { from: text, to: String::from_utf8(data).unwrap() },
                b's' => Step::Said(data),
                _ => panic!("a record of the kind {kind}"),
            });
        }
    }
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = from.split_at_checked(length).expect("a whole record");
    *from = rest;
    taken
}
