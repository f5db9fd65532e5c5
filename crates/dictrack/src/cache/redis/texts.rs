//! Many short texts in one allocation: a swap of a large group has hundreds.

/// A list of texts.
#[derive(Debug, Default)]
pub(super) struct Texts {
    buffer: String,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) const fn new() -> Self {
        Self { buffer: String::new(), ends: Vec::new() }
    }

    pub(super) fn with_capacity(texts: usize) -> Self {
        Self { buffer: String::with_capacity(texts * 16), ends: Vec::with_capacity(texts) }
    }

    /// Appends what `write` appends to its argument.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.buffer);
        self.ends.push(self.buffer.len());
    }

    pub(super) fn push(&mut self, text: &str) {
        self.push_with(|out| out.push_str(text));
    }

    /// The text at a position.
    pub(super) fn get(&self, at: usize) -> &str {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.buffer[start..self.ends[at]]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were_put() {
        let mut texts = Texts::with_capacity(3);
        for text in ["", "a", "", "😀"] {
            texts.push(text);
        }
        assert_eq!((texts.iter().collect::<Vec<_>>(), texts.get(3)), (vec!["", "a", "", "😀"], "😀"));
    }
}
