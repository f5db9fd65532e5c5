//! Unpacks zstd: all frames.

use std::io::{self, BufReader, Read};

use zstd::stream::read::Decoder;

/// The unpacked content of all frames.
pub(super) struct Unpacked<R: Read>(Decoder<'static, BufReader<R>>);

impl<R: Read> Unpacked<R> {
    pub(super) fn new(packed: R) -> io::Result<Self> {
        Ok(Self(Decoder::new(packed)?))
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(damaged)
    }
}

/// Describes the error as damaged zstd data, unless the disk failed.
fn damaged(error: io::Error) -> io::Error {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => error,
        (None, io::ErrorKind::UnexpectedEof) => io::Error::new(error.kind(), "the zstd data is truncated"),
        (None, kind) => io::Error::new(kind, format!("the zstd data is damaged: {error}")),
    }
}
