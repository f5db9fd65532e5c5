//! Content addresses and identifiers.

use std::fmt;

/// The first 128 bits of a BLAKE3 hash: the address of a definition or a set, the id of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash([u8; 16]);

impl ContentHash {
    /// Hashes `parts`, each with its length, so that different lists of parts have different hashes.
    pub fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            let part = part.as_ref();
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::first_half(hasher.finalize())
    }

    /// [`of`](Self::of) one part. A short one, such as the id of a document, is hashed at once.
    pub fn of_one(part: &[u8]) -> Self {
        const SHORT: usize = 56;
        if part.len() > SHORT {
            return Self::of([part]);
        }
        let mut block = [0; 8 + SHORT];
        let (length, text) = block.split_at_mut(8);
        length.copy_from_slice(&(part.len() as u64).to_le_bytes());
        text[..part.len()].copy_from_slice(part);
        Self::first_half(blake3::hash(&block[..8 + part.len()]))
    }

    fn first_half(hash: blake3::Hash) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Self(first)
    }

    /// The hash with these [`bytes`](Self::bytes).
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The first 64 bits.
    pub fn short(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let digit = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
        let mut bytes = [0; 16];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        Some(Self(bytes))
    }

    /// Appends the 32 hexadecimal digits.
    pub fn push_to(&self, out: &mut String) {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        for byte in self.0 {
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        }
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_has_one_hash_whatever_its_length() {
        for len in [0, 1, 55, 56, 57, 64, 1_000] {
            let part = vec![b'x'; len];
            assert_eq!(ContentHash::of_one(&part), ContentHash::of([&part]), "{len} bytes");
        }
    }
}
