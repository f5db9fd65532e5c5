//! Different files under the name of a counted one are recognised, whatever they have in common with it.

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;

use command::{Answer, COUNTER, dictrack, dictrack_with, folder, gzip, number, progress, run};

/// How data is stored in a file.
#[derive(Clone, Copy, Debug)]
enum Form {
    Ndjson,
    Csv,
    PackedNdjson,
    PackedCsv,
}

impl Form {
    const ALL: [Self; 4] = [Self::Ndjson, Self::Csv, Self::PackedNdjson, Self::PackedCsv];

    fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "in.ndjson",
            Self::Csv => "in.csv",
            Self::PackedNdjson => "in.ndjson.gz",
            Self::PackedCsv => "in.csv.gz",
        }
    }

    /// Documents with users and ids, after a header that is longer than the hashed beginning of a file.
    fn text(self, rows: &[(&str, u32)]) -> Vec<u8> {
        let wide = "x".repeat(5000);
        let mut text = String::new();
        let is_csv = matches!(self, Self::Csv | Self::PackedCsv);
        if is_csv {
            text = format!("user,id,{wide}\n");
        }
        for (at, (user, id)) in rows.iter().enumerate() {
            text.push_str(&match (is_csv, at) {
                (true, _) => format!("{user},{id},\n"),
                (false, 0) => format!("{{\"{wide}\":0,\"user\":\"{user}\",\"id\":{id}}}\n"),
                (false, _) => format!("{{\"user\":\"{user}\",\"id\":{id}}}\n"),
            });
        }
        text.into_bytes()
    }

    fn write(self, folder: &Path, rows: &[(&str, u32)]) {
        let text = self.text(rows);
        let bytes = match self {
            Self::Ndjson | Self::Csv => text,
            Self::PackedNdjson | Self::PackedCsv => gzip(&text),
        };
        // Like exports: written under another name, then renamed.
        std::fs::write(folder.join("new"), bytes).unwrap();
        std::fs::rename(folder.join("new"), folder.join(self.name())).unwrap();
    }
}

/// Rejected by name, and nothing in it or in the other input is counted.
fn assert_refused(answer: &Answer, name: &str) {
    assert_eq!(answer.code, Some(1), "{name}: {}", answer.error);
    for words in
        [&format!("{name}: not the file that was counted before: "), "--again", "another name", "another store"]
    {
        assert!(answer.error.contains(words), "{words}: {}", answer.error);
    }
}

const FIRST: [(&str, u32); 4] = [("a", 1), ("a", 2), ("a", 3), ("b", 4)];

#[test]
fn a_different_file_of_the_same_name_is_rejected_or_with_ids_counted_from_the_beginning() {
    // Each starts like the first file, and is at least as long.
    let others: [&[(&str, u32)]; 4] = [
        &[("a", 1), ("a", 2), ("a", 3), ("c", 5)],
        &[("a", 1), ("c", 6), ("a", 3), ("b", 4), ("a", 7)],
        &[("a", 1), ("a", 2), ("c", 8), ("a", 3), ("b", 4)],
        &[("a", 1), ("c", 9), ("c", 10), ("c", 11), ("c", 12), ("c", 13)],
    ];
    for form in Form::ALL {
        for other in others {
            for ids in [false, true] {
                let folder = folder(&[("t.toml", COUNTER), ("z.ndjson", "{\"user\":\"z\",\"id\":1}\n")]);
                let line = format!("{} z.ndjson{}", form.name(), if ids { " --id id" } else { "" });
                form.write(folder.path(), &FIRST);
                let first = run(folder.path(), &format!("{}{}", form.name(), if ids { " --id id" } else { "" })).json();
                assert_eq!(number(&first, "documents"), 4, "{form:?}");
                form.write(folder.path(), other);
                let second = run(folder.path(), &line);
                if !ids {
                    assert_refused(&second, form.name());
                    assert!(
                        command::dictrack(folder.path(), "show z --store s.db").code != Some(0),
                        "{form:?} {other:?}"
                    );
                    let again = number(&run(folder.path(), &format!("{line} --again")).json(), "documents");
                    assert_eq!(again, other.len() as u64 + 1);
                    continue;
                }
                let warned = format!("{}: not the file that was counted before: ", form.name());
                assert!(second.error.starts_with(&warned), "{form:?} {other:?}: {}", second.error);
                let summary = second.json();
                let new = other.iter().filter(|row| !FIRST.contains(row)).count();
                assert_eq!(number(&summary, "documents") - number(&summary, "repeated"), new as u64 + 1);
                let of_a = FIRST.iter().chain(other).filter(|(user, _)| *user == "a").map(|(_, id)| id);
                let of_a: std::collections::HashSet<_> = of_a.collect();
                assert_eq!(progress(folder.path(), "a"), of_a.len() as u64, "{form:?} {other:?}");
            }
        }
    }
}

#[test]
fn a_file_that_is_shorter_than_what_was_counted_is_rejected() {
    for form in Form::ALL {
        let folder = folder(&[("t.toml", COUNTER)]);
        form.write(folder.path(), &FIRST);
        run(folder.path(), form.name()).good();
        form.write(folder.path(), &FIRST[..2]);
        let answer = run(folder.path(), form.name());
        assert_refused(&answer, form.name());
        assert!(answer.error.contains("bytes, of which"), "{}", answer.error);
        // Truncated and rewritten, longer than before.
        form.write(folder.path(), &[("a", 20); 9]);
        assert_refused(&run(folder.path(), form.name()), form.name());
    }
}

#[test]
fn a_file_that_grew_or_was_packed_or_unpacked_resumes() {
    let more = [&FIRST[..], &[("a", 5), ("c", 6)]].concat();
    for form in Form::ALL {
        let folder = folder(&[("t.toml", COUNTER)]);
        form.write(folder.path(), &FIRST);
        run(folder.path(), form.name()).good();
        form.write(folder.path(), &more);
        assert_eq!(number(&run(folder.path(), form.name()).json(), "documents"), 2, "{form:?}");
        assert_eq!(progress(folder.path(), "a"), 4);
        // The same data, gzipped or unpacked, or gzipped in two members.
        let text = form.text(&more);
        for bytes in [text.clone(), gzip(&text), [gzip(&text[..5010]), gzip(&text[5010..])].concat()] {
            std::fs::write(folder.path().join(form.name()), bytes).unwrap();
            assert_eq!(number(&run(folder.path(), form.name()).json(), "documents"), 0, "{form:?}");
        }
        let other = form.text(&[&FIRST[..3], &[("c", 9), ("a", 5), ("c", 6)]].concat());
        for bytes in [other.clone(), gzip(&other)] {
            std::fs::write(folder.path().join(form.name()), bytes).unwrap();
            assert_refused(&run(folder.path(), form.name()), form.name());
        }
    }
}

#[test]
fn members_appended_to_a_gzipped_file_count() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let file = folder.path().join("in.gz");
    let mut bytes = Vec::new();
    for round in 1..4 {
        bytes.extend(gzip(b"{\"user\":\"a\"}\n{\"user\":\"a\"}\n"));
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(number(&run(folder.path(), "in.gz").json(), "documents"), 2);
        assert_eq!(progress(folder.path(), "a"), 2 * round);
        // Tapes pad with zeros.
        bytes.extend([0; 512]);
    }
}

#[test]
fn a_file_without_documents_leaves_no_mark() {
    for begin in ["", "\u{feff}", "user,id\n", "\u{feff}user,id\n", "user,id", "\n\n"] {
        let folder = folder(&[("t.toml", COUNTER), ("in.csv", begin)]);
        run(folder.path(), "in.csv").good();
        std::fs::write(folder.path().join("in.csv"), "user,id\na,1\nb,2\n").unwrap();
        assert_eq!(number(&run(folder.path(), "in.csv").json(), "documents"), 2, "{begin:?}");
    }
}

#[test]
fn a_strict_run_that_stopped_between_documents_recognises_what_it_counted() {
    let (wide, good) = ("x".repeat(5000), "a,1,\n".repeat(900));
    let csv = |rows: &str| format!("user,n,{wide}\n{rows}");
    for (other, counts) in
        [(format!("{good}a,2,\n"), true), (format!("{}b,3,\n", good.replacen("a,1", "b,1", 899)), false)]
    {
        let folder = folder(&[("t.toml", COUNTER), ("in.csv", &csv(&format!("{good}bad\na,2,\n")))]);
        assert_eq!(run(folder.path(), "in.csv --strict").code, Some(1));
        assert_eq!(progress(folder.path(), "a"), 900);
        std::fs::write(folder.path().join("in.csv"), csv(&other)).unwrap();
        let answer = run(folder.path(), "in.csv --strict");
        if counts {
            assert_eq!(number(&answer.json(), "documents"), 1);
        } else {
            assert_refused(&answer, "in.csv");
        }
    }
}

#[test]
fn a_file_that_was_truncated_and_rewritten_is_recognised_as_different() {
    use std::io::Write as _;
    use std::process::Stdio;
    // The run waits for a pipe while the next file, which it has already checked, is replaced.
    for (form, is_renamed) in [(Form::Ndjson, true), (Form::Csv, true), (Form::PackedCsv, true), (Form::Ndjson, false)]
    {
        let folder = folder(&[("t.toml", COUNTER)]);
        form.write(folder.path(), &FIRST);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dictrack"));
        let line =
            format!("run --trackers t.toml --group-by user --id id --store s.db --output ndjson - {}", form.name());
        command.current_dir(folder.path()).args(line.split_whitespace());
        let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = running.stdin.take().unwrap();
        input.write_all(b"{\"user\":\"p\",\"id\":1}\n{\"user\":\"p\",\"id\":2}\n").unwrap();
        // An event proves that the inputs were checked.
        let mut event = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(running.stdout.as_mut().unwrap()), &mut event)
            .unwrap();
        assert!(event.contains("\"group\":\"p\""), "{event}");
        let other = [("b", 1), ("b", 2), ("b", 3), ("b", 5), ("b", 6)];
        if is_renamed {
            form.write(folder.path(), &other);
        } else {
            std::fs::write(folder.path().join(form.name()), form.text(&other)).unwrap();
        }
        drop(input);
        let answer = running.wait_with_output().unwrap();
        assert_eq!(answer.status.code(), Some(0), "{}", String::from_utf8_lossy(&answer.stderr));
        // The checked handle is read. If its file was overwritten, the mark matches what was read.
        let second = run(folder.path(), &format!("--id id {}", form.name()));
        second.good();
        assert_eq!(progress(folder.path(), "b"), if is_renamed { 6 } else { 5 }, "{form:?} {is_renamed}");
    }
}

#[test]
fn a_mark_of_an_earlier_version_is_accepted() {
    let folder = folder(&[("t.toml", COUNTER)]);
    for form in [Form::Csv, Form::PackedNdjson] {
        form.write(folder.path(), &FIRST);
        run(folder.path(), form.name()).good();
    }
    // As exported by that version: without checksums, and with shorter marks.
    let export = dictrack(folder.path(), "export --store s.db").good();
    let mut changed = 0;
    let earlier: String = export
        .lines()
        .map(|line| {
            let line = line.split(",\"check\":").next().unwrap();
            let line = line.replace("{\"dictrack\":2", "{\"dictrack\":1");
            match (line.find(",\\\"trail\\\":"), line.find(",\\\"group-by\\\":")) {
                (Some(from), Some(to)) if line.starts_with("{\"mark\":\"input:") => {
                    changed += 1;
                    format!("{}{}}}\n", &line[..from], &line[to..])
                }
                _ => format!("{line}}}\n"),
            }
        })
        .collect();
    assert_eq!(changed, 2);
    std::fs::remove_file(folder.path().join("s.db")).unwrap();
    assert_eq!(dictrack_with(folder.path(), &["import", "--store", "s.db"], earlier).code, Some(0));
    for form in [Form::Csv, Form::PackedNdjson] {
        form.write(folder.path(), &[&FIRST[..], &[("a", 5)]].concat());
        assert_eq!(number(&run(folder.path(), form.name()).json(), "documents"), 1, "{form:?}");
        // From here on, the mark is complete.
        form.write(folder.path(), &[&FIRST[..], &[("c", 6), ("c", 7)]].concat());
        assert_refused(&run(folder.path(), form.name()), form.name());
    }
}

#[test]
fn more_inputs_than_stay_open_are_checked_before_any_is_counted() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let names: Vec<String> = (0..140).map(|at| format!("{at}.ndjson")).collect();
    let write = |at: usize, user: &str| {
        let text = format!("{{\"pad\":\"{}\",\"user\":\"a\"}}\n{{\"user\":\"{user}\"}}\n", "x".repeat(5000));
        std::fs::write(folder.path().join(&names[at]), text).unwrap();
    };
    (0..names.len()).for_each(|at| write(at, "a"));
    let line = names.join(" ");
    assert_eq!(number(&run(folder.path(), &line).json(), "documents"), 280);
    write(139, "b");
    std::fs::write(folder.path().join("0.ndjson"), "").unwrap();
    write(0, "a");
    assert_refused(&run(folder.path(), &line), "139.ndjson");
    write(139, "a");
    assert_eq!(number(&run(folder.path(), &line).json(), "documents"), 0);
    assert_eq!(progress(folder.path(), "a"), 280);
}

#[test]
fn files_whose_names_are_not_unicode_have_their_own_marks() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::process::Command;

    let folder = folder(&[("t.toml", COUNTER)]);
    let names = [b"log-\xe8.ndjson", b"log-\xe9.ndjson"].map(|name| OsStr::from_bytes(name));
    for (name, documents) in names.iter().zip([3, 5]) {
        std::fs::write(folder.path().join(name), "{\"user\":\"a\"}\n".repeat(documents)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dictrack"));
        command.current_dir(folder.path()).args([
            "run",
            "--trackers",
            "t.toml",
            "--group-by",
            "user",
            "--store",
            "s.db",
        ]);
        assert!(command.arg(name).output().unwrap().status.success());
    }
    assert_eq!(progress(folder.path(), "a"), 8);
}
