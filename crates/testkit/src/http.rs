//! An HTTP client that sends exactly what a test says, valid or not.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A blocking client of HTTP/1.1 on one connection.
#[derive(Debug)]
pub struct Http {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

impl Http {
    /// Connects.
    ///
    /// # Panics
    /// If that fails.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the server can be reached")
    }

    /// Connects.
    ///
    /// # Errors
    /// If that fails.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn try_send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += "host: localhost\r\n";
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        self.write(&[head.as_bytes(), body].concat())?;
        self.read()
    }

    /// Sends a request and reads the answer.
    ///
    /// # Panics
    /// If the connection fails.
    #[track_caller]
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        self.try_send(method, path, headers, body.as_ref())
            .unwrap_or_else(|error| panic!("{method} {path} was not answered: {error}"))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// If the connection fails, or ends within the answer.
    pub fn read(&mut self) -> io::Result<Reply> {
        let (status, headers) = self.read_head()?;
        let mut reply = Reply { status, headers, body: Vec::new() };
        if reply.header("transfer-encoding") == "chunked" {
            while let Some(chunk) = self.read_chunk()? {
                reply.body.extend(chunk);
            }
        } else if let Ok(length) = reply.header("content-length").parse() {
            reply.body = vec![0; length];
            self.stream.read_exact(&mut reply.body)?;
        }
        Ok(reply)
    }

    /// Reads the status and the headers of an answer.
    ///
    /// # Errors
    /// If the connection fails, or ends within them.
    pub fn read_head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let bad = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("unexpected line {line:?}"));
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| bad(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads the next chunk of a body that is sent in chunks; `None` at its end.
    ///
    /// # Errors
    /// If the connection fails, or ends within the chunk.
    pub fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// Another handle of the connection, to read and write at the same time.
    ///
    /// # Panics
    /// If the system has no more file descriptors.
    #[must_use]
    pub fn writer(&self) -> TcpStream {
        self.stream.get_ref().try_clone().expect("there are file descriptors")
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
