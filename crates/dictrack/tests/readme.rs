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
