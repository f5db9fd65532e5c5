//! The program of the README, run again and again on one store.

#![cfg(feature = "sqlite")]

use dictrack::Blocking;

type Ran = Result<(), Box<dyn std::error::Error>>;

mod program {
    include!("readme/program.rs");

    pub(super) fn start() -> super::Ran {
        main()
    }
}

#[test]
fn the_program_of_the_readme_awards_nothing_twice() -> Ran {
    let (page, program) = (include_str!("../../../README.md"), include_str!("readme/program.rs"));
    assert!(page.contains(&format!("```rust\n{program}```\n")), "tests/readme/program.rs is not what the README shows");
    let folder = tempfile::tempdir()?;
    // The program keeps its file in the current folder. No other test in this binary uses it.
    std::env::set_current_dir(folder.path())?;
    for _ in 0..104 {
        program::start()?;
    }
    let manager = Blocking::open("dictrack.db")?;
    let completed = manager.completed("user_001")?;
    assert_eq!(completed.iter().map(|done| done.tracker.progress.to_string()).collect::<Vec<_>>(), ["100"]);
    assert!(manager.trackers("user_001")?.is_empty(), "the hundred and first start added it again");
    Ok(manager.close()?)
}

#[test]
fn no_page_or_example_starts_completed_trackers_over() -> Ran {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders: Vec<_> =
        ["docs", "examples", "crates/dictrack/examples", "crates/dictrack/src"].map(|folder| root.join(folder)).into();
    let mut files = vec![root.join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let mut read = 0;
    for path in files {
        let name = path.display();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for line in text.lines().map(str::trim_start) {
            // Of sources, only what people copy.
            if !path.starts_with(root.join("crates/dictrack/src")) || line.starts_with("//") {
                assert!(!line.contains(".add_tracker"), "{name}: {line}: `ensure_tracker` leaves completed ones alone");
                read += usize::from(line.contains(".ensure_tracker"));
            }
        }
    }
    assert!(read > 10, "{read}");
    Ok(())
}
