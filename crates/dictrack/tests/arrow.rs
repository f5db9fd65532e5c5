//! Rows of a record batch count as the documents that they are.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampSecondArray, types,
};
use arrow_schema::{DataType, Field};
use dictrack::arrow::{Columns, RowPaths, Rows};
use dictrack::clock::TestClock;
use dictrack::group::Differing;
use dictrack::json::Json;
use dictrack::manager::{Counts, Submission};
use dictrack::{Blocking, Document as _, Manager, Outcome, Path, Timestamp, TrackerDefinition};

fn batch() -> RecordBatch {
    let rows = 500_i64;
    let users: StringArray = (0..rows).map(|row| Some(format!("u{}", row * 7 % 13))).collect();
    let amounts: Int64Array = (0..rows).map(|row| (row % 3 != 0).then_some(row % 10)).collect();
    let times: TimestampSecondArray = (0..rows).map(Some).collect();
    let tags = (0..rows).map(|row| Some((0..row % 3).map(Some).collect::<Vec<_>>()));
    let tags = ListArray::from_iter_primitive::<types::Int64Type, _, _>(tags);
    let inner =
        StructArray::from(vec![(Arc::new(Field::new("b", DataType::Int64, true)), Arc::new(amounts) as ArrayRef)]);
    RecordBatch::try_from_iter_with_nullable([
        ("user", Arc::new(users) as ArrayRef, true),
        ("at", Arc::new(times) as ArrayRef, true),
        ("a", Arc::new(inner) as ArrayRef, true),
        ("tags", Arc::new(tags) as ArrayRef, true),
    ])
    .unwrap()
}

fn open() -> Blocking {
    let builder = Manager::builder().clock(TestClock::new(Timestamp::from_secs(10_000)));
    dictrack::block_on(builder.open()).unwrap().blocking()
}

/// The trackers of all groups.
fn states(manager: &Blocking) -> Vec<String> {
    (0..13).map(|group| format!("{:?}", manager.trackers(&format!("u{group}")).unwrap())).collect()
}

fn trackers() -> Vec<TrackerDefinition> {
    let read = |text: &str| TrackerDefinition::from_json(&Json::parse(text.as_bytes()).unwrap()).unwrap();
    vec![
        read(r#"{"name":"sum","kind":"sum","key":"a.b","target":[20,100,1000]}"#),
        read(r#"{"name":"tags","kind":"count","target":[3,1000],"conditions":[{"key":"tags.1","eq":1}]}"#),
        read(r#"{"name":"minute","kind":"count","target":3,"every":"minute"}"#),
    ]
}

#[test]
fn rows_do_what_their_documents_do() {
    let batch = batch();
    let columns = Columns::new(&batch);
    let (by_row, by_group) = (open(), open());
    let list = by_group.tracker_list(trackers()).unwrap();
    let own = by_row.tracker_list(trackers()).unwrap();
    let mut paths = RowPaths::new(Path::parse("user").unwrap());
    paths.time = Path::parse("at");

    let keeps = |_: &Outcome| false;
    let (rows, bad) = Rows::arrange(&columns, 0, 0..columns.rows(), &paths, Some(&list), &keeps);
    assert_eq!(bad, None);
    let done = by_group.track_rows(&rows, 2);
    assert!(done.failure.is_none());
    let found: Vec<_> = done
        .outcomes
        .iter()
        .flat_map(|kept| kept.outcome.events().iter().map(|event| (kept.position, event.id())))
        .collect();

    let (mut counts, mut events) = (Counts::default(), Vec::new());
    for row in 0..columns.rows() {
        // As a program would do it that knows nothing of Arrow.
        let document = Json::parse(columns.row(row).to_json().to_string().as_bytes()).unwrap();
        let group = document.value_at(&paths.group).unwrap().to_json();
        let submission = Submission::new(group.as_str().unwrap(), &document).ensure(&own, Differing::Refuse);
        let outcome = by_row.track_one(submission.at(Timestamp::from_secs(row as i64))).unwrap();
        counts.note(&outcome);
        events.extend(outcome.events().iter().map(|event| (row, event.id())));
    }
    assert_eq!(done.counts, counts);
    assert!(counts.counted > 400 && counts.late == 0 && events.len() > 60, "{counts:?} {}", events.len());
    assert_eq!(found, events);
    assert_eq!(states(&by_group), states(&by_row));
}

#[test]
fn a_row_without_a_group_is_named_and_those_before_it_are_arranged() {
    let users: StringArray = [Some("a"), Some("b"), None, Some("a")].into_iter().collect();
    let batch = RecordBatch::try_from_iter_with_nullable([("user", Arc::new(users) as ArrayRef, true)]).unwrap();
    let columns = Columns::new(&batch);
    let paths = RowPaths::new(Path::parse("user").unwrap());
    let keeps = |_: &Outcome| false;
    let (rows, bad) = Rows::arrange(&columns, 0, 0..4, &paths, None, &keeps);
    let expected = "row 2: \"user\" is null (a column of Utf8); expected the id of a group: a string or a number";
    assert_eq!(bad.map(|bad| bad.to_string()).as_deref(), Some(expected));
    assert_eq!((rows.end(), rows.name(0), rows.name(1)), (2, "a", "b"));
    assert_eq!(columns.lacks(&Path::parse("usr").unwrap()).as_deref(), Some("\"user\""));
}
