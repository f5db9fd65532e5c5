//! Letter case.

/// Full Unicode case folding (the Unicode Standard, section 3.13, toCasefold).
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { caseless::default_case_fold_str(text) }
}
