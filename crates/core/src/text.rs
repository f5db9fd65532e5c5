//! How untrusted text is displayed: names, ids, paths, values in documents. No other file decides this.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::path::Path;

/// How many characters of a text are shown.
const SHOWN: usize = 120;
/// How many characters of a sentence are shown.
const SENTENCE: usize = 2_000;

/// Whether a character moves the cursor, ends a line, changes the writing direction, or is invisible. Such characters could
/// make a text look like another one, or like output of the program.
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A text on one line, with hidden characters escaped: `\n`, `\u{202e}`. A long text is shortened, and its length is shown.
///
/// ```
/// assert_eq!(dictrack_core::text::plain("a\nb\u{202e}é"), "a\\nb\\u{202e}é");
/// assert!(dictrack_core::text::plain(&"x".repeat(1 << 20)).ends_with("xxx… (1048576 bytes)"));
/// ```
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN && !text.chars().any(is_hidden) {
        return text.into();
    }
    Shown { text, most: SHOWN }.to_string().into()
}

/// The known name to suggest for a misspelt one: the most similar one, if it differs in up to three letters and up to a third
/// of the longer name.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const MOST: usize = 3;
    let length = name.chars().count();
    let distance = |known: &'a str| {
        let other = known.chars().count();
        if length.abs_diff(other) > MOST {
            return None;
        }
        let distance = strsim::osa_distance(known, name);
        (distance <= MOST && distance * 3 <= length.max(other)).then_some((distance, known))
    };
    known.into_iter().filter_map(distance).min().map(|(_, known)| known)
}

/// The text in quotes, displayed as by [`plain`].
pub fn quoted(text: &str) -> impl Display {
    struct Quoted<'a>(&'a str);
    impl Display for Quoted<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_char('"')?;
            begin(self.0, SHOWN, true, f)?;
            f.write_char('"')?;
            rest(self.0, SHOWN, f)
        }
    }
    Quoted(text)
}

/// A sentence on one line, with hidden characters escaped; up to its first 2,000 characters.
pub fn sentence(text: &str) -> Cow<'_, str> {
    if text.len() <= SENTENCE && !text.chars().any(is_hidden) {
        return text.into();
    }
    Shown { text, most: SENTENCE }.to_string().into()
}

/// JSON with hidden characters in its strings as `\uXXXX`. The meaning does not change.
pub fn json(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| byte < 0x7f) {
        return json.into();
    }
    let mut out = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_hidden(letter) {
            let units =
                letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            out.push_str(&units);
        } else {
            out.push(letter);
        }
    }
    out.into()
}

/// A path, displayed as by [`plain`].
pub fn path(path: &Path) -> String {
    plain(&path.to_string_lossy()).into_owned()
}

struct Shown<'a> {
    text: &'a str,
    most: usize,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        begin(self.text, self.most, false, f)?;
        rest(self.text, self.most, f)
    }
}

/// Writes the first characters of a text.
fn begin(text: &str, most: usize, quoted: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for letter in text.chars().take(most) {
        if is_hidden(letter) {
            letter.escape_default().fmt(f)?;
        } else if quoted && matches!(letter, '"' | '\\') {
            write!(f, "\\{letter}")?;
        } else {
            f.write_char(letter)?;
        }
    }
    Ok(())
}

/// Writes that a text was shortened.
fn rest(text: &str, most: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match text.chars().nth(most) {
        Some(_) => write!(f, "… ({} bytes)", text.len()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escaped() {
        assert_eq!(plain("a\u{1b}[2J\n\u{9b}é\u{202e}\u{7f}"), "a\\u{1b}[2J\\n\\u{9b}é\\u{202e}\\u{7f}");
        assert_eq!(plain("a\u{200b}b\u{feff}\u{e0041}"), "a\\u{200b}b\\u{feff}\\u{e0041}");
        assert_eq!(plain("a\u{13437}b"), "a\\u{13437}b");
        assert_eq!(plain("日本 e\u{301} ❤\u{fe0f} \\\""), "日本 e\u{301} ❤\u{fe0f} \\\"");
        assert_eq!(quoted("a\"\\\r").to_string(), "\"a\\\"\\\\\\r\"");
    }

    #[test]
    fn long_texts_are_shortened_and_show_their_length() {
        let exact = "é".repeat(SHOWN);
        assert_eq!(plain(&exact), exact);
        assert_eq!(plain(&format!("{exact}é")), format!("{exact}… (242 bytes)"));
        assert_eq!(quoted(&format!("{exact}é")).to_string(), format!("\"{exact}\"… (242 bytes)"));
        let controls = plain(&"\u{1b}".repeat(1 << 20)).into_owned();
        assert!(controls.len() < 1000, "{}", controls.len());
        assert_eq!(sentence(&format!("{exact}é\n")), format!("{exact}é\\n"));
        assert!(sentence(&"x".repeat(1 << 20)).ends_with("x… (1048576 bytes)"));
    }

    #[test]
    fn a_suggestion_is_near_for_its_length() {
        let known = ["eq", "lt", "key", "count", "target", "init_progress", "Eire", "GB"];
        let pairs = [
            ("tagret", Some("target")),
            ("init_progres", Some("init_progress")),
            ("inti_progess", Some("init_progress")),
            ("kye", Some("key")),
            ("", None),
            ("xy", None),
            ("Mars", None),
            ("at", None),
            ("cnt", None),
        ];
        for (name, expected) in pairs {
            assert_eq!(nearest(name, known), expected, "{name:?}");
        }
        assert_eq!(nearest(&"count".repeat(1 << 20), known), None);
    }

    #[test]
    fn json_with_hidden_characters_escaped_means_the_same() {
        let text = "{\"a\u{7f}\u{85}é\":\"\u{202e}\u{e0041}\u{200d}\"}";
        let shown = json(text);
        assert_eq!(shown, "{\"a\\u007f\\u0085é\":\"\\u202e\\udb40\\udc41\\u200d\"}");
        let parse = |text: &str| crate::json::Json::parse(text.as_bytes()).unwrap();
        assert_eq!(parse(&shown), parse(text));
    }
}
