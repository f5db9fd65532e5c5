//! Which group a document belongs to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use dictrack::{Document, Path};

use super::malformed::Problem;
use super::name;

/// The group of all documents if there is no path.
const ALL: &str = "all";

/// The paths of the parts of a group's id.
#[derive(Clone, Debug)]
pub(super) struct Grouping(Vec<Path>);

impl Grouping {
    /// Puts all documents into one group.
    pub(super) const ALL: Self = Self(Vec::new());

    pub(super) fn paths(&self) -> &[Path] {
        &self.0
    }

    /// The id of a document's group: what is at the path. Of several paths, the parts are separated by commas and quoted as
    /// in CSV, so that different parts never make the same id.
    pub(super) fn group<'a>(&self, document: &'a dyn Document) -> Result<Cow<'a, str>, Problem> {
        match &self.0[..] {
            [] => Ok(ALL.into()),
            [path] => name(document, "group", path),
            paths => {
                let mut group = String::new();
                for path in paths {
                    let part = name(document, "group", path)?;
                    if !group.is_empty() {
                        group.push(',');
                    }
                    if part.is_empty() || part.contains([',', '"', '\n', '\r']) {
                        group.push_str(&format!("\"{}\"", part.replace('"', "\"\"")));
                    } else {
                        group.push_str(&part);
                    }
                }
                Ok(group.into())
            }
        }
    }
}

impl FromStr for Grouping {
    type Err = String;

    /// Reads paths separated by commas. A comma within a path is written as `\,`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut paths, mut path, mut letters) = (Vec::new(), String::new(), text.chars().peekable());
        let mut add = |path: &str| {
            paths.push(Path::parse(path).ok_or("path is empty; expected at least one segment")?);
            Ok::<_, String>(())
        };
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if letters.peek() == Some(&',') => path.extend(letters.next()),
                ',' => add(&std::mem::take(&mut path))?,
                other => path.push(other),
            }
        }
        add(&path)?;
        Ok(Self(paths))
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{}", path.to_string().replace(',', "\\,"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dictrack::json::Json;

    use super::*;

    fn group(paths: &str, document: &str) -> Result<String, String> {
        let grouping: Grouping = paths.parse().unwrap();
        assert_eq!(grouping.to_string(), paths);
        let document = Json::parse(document.as_bytes()).unwrap();
        grouping.group(&document).map(Cow::into_owned).map_err(|problem| problem.to_string())
    }

    #[test]
    fn different_parts_make_different_groups() {
        assert_eq!(group("a", r#"{"a":"x,y"}"#).as_deref(), Ok("x,y"));
        assert_eq!(group("a,b.c", r#"{"a":"x","b":{"c":7.0}}"#).as_deref(), Ok("x,7"));
        assert_eq!(group("a\\,b,c", r#"{"a,b":1,"c":2}"#).as_deref(), Ok("1,2"));
        let texts = ["", "x", ",", "\"", "x,", "\",\"", "\"\"", "\n"];
        let mut seen = std::collections::HashSet::new();
        for a in texts {
            for b in texts {
                let document = Json::Map([("a".into(), a.into()), ("b".into(), b.into())].into_iter().collect());
                let grouping: Grouping = "a,b".parse().unwrap();
                assert!(seen.insert(grouping.group(&document).unwrap().into_owned()), "{a:?} {b:?}");
            }
        }
        assert_eq!(group("a,b", r#"{"a":1}"#), Err("no group at b".to_owned()));
        assert!("a,,b".parse::<Grouping>().is_err() && "".parse::<Grouping>().is_err());
        assert_eq!(Grouping::ALL.group(&Json::Null).unwrap(), "all");
    }
}
