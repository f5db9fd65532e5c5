//! Unpacking gzip: members one after the other, and the zeros that some programs pad them with.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The bytes that begin each member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The text of all members.
pub(super) struct Unpacked<R> {
    /// The member in hand; none behind the last.
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

/// Goes to the member that follows, if there is one.
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
            Some(_) => return Err(damaged(io::Error::other("what follows its last member is not gzip"))),
        }
    }
}

/// Says that it is the packing that is damaged, unless the disk failed.
fn damaged(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => error,
        (None, io::ErrorKind::UnexpectedEof) => {
            io::Error::new(error.kind(), "the gzip data ends before its last member does")
        }
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

    /// The text before the first fault, and the fault.
    fn unpack(packed: &[u8], capacity: usize) -> (String, Option<String>) {
        let mut text = Vec::new();
        let mut unpacked = Unpacked::new(io::BufReader::with_capacity(capacity, packed));
        let fault = unpacked.read_to_end(&mut text).err().map(|error| error.to_string());
        (String::from_utf8(text).unwrap(), fault)
    }

    #[test]
    fn members_follow_each_other_and_zeros_pad_them() {
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
    fn what_is_damaged_is_said_to_be() {
        let whole = member("ab");
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let cut = whole[..whole.len() - 3].to_vec();
        let ends = "the gzip data ends before its last member does";
        for (packed, words) in [
            ([&whole[..], b"more"].concat(), "the gzip data is damaged: what follows its last member is not gzip"),
            ([&whole[..], &[0, 0, b'm']].concat(), "the gzip data is damaged: what follows"),
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
