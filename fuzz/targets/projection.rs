//! Any bytes as two documents, one after the other: with every projection, a document has the same values and the same errors as
//! without one.
#![no_main]

use std::sync::Arc;

use dictrack::document::Document;
use dictrack::json::{Json, Projected, Projection, Projector};
use dictrack::Path;
use dictrack_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 8] = ["a", "b.a", "b.c.0", "user", "amount", "at", "0", "é"];

fn values(document: &dyn Document) -> Vec<Option<String>> {
    let paths = PATHS.iter().map(|path| Path::parse(path).expect("it has a segment"));
    // As text, since a string with a lone surrogate equals nothing.
    paths.map(|path| document.value_at(&path).map(|value| format!("{:?}", value.to_json()))).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((first, data)) = data.split_first() else { return };
    // The first byte chooses the paths of the projection; the others are looked up too.
    let asked = PATHS.iter().enumerate().filter(|(at, _)| first >> at & 1 == 1);
    let asked = asked.map(|(_, path)| Path::parse(path).expect("it has a segment"));
    let projection = Arc::new(Projection::new(asked));
    let middle = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    bounded(|| {
        let mut projector = Projector::new(Arc::clone(&projection));
        let mut slots = vec![None; projection.slots()];
        // The second document meets the keys that were remembered from the first.
        for text in [&data[..middle], &data[middle..]] {
            match (projector.read(text, &mut slots), Json::parse(text)) {
                (Ok(None), Ok(expected)) => {
                    assert_eq!(values(&Projected::new(&projection, &slots, text)), values(&expected));
                }
                (Ok(Some(whole)), Ok(expected)) => assert_eq!(values(&whole), values(&expected)),
                (Err(error), Err(expected)) => assert_eq!(error, expected),
                (read, expected) => panic!("{read:?} instead of {expected:?}"),
            }
        }
    });
});
