//! Unpacks gzip: all members, and the zeros that some programs use as padding.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of each member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The unpacked content of all members.
pub(super) struct Unpacked<R> {
    /// The current member; `None` after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Unpacked<R> {
    pub(super) fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(packed)) }
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member
            && !buffer.is_empty()
        {
            let count = member.read(buffer).map_err(damaged)?;
            if count > 0 {
                return Ok(count);
            }
            self.member = match self.member.take() {
                Some(member) => next(member.into_inner())?.map(GzDecoder::new),
                None => None,
            };
        }
        Ok(0)
    }
}

/// Moves to the next member, if there is one.
fn next<R: BufRead>(mut packed: R) -> io::Result<Option<R>> {
    loop {
        let rest = packed.fill_buf()?;
        match rest.iter().position(|&byte| byte != 0) {
            None if rest.is_empty() => return Ok(None),
            None => {
                let count = rest.len();
                packed.consume(count);
            }
            Some(zeros) if rest[zeros] == MAGIC[0] => {
                packed.consume(zeros);
                return Ok(Some(packed));
            }
            Some(_) => return Err(damaged(io::Error::other("the data after its last member is not gzip"))),
        }
    }
}

/// Describes the error as damaged gzip data, unless the disk failed.
fn damaged(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => error,
        (None, io::ErrorKind::UnexpectedEof) => io::Error::new(error.kind(), "the gzip data is truncated"),
        (None, kind) => io::Error::new(kind, format!("the gzip data is damaged: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn member(text: &str) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    }

    /// The text before the first error, and the error.
    fn unpack(packed: &[u8], capacity: usize) -> (String, Option<String>) {
        let mut text = Vec::new();
        let mut unpacked = Unpacked::new(io::BufReader::with_capacity(capacity, packed));
        let fault = unpacked.read_to_end(&mut text).err().map(|error| error.to_string());
        (String::from_utf8(text).unwrap(), fault)
    }

    #[test]
    fn all_members_are_read_and_padding_is_skipped() {
        let zeros = vec![0; 1000];
        for capacity in [1, 7, 4096] {
            for (parts, text) in [
                (vec![member("ab")], "ab"),
                (vec![member("ab"), member(""), member("cd")], "abcd"),
                (vec![member("ab"), zeros.clone()], "ab"),
                (vec![member("ab"), zeros.clone(), member("cd"), vec![0]], "abcd"),
            ] {
                assert_eq!(unpack(&parts.concat(), capacity), (text.to_owned(), None));
            }
        }
    }

    #[test]
    fn damage_is_reported() {
        let whole = member("ab");
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let cut = whole[..whole.len() - 3].to_vec();
        let ends = "the gzip data is truncated";
        for (packed, words) in [
            ([&whole[..], b"more"].concat(), "the gzip data is damaged: the data after its last member is not gzip"),
            ([&whole[..], &[0, 0, b'm']].concat(), "the gzip data is damaged: the data after"),
            (wrong, "the gzip data is damaged: "),
            (cut, ends),
            (MAGIC.to_vec(), ends),
            ([&whole[..], &MAGIC].concat(), ends),
        ] {
            let (_, fault) = unpack(&packed, 4096);
            assert!(fault.as_ref().is_some_and(|fault| fault.starts_with(words)), "{words}: {fault:?}");
        }
    }
}
