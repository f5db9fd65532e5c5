//! Text for URLs.

use std::fmt::Write as _;

/// Writes all but letters, digits and `-._~` as `%XX`: a password may hold what a URL parts its fields by.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
