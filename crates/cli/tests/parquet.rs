//! Rows of Parquet files count as the same documents in JSON lines.
#![cfg(feature = "parquet")]

#[allow(dead_code, reason = "each test file uses its part")]
mod command;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field};
use command::{COUNTER, counted, dictrack, dictrack_with, folder, number, progress, run};
use dictrack::json::Json;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// A purchase: user, moment in seconds, item, price in cents, weight.
type Purchase = (Option<String>, i64, u32, Option<i64>, f64);

fn purchases(count: u32) -> Vec<Purchase> {
    let purchase = |at: u32| {
        let user = Some(format!("user{}", at % 97));
        let price = (!at.is_multiple_of(11)).then_some(i64::from(at % 1_000));
        (user, 1_700_000_000 + i64::from(at), at, price, f64::from(at % 7) / 4.0)
    };
    (0..count).map(purchase).collect()
}

fn batch(purchases: &[Purchase]) -> RecordBatch {
    let users: StringArray = purchases.iter().map(|(user, ..)| user.as_deref()).collect();
    let times: TimestampMicrosecondArray = purchases.iter().map(|(_, time, ..)| Some(time * 1_000_000)).collect();
    let ids: Int64Array = purchases.iter().map(|(_, _, id, ..)| Some(i64::from(*id))).collect();
    let prices: Decimal128Array = purchases.iter().map(|(_, _, _, price, _)| price.map(i128::from)).collect();
    let prices = prices.with_precision_and_scale(12, 2).unwrap();
    let weights: Float64Array = purchases.iter().map(|(.., weight)| Some(*weight)).collect();
    let item = StructArray::from(vec![
        (Arc::new(Field::new("id", DataType::Int64, true)), Arc::new(ids) as ArrayRef),
        (Arc::new(Field::new("weight", DataType::Float64, true)), Arc::new(weights) as ArrayRef),
    ]);
    RecordBatch::try_from_iter_with_nullable([
        ("user", Arc::new(users) as ArrayRef, true),
        ("at", Arc::new(times.with_timezone_utc()) as ArrayRef, true),
        ("item", Arc::new(item) as ArrayRef, true),
        ("price", Arc::new(prices) as ArrayRef, true),
    ])
    .unwrap()
}

fn write(path: &Path, purchases: &[Purchase], compression: Compression) {
    let properties =
        WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(1_500)).build();
    let batch = batch(purchases);
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn lines(purchases: &[Purchase]) -> String {
    let line = |(user, time, id, price, weight): &Purchase| {
        let price = price.map_or(String::new(), |cents| format!(",\"price\":{}.{:02}", cents / 100, cents % 100));
        let user = user.as_ref().map_or(String::new(), |user| format!("\"user\":\"{user}\","));
        format!("{{{user}\"at\":{time},\"item\":{{\"id\":{id},\"weight\":{weight}}}{price}}}\n")
    };
    purchases.iter().map(line).collect()
}

const TRACKERS: &str = r#"
[[trackers]]
name = "spent"
kind = "sum"
key = "price"
target = [10, 100, 10000]

[[trackers]]
name = "heavy"
kind = "count"
target = [3, 5]
conditions = [{ key = "item.weight", ge = 1 }]

[[trackers]]
name = "daily"
kind = "count"
target = 40
every = "hour"
limiters = [{ count = 5, per = "minute" }]
"#;

/// The summary without how long it took.
fn summary(folder: &Path, line: &str) -> String {
    let Json::Map(map) = dictrack(folder, line).json() else { panic!("not a map") };
    let kept = map.iter().filter(|(key, _)| !key.contains("second"));
    Json::Map(kept.map(|(key, value)| (key.into(), value.clone())).collect()).to_string()
}

#[test]
fn rows_count_as_the_same_documents_in_json_lines() {
    let folder = folder(&[("t.toml", TRACKERS)]);
    let purchases = purchases(4_000);
    fs::write(folder.path().join("in.ndjson"), lines(&purchases)).unwrap();
    let arguments = "run --trackers t.toml --group-by user --time at --id item.id";
    let expected = summary(folder.path(), &format!("{arguments} --output json in.ndjson"));
    let events = dictrack(folder.path(), &format!("{arguments} --output ndjson in.ndjson")).good();
    assert!(events.lines().count() > 300, "{events}");
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ];
    for compression in compressions {
        write(&folder.path().join("in.parquet"), &purchases, compression);
        for threads in [1, 3] {
            let more = format!("--threads {threads} in.parquet");
            let found = summary(folder.path(), &format!("{arguments} --output json {more}"));
            assert_eq!(found, expected, "{compression:?}");
            let found = dictrack(folder.path(), &format!("{arguments} --output ndjson {more}")).good();
            assert_eq!(found, events, "{compression:?}");
        }
    }
    // Whatever it is called, a file that begins and ends like Parquet is read as such.
    fs::rename(folder.path().join("in.parquet"), folder.path().join("in")).unwrap();
    assert_eq!(summary(folder.path(), &format!("{arguments} --output json in")), expected);
}

#[test]
fn a_file_is_a_sample_to_start_from() {
    let folder = folder(&[]);
    write(&folder.path().join("in.parquet"), &purchases(300), Compression::SNAPPY);
    let printed = dictrack(folder.path(), "init in.parquet").good();
    let command = printed.lines().next_back().unwrap().trim().strip_prefix("dictrack ").unwrap();
    assert!(command.contains("--group-by user"), "{printed}");
    let summary = dictrack(folder.path(), &format!("{command} --output json")).json();
    assert!(counted(&summary, "documents") > 100, "{summary}");
}

#[test]
fn a_run_goes_on_after_the_last_row_that_it_counted() {
    let folder = folder(&[("t.toml", COUNTER)]);
    let mut purchases = purchases(3_000);
    purchases[1_999].0 = None;
    write(&folder.path().join("in.parquet"), &purchases, Compression::SNAPPY);
    let stopped = run(folder.path(), "--strict in.parquet");
    assert_eq!(stopped.code, Some(1));
    assert!(stopped.error.contains("in.parquet:2000: no group at user; the document has "), "{}", stopped.error);
    assert_eq!(number(&Json::parse(stopped.out.as_bytes()).unwrap(), "documents"), 1_999);

    let rest = run(folder.path(), "in.parquet");
    assert!(rest.error.contains("in.parquet:2000: no group at user; the document has "), "{}", rest.error);
    let rest = rest.json();
    assert_eq!((number(&rest, "documents"), number(&rest, "malformed")), (1_000, 1), "{rest}");
    assert_eq!(counted(&rest, "n"), 1_000);
    assert_eq!(progress(folder.path(), "user5"), 31);
    assert_eq!(number(&run(folder.path(), "in.parquet").json(), "documents"), 0);

    // The same rows compressed in another way are another file; so are others under the same name.
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
        purchases[0].2 += 1_000_000;
        write(&folder.path().join("in.parquet"), &purchases, compression);
        let refused = run(folder.path(), "in.parquet");
        assert_eq!(refused.code, Some(1));
        let expected =
            "in.parquet: not the file that was counted before: its columns or its rows differ; nothing was counted";
        assert!(refused.error.contains(expected), "{}", refused.error);
    }
    assert_eq!(progress(folder.path(), "user5"), 31);
    // So is a file of lines.
    fs::write(folder.path().join("in.parquet"), lines(&purchases)).unwrap();
    let refused = run(folder.path(), "--format ndjson in.parquet");
    assert_eq!(refused.code, Some(1));
    assert!(refused.error.contains("not the file that was counted before"), "{}", refused.error);
}

#[test]
fn what_cannot_be_read_is_said_and_the_other_files_count() {
    let folder = folder(&[("t.toml", COUNTER), ("a.ndjson", "{\"user\":\"a\"}\n"), ("no.parquet", "user,at\na,1\n")]);
    let purchases = purchases(50);
    write(&folder.path().join("in.parquet"), &purchases, Compression::SNAPPY);
    let bytes = fs::read(folder.path().join("in.parquet")).unwrap();
    fs::write(folder.path().join("short.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(folder.path().join("empty.parquet"), "").unwrap();
    for name in ["no.parquet", "short.parquet", "empty.parquet"] {
        let answer =
            dictrack(folder.path(), &format!("run --trackers t.toml --group-by user --output json {name} a.ndjson"));
        assert_eq!(answer.code, Some(1), "{name}: {}", answer.error);
        assert!(answer.error.contains(&format!("{name}:")), "{}", answer.error);
        assert!(answer.error.contains("not a Parquet file that can be read: "), "{}", answer.error);
        assert_eq!(number(&Json::parse(answer.out.as_bytes()).unwrap(), "documents"), 1, "{name}");
    }
    let words = ["run", "--trackers", "t.toml", "--group-by", "user"];
    let piped = dictrack_with(folder.path(), &[&words[..], &["--format", "parquet", "-"]].concat(), &bytes[..]);
    assert_eq!(piped.code, Some(1));
    assert!(piped.error.contains("Parquet, but a pipe or incomplete; expected a whole file"), "{}", piped.error);
    let lacking = dictrack(folder.path(), "run --trackers t.toml --group-by usr in.parquet");
    assert_eq!(lacking.code, Some(1));
    assert!(
        lacking.error.contains(
            "in.parquet:1: --group-by: unknown column \"usr\"; expected one of \"user\", \"at\", \"item\", \"price\""
        ),
        "{}",
        lacking.error
    );
}

#[test]
fn a_damaged_file_is_an_error_or_counts_what_can_be_read() {
    let folder = folder(&[("t.toml", COUNTER)]);
    write(&folder.path().join("in.parquet"), &purchases(200), Compression::UNCOMPRESSED);
    let whole = fs::read(folder.path().join("in.parquet")).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 150) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(folder.path().join("damaged.parquet"), damaged).unwrap();
        let words = ["run", "--trackers", "t.toml", "--group-by", "user", "--output", "json", "damaged.parquet"];
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_dictrack"));
        let output = command.current_dir(folder.path()).args(words).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => {
                let found = Json::parse(&output.stdout).unwrap();
                assert_eq!(number(&found, "documents"), 200, "{at}: {error}");
            }
            Some(1) => assert!(error.contains("damaged.parquet"), "{at}: {error}"),
            other => panic!("{at}: {other:?} {error}"),
        }
    }
}
