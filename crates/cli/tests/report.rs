//! `--report`: a page that shows what the summary says, needs nothing else, and takes hostile names as text.
#![cfg(feature = "report")]

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::path::Path;

use command::{CDNOW, at, dictrack, dictrack_with, folder, number, repository};
use dictrack::json::Json;

fn page(folder: &Path, name: &str) -> String {
    let page = std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
    // It loads nothing and runs nothing.
    for word in ["<script", "<link", "<img", "<iframe", "@import", "url(", "src=", "onerror"] {
        assert!(!page.contains(word), "{word}");
    }
    page
}

fn thousands(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { format!("{},{:03}", number / 1_000, number % 1_000) }
}

#[test]
fn the_page_of_a_run_has_the_numbers_of_its_summary() {
    let folder = folder(&[]);
    let (trackers, sample) =
        (repository("examples/cdnow/trackers.toml"), repository("examples/cdnow/sample.ndjson.gz"));
    let run = format!("{CDNOW} {} --output json --report r.html {}", trackers.display(), sample.display());
    let summary = dictrack(folder.path(), &run).json();
    let html = page(folder.path(), "r.html");
    assert!(
        html.contains("<dt>documents</dt><dd>4,652</dd>") && html.contains("<dt>groups</dt><dd>1,500</dd>"),
        "{html}"
    );
    for tracker in at(&summary, "trackers").as_list().unwrap() {
        let name = at(tracker, "name").as_str().unwrap();
        let section = html.split(&format!("<h2>{name}</h2>")).nth(1).unwrap().split("</section>").next().unwrap();
        for key in ["counted", "refused", "completed", "limited"] {
            let shown = format!("<dt>{key}</dt><dd>{}</dd>", thousands(number(tracker, key)));
            assert!(number(tracker, key) == 0 || section.contains(&shown), "{name}: {shown}\n{section}");
        }
        for stage in at(tracker, "stages").as_list().unwrap() {
            let reached = number(stage, "groups");
            let shown = format!("{}, {:.1}%", thousands(reached), reached as f64 / 15.0);
            // In both sizes of the chart, and in its description.
            assert!(section.matches(&shown).count() >= 3, "{name}: {shown}\n{section}");
        }
        let limits = name == "welcome_bonus";
        assert_eq!(section.contains("Limits hit over time"), limits, "{name}");
        assert_eq!(section.contains("Targets reached over time"), !limits, "{name}");
        assert_eq!(section.matches("<tr><td>").count(), 10, "{name}");
    }
    // Each crossing is in the timeline: a run with events prints as many.
    let events = format!(
        "run --group-by customer_id --time date --trackers {} --output ndjson {}",
        trackers.display(),
        sample.display()
    );
    let events = dictrack(folder.path(), &events).good();
    let crossings = events.lines().map(|line| Json::parse(line.as_bytes()).unwrap());
    let crossings = crossings.filter(|event| {
        at(event, "tracker").as_str() == Some("loyal_customer")
            && matches!(at(event, "event").as_str(), Some("stage_completed" | "all_completed"))
    });
    let crossings = thousands(crossings.count() as u64);
    assert!(html.contains(&format!("Targets reached over time, {crossings} in total")), "{crossings}");
    // The furthest group of the store, too.
    let top = dictrack(folder.path(), "show --store s.db --tracker spent_dollars --top 1 --output json").json();
    let group = at(&top, "group").as_str().unwrap();
    assert!(html.contains(&format!("<tr><td>{group}</td>")), "{group}");
}

#[test]
fn the_page_of_a_store_shows_all_groups() {
    let folder = folder(&[]);
    let (trackers, sample) =
        (repository("examples/cdnow/trackers.toml"), repository("examples/cdnow/sample.ndjson.gz"));
    dictrack(folder.path(), &format!("{CDNOW} {} {}", trackers.display(), sample.display())).good();
    let out = dictrack(folder.path(), "show --store s.db --report r.html").good();
    assert_eq!(out, "");
    let html = page(folder.path(), "r.html");
    assert!(html.contains("<dt>groups</dt><dd>1,500</dd>") && html.contains("746, 49.7%"), "{html}");
    assert!(html.contains("Completions over time, 11 in total"), "{html}");
    assert_eq!(html.matches("<section>").count(), 4);
    dictrack(folder.path(), "show --store s.db --tracker box_sets --report r.html").good();
    let html = page(folder.path(), "r.html");
    assert_eq!((html.matches("<section>").count(), html.contains("<h2>box_sets</h2>")), (1, true));
    for more in ["--watch", "--output json", "someone", "--top 3 --tracker box_sets"] {
        assert_eq!(
            dictrack(folder.path(), &format!("show --store s.db --report x.html {more}")).code,
            Some(2),
            "{more}"
        );
    }
}

#[test]
fn hostile_names_and_malformed_lines_stay_text() {
    let hostile = "<script>alert(1)</script>\"'&\u{202e}\u{7}";
    let trackers =
        Json::parse(format!(r#"[{{"name": {}, "kind": "count", "target": [1, 2]}}]"#, Json::from(hostile)).as_bytes())
            .unwrap();
    let mut lines = String::new();
    for user in [hostile, "</section></html>", "a"] {
        lines.push_str(&format!("{{\"user\":{}}}\n", Json::from(user)));
    }
    for at in 0..30 {
        lines.push_str(&format!("{{\"<img src=x onerror=alert({at})>\":1}}\n<b>{at}\n"));
    }
    let folder = folder(&[("t.json", &trackers.to_string()), ("<i>.ndjson", &lines)]);
    let words = ["run", "-t", "t.json", "-g", "user", "--report", "r.html", "<i>.ndjson"];
    dictrack_with(folder.path(), &words, "").good();
    let html = std::fs::read_to_string(folder.path().join("r.html")).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{202e}\\u{7}"), "{html}");
    for markup in ["<script", "<i>", "<img", "<b>", "\u{202e}", "\u{7}"] {
        assert!(!html.contains(markup), "{markup}");
    }
    assert_eq!(html.matches("</html>").count(), 1);
    assert!(html.contains("60 malformed documents") && html.contains("… and 40 more"), "{html}");
    assert_eq!(html.matches("<li>").count(), 20);
}

#[test]
fn only_an_earlier_report_is_overwritten() {
    let folder = folder(&[
        ("t.toml", command::COUNTER),
        ("in.ndjson", "{\"user\":\"a\"}\n"),
        ("mine.html", "<!doctype html>\n"),
    ]);
    let run =
        |report: &str| dictrack(folder.path(), &format!("run -t t.toml -g user -s s.db --report {report} in.ndjson"));
    for (report, problem) in [
        ("in.ndjson", "file exists and is not a report"),
        ("mine.html", "file exists and is not a report"),
        ("none/r.html", "expected a file in a folder that exists"),
        (".", "is a folder"),
    ] {
        let answer = run(report);
        assert!(answer.code == Some(1) && answer.error.contains(problem), "{report}: {}", answer.error);
    }
    // Nothing was counted before that.
    assert!(!folder.path().join("s.db").exists());
    run("r.html").good();
    assert!(page(folder.path(), "r.html").contains("<dt>documents</dt><dd>1</dd>"));
    // Nothing is new, but the groups are still there.
    run("r.html").good();
    let again = page(folder.path(), "r.html");
    assert!(again.contains("<dt>documents</dt><dd>0</dd>") && again.contains("<dt>groups</dt><dd>1</dd>"), "{again}");
    // Events go to standard output as before.
    let events = dictrack(folder.path(), "run -t t.toml -g user --output ndjson --report e.html in.ndjson").good();
    assert_eq!(events.lines().count(), 1);
    assert!(page(folder.path(), "e.html").contains("<dt>groups</dt><dd>1</dd>"));
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".dictrack-") })
            .count(),
        0
    );
}
