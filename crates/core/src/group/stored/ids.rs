//! The stored form of document ids: `[["hash",seen],…]`. It is read and written without a JSON value for each id,
//! because a group can have a million.

use super::RecordError;
use crate::amount::push_integer;
use crate::hash::ContentHash;
use crate::json::{Bounds, Json};
use crate::time::Timestamp;

/// The id of a document that was applied, and when.
pub type SeenId = (ContentHash, Timestamp);

/// The approximate size of an id as text, in bytes.
const TEXT_BYTES: usize = 53;

/// Writes ids as the part `ids` of a stored group.
pub fn write_ids(ids: &[SeenId], out: &mut String) {
    out.reserve(2 + ids.len() * TEXT_BYTES);
    out.push('[');
    for (at, (hash, seen)) in ids.iter().enumerate() {
        out.push_str(if at == 0 { "[\"" } else { ",[\"" });
        hash.push_to(out);
        out.push_str("\",");
        if seen.micros() < 0 {
            out.push('-');
        }
        push_integer(out, seen.micros().unsigned_abs());
        out.push(']');
    }
    out.push(']');
}

/// Reads the part `ids` of a stored group and appends it to `out`.
///
/// # Errors
/// A [`RecordError`] if it is not what [`write_ids`] writes.
pub fn read_ids(text: &str, out: &mut Vec<SeenId>) -> Result<(), RecordError> {
    let before = out.len();
    out.reserve(text.len() / TEXT_BYTES);
    if read_plain(text, out).is_some() {
        return Ok(());
    }
    // Something else may have added spaces. If not, this parser says what is wrong.
    out.truncate(before);
    let json =
        Json::parse_within(text.as_bytes(), Bounds::STORED).map_err(|error| RecordError::new(error.to_string()))?;
    let list = json.as_list().ok_or_else(|| RecordError::new(format!("{}; expected a list", json.kind())))?;
    out.extend(ids_of(list)?);
    Ok(())
}

/// Reads ids from their JSON.
///
/// # Errors
/// A [`RecordError`] if an item is not a hash and a moment.
pub fn ids_of(list: &[Json]) -> Result<Vec<SeenId>, RecordError> {
    let read = |item: &Json| {
        let [hash, seen] = item.as_list()? else { return None };
        let (amount, _) = seen.as_number()?.to_amount().ok()?;
        let micros = i64::try_from(amount.to_integer()?).ok()?;
        Some((ContentHash::parse(hash.as_str()?)?, Timestamp::from_micros(micros)))
    };
    let bad = || RecordError::new("an id is not a hash with a timestamp");
    list.iter().map(|item| read(item).ok_or_else(bad)).collect()
}

/// Reads exactly the text that [`write_ids`] writes, and nothing else.
fn read_plain(text: &str, out: &mut Vec<SeenId>) -> Option<()> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?;
    if rest.is_empty() {
        return Some(());
    }
    loop {
        let (hash, more) = rest.strip_prefix("[\"")?.split_at_checked(32)?;
        let (seen, more) = more.strip_prefix("\",")?.split_once(']')?;
        let digits = seen.strip_prefix('-').unwrap_or(seen);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        out.push((ContentHash::parse(hash)?, Timestamp::from_micros(seen.parse().ok()?)));
        match more.strip_prefix(',') {
            Some(more) => rest = more,
            None => return more.is_empty().then_some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u64) -> Vec<SeenId> {
        (0..count)
            .map(|at| (ContentHash::of([at.to_le_bytes()]), Timestamp::from_micros(at as i64 * 1_000 - 5)))
            .collect()
    }

    #[test]
    fn ids_come_back_as_they_were_written() {
        for count in [0, 1, 2, 100] {
            let (ids, mut text, mut read) = (ids(count), String::new(), Vec::new());
            write_ids(&ids, &mut text);
            read_ids(&text, &mut read).unwrap();
            assert_eq!(read, ids);
            let mut spaced = Vec::new();
            read_ids(&text.replace(',', " , "), &mut spaced).unwrap();
            assert_eq!(spaced, ids, "spaces change nothing");
        }
    }

    #[test]
    fn what_is_not_ids_is_refused_and_leaves_nothing() {
        let hash = "0123456789abcdef0123456789abcdef";
        for text in [
            String::new(),
            "{}".to_owned(),
            "[".to_owned(),
            format!(r#"[["{hash}",1]"#),
            format!(r#"[["{hash}",1],]"#),
            format!(r#"[["{hash}",1]]x"#),
            format!(r#"[["{hash}",]]"#),
            format!(r#"[["{hash}",1.5]]"#),
            format!(r#"[["{hash}",99999999999999999999]]"#),
            format!(r#"[["{hash}"]]"#),
            format!(r#"[["{hash}",1,2]]"#),
            r#"[["0123",1]]"#.to_owned(),
            r#"[["0123456789abcdef0123456789abcdé",1]]"#.to_owned(),
            "[1]".to_owned(),
        ] {
            let mut read = ids(1);
            assert!(read_ids(&text, &mut read).is_err(), "{text}");
            assert_eq!(read.len(), 1, "{text}");
        }
    }
}
