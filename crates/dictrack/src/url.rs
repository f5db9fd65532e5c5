//! Parsing and displaying URLs of servers. No other file decides how much of a URL is shown.
//!
//! A URL may contain a password, and a malformed URL may contain it anywhere. So secrets are not cut out of it: a valid URL is
//! shown as scheme, hosts and database, and of any other only the scheme.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use dictrack_core::text;

/// The schemes that dictrack connects to.
const SCHEMES: [&str; 6] = ["redis", "rediss", "redis-cluster", "rediss-cluster", "mongodb", "mongodb+srv"];
/// Other schemes that people try, which may be shown as well. Any other text before `://` may be a secret.
const OTHERS: [&str; 18] = [
    "amqp",
    "file",
    "ftp",
    "http",
    "https",
    "kafka",
    "mariadb",
    "memcached",
    "mongo",
    "mysql",
    "nats",
    "postgres",
    "postgresql",
    "redis+unix",
    "sqlite",
    "unix",
    "valkey",
    "valkeys",
];
/// The option that names a file with the password.
const PASSWORD_FILE: &str = "password_file";
/// The maximum size of a file with a URL or a password.
const LONGEST: u64 = 64 * 1024;

/// The parts of a URL.
pub(crate) struct Parts<'a> {
    scheme: &'a str,
    /// As written, before the first colon of the login.
    pub(crate) user: &'a str,
    /// As written.
    pub(crate) password: Option<&'a str>,
    /// Each with its port, if given.
    pub(crate) hosts: Vec<&'a str>,
    /// The part after the slash that follows the hosts.
    pub(crate) path: &'a str,
    pub(crate) options: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    /// Parses a URL. An error says what is wrong, without repeating any part of the URL.
    pub(crate) fn read(url: &'a str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            url.split_once("://").ok_or("no scheme; expected a scheme such as redis:// or mongodb://")?;
        if !is_scheme(scheme) {
            return Err("unknown scheme");
        }
        if url.chars().any(char::is_control) {
            return Err("contains a line break or another control character");
        }
        let (place, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains(['@', '#']) {
            return Err(
                "contains @ or # after the hosts; in a password, write @ as %40, / as %2F, ? as %3F and # as %23",
            );
        }
        let (login, hosts) = place.rsplit_once('@').map_or((None, place), |(login, hosts)| (Some(login), hosts));
        let (user, password) = login
            .unwrap_or_default()
            .split_once(':')
            .map_or_else(|| (login.unwrap_or_default(), None), |(user, password)| (user, Some(password)));
        let hosts: Vec<_> = hosts.split(',').collect();
        for host in &hosts {
            check_host(host, scheme)?;
        }
        let (path, options) = tail.split_once('?').unwrap_or((tail, ""));
        let options = options.split('&').filter(|option| !option.is_empty()).map(option).collect::<Option<_>>();
        let options = options.ok_or("invalid option; expected NAME=VALUE")?;
        Ok(Self { scheme, user, password, hosts, path: path.strip_prefix('/').unwrap_or(path), options })
    }

    #[cfg(any(feature = "mongodb", feature = "redis"))]
    pub(crate) fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// The full URL, with the login.
    pub(crate) fn to_url(&self) -> String {
        let password = self.password.map(|password| format!(":{password}")).unwrap_or_default();
        let at = if self.user.is_empty() && password.is_empty() { "" } else { "@" };
        let options: Vec<_> = self.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if options.is_empty() { "" } else { "?" };
        let (Self { scheme, user, path, .. }, hosts, options) = (self, self.hosts.join(","), options.join("&"));
        format!("{scheme}://{user}{password}{at}{hosts}/{path}{mark}{options}")
    }
}

fn is_scheme(scheme: &str) -> bool {
    SCHEMES.contains(&scheme) || OTHERS.contains(&scheme)
}

fn check_host(host: &str, scheme: &str) -> Result<(), &'static str> {
    // The path of a socket, with slashes as %2F.
    if scheme.starts_with("mongodb") && host.ends_with(".sock") {
        return Ok(());
    }
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((name, port))
            if name.contains(':') && name.chars().all(|of| of.is_ascii_hexdigit() || ":.".contains(of)) =>
        {
            (name, port.strip_prefix(':').or(port.is_empty().then_some("0")).unwrap_or("it is not one"))
        }
        Some(_) => return Err("invalid host address"),
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    if name.is_empty() {
        return Err("no host; note that a login ends with @");
    }
    if port.parse::<u16>().is_err() {
        return Err("port is not a number; note that a login ends with @");
    }
    let fits = |letter: char| letter.is_alphanumeric() || "-._:".contains(letter);
    if name.chars().all(fits) { Ok(()) } else { Err("host is not a valid name or address") }
}

fn option(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty() && name.chars().all(|of| of.is_ascii_alphabetic() || of == '_')).then_some((name, value))
}

/// Shows scheme, hosts and database.
impl fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.hosts.join(","))?;
        let fits = |letter: char| match self.scheme {
            "mongodb" | "mongodb+srv" => letter.is_ascii_alphanumeric() || "-_.".contains(letter),
            _ => letter.is_ascii_digit(),
        };
        if !self.path.is_empty() && self.path.chars().all(fits) { write!(f, "/{}", self.path) } else { Ok(()) }
    }
}

/// A URL as it may be shown in errors and logs: scheme, hosts and database, or only the scheme if the URL is malformed. Never
/// shows a user, a password or options.
///
/// ```
/// assert_eq!(dictrack::url::shown("redis://me:s3cret@cache.internal:6380/2?prefix=shop"), "redis://cache.internal:6380/2");
/// assert_eq!(dictrack::url::shown("redis://me:s3cret"), "redis://…");
/// assert_eq!(dictrack::url::shown("me:s3cret@cache.internal"), "…");
/// ```
pub fn shown(url: &str) -> String {
    match Parts::read(url) {
        Ok(parts) => parts.to_string(),
        Err(_) => match scheme(url) {
            Some(scheme) => format!("{scheme}://…"),
            None => "…".to_owned(),
        },
    }
}

/// The scheme of a URL, if it is a known one.
pub fn scheme(text: &str) -> Option<&str> {
    text.split_once("://").map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme))
}

/// Whether a text that may be a file name was meant to be a URL, even a malformed one: `mongodb:/u:p@h`, `redis:u:p@h`,
/// `u:p@h/shop`, `h:6379,password=p`. A text that starts like a path (`/`, `./`, `../`) is a file name.
pub fn is_meant(text: &str) -> bool {
    let text = text.trim_start_matches(|letter: char| letter.is_whitespace() || "\"'<".contains(letter));
    if is_path(text) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let begins =
        |scheme: &&str| lower.strip_prefix(*scheme).is_some_and(|rest| rest.starts_with(':') || rest.starts_with("//"));
    text.contains("://")
        || SCHEMES.iter().any(begins)
        || text.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
        || lower.split_once('?').is_some_and(|(_, options)| options.contains("pass"))
        // As in connection strings of other programs.
        || ["password=", "passwd=", "pwd="].iter().any(|option| lower.contains(option))
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.starts_with("//") || text.starts_with("./") || text.starts_with("../")
}

/// A text that was given as an argument, in quotes. It may be a URL that was given by mistake.
pub fn quoted(text: &str) -> String {
    if is_meant(text) { format!("\"{}\"", shown(text)) } else { text::quoted(text).to_string() }
}

/// A file name as shown in messages. It may be a URL that was given by mistake.
pub fn shown_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if is_meant(&text) { shown(&text) } else { text::path(path) }
}

/// The URL with the password from the file that its option `password_file` names, percent-encoded. Removes the option.
///
/// # Errors
/// A message about the option or its file.
pub fn with_password(url: &str) -> Result<Cow<'_, str>, String> {
    let Ok(parts) = Parts::read(url) else { return Ok(url.into()) };
    let (of_file, others): (Vec<_>, _) = parts.options.iter().copied().partition(|(name, _)| *name == PASSWORD_FILE);
    let file = match of_file[..] {
        [] => return Ok(url.into()),
        [(_, file)] if parts.password.is_none() => decoded(file),
        [_] => return Err("has both a password and the option password_file; use only one of them".to_owned()),
        _ => return Err("the option password_file appears twice".to_owned()),
    };
    let password = read_secret(Path::new(&file)).map_err(|error| match error.kind() {
        // It may be the password itself.
        ErrorKind::NotFound if !is_path(&file) => {
            "password_file: file not found; expected the name of a file that contains the password, not the password"
                .to_owned()
        }
        _ => format!("password_file: {error}"),
    })?;
    let password = encoded(&password);
    Ok(Parts { password: Some(&password), options: others, ..parts }.to_url().into())
}

/// The secret in a file, such as a password or a URL with one, without a trailing line break. Reads it only once, so that a pipe
/// will do.
///
/// # Errors
/// The error of the system, or that the file is empty, is not UTF-8, has more than one line, or is larger than 64 KiB. It names
/// the file but shows nothing of its content.
pub fn read_secret(path: &Path) -> io::Result<String> {
    let named = |problem: &dyn fmt::Display, kind| io::Error::new(kind, format!("{}: {problem}", shown_path(path)));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| named(&error, error.kind()))?;
    let invalid = |problem: &str| Err(named(&problem, ErrorKind::InvalidData));
    if bytes.len() as u64 > LONGEST {
        return invalid("file is larger than 64 KiB; expected one line");
    }
    // The error itself is dropped, since it contains the bytes.
    let Ok(text) = std::str::from_utf8(&bytes) else { return invalid("file is not valid UTF-8") };
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return invalid("file is empty");
    }
    if text.contains(['\n', '\r', '\0']) {
        return invalid("file has more than one line; expected one");
    }
    Ok(text.to_owned())
}

/// The text with each valid `%XX` decoded.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether each `%` is followed by two hexadecimal digits.
#[cfg(feature = "mongodb")]
pub(crate) fn is_encoded(text: &str) -> bool {
    let digits = |part: &str| part.len() >= 2 && part.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    text.split('%').skip(1).all(digits)
}

/// The text with all bytes that are special in a URL as `%XX`.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    let each = text.as_bytes().iter().map(|byte| match plain(byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_url_is_shown_without_login_and_options() {
        for (url, expected) in [
            ("redis://me:s3cret@db:1/2?prefix=x", "redis://db:1/2"),
            ("redis-cluster://me:s3cret@a:1,b:2", "redis-cluster://a:1,b:2"),
            ("rediss://:s3c@ret:1@[::1]:6379", "rediss://[::1]:6379"),
            ("mongodb://me:s3cret@a,b/shop?replicaSet=s3cret", "mongodb://a,b/shop"),
            ("mongodb://me:s3cret@a,b/", "mongodb://a,b"),
            ("mongodb://me@%2Ftmp%2Fmongodb-27017.sock/shop", "mongodb://%2Ftmp%2Fmongodb-27017.sock/shop"),
            ("mongodb+srv://me:s3cret@cluster0.example/a%20b", "mongodb+srv://cluster0.example"),
            ("redis://host", "redis://host"),
            ("redis://host?password=s3cret", "redis://host"),
            ("redis://host/s3cret", "redis://host"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn of_a_malformed_url_only_a_known_scheme_is_shown() {
        for url in [
            "redis://:s3cret",
            "redis://me:s3cret",
            "redis://me:s3/cret@h",
            "redis://me:s3?cret@h",
            "redis://me:s3#cret@h",
            "redis://h?s3cret",
            "redis://h?password=s3@cret",
            "redis://me:s3cret@h:port",
            "redis://me:s3cret@h h",
            "redis://me:s3\ncret@h",
            "redis://me:s3cret@",
            "redis://s3cret@:1",
            "redis://h#s3cret",
            "redis://[s3cret]",
        ] {
            assert_eq!(shown(url), "redis://…", "{url:?}");
        }
        for url in
            ["me:s3cret@h", "me:s3cret://x@h", "s3cret://h", "redis:me:s3cret@h", "redis:/me:s3cret@h", "s3cret", ""]
        {
            assert_eq!(shown(url), "…", "{url:?}");
        }
    }

    #[test]
    fn a_mistyped_url_is_not_taken_for_a_file() {
        for url in [
            "redis://h",
            "mongodb:/u:p@h",
            "redis:u:p@h",
            "mongodb//u:p@h",
            "MongoDB:\\\\u:p@h",
            "u:p@h/db",
            "//u:p@h/db",
            " mongodb://h",
            "'mongodb//h'",
            "x?password=1",
            "postgres://h",
            "://x",
            "redis:6379",
            "h:6379,password=p",
            "host=h user=u Password=p",
            "Server=h;Pwd=p",
        ] {
            assert!(is_meant(url), "{url}");
        }
        for file in [
            "shop.db",
            "./a://b",
            "../u:p@h",
            "/a b://c",
            "C:\\x",
            "mongodb/shop.db",
            "redis.db",
            "a@b.db",
            "10:30.db",
            "",
            "é:x",
            "password.db",
            "./password=.db",
        ] {
            assert!(!is_meant(file), "{file}");
        }
    }

    #[test]
    fn a_password_comes_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pass word");
        let written = path.display().to_string().replace(' ', "%20");
        let read = |url: &str, text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            with_password(&url.replace("FILE", &written)).map(Cow::into_owned)
        };
        for (url, text, expected) in [
            ("redis://h?password_file=FILE", "s3cr@t/?#: \n", "redis://:s3cr%40t%2F%3F%23%3A%20@h/"),
            (
                "redis://me@h:1/2?prefix=a&password_file=FILE&idle=1h",
                "é\r\n",
                "redis://me:%C3%A9@h:1/2?prefix=a&idle=1h",
            ),
            ("mongodb://me@a,b/shop?password_file=FILE", "x", "mongodb://me:x@a,b/shop"),
            ("redis://me:x@h?prefix=a", "", "redis://me:x@h?prefix=a"),
            ("not a url?password_file=FILE", "", "not a url?password_file=FILE"),
        ] {
            assert_eq!(read(url, text.as_bytes()).unwrap(), expected.replace("FILE", &written), "{url}");
        }
        let url = "redis://h?password_file=FILE";
        let long = vec![b'x'; LONGEST as usize + 1];
        for (text, problem) in [
            (&b""[..], "file is empty"),
            (b"\n", "file is empty"),
            (b"s3cret\nmore\n", "more than one line"),
            (b"s3cret\xff", "not valid UTF-8"),
            (&long, "larger than 64 KiB"),
        ] {
            let error = read(url, text).unwrap_err();
            assert!(error.contains(problem) && error.contains("pass word: ") && !error.contains("s3cret"), "{error}");
        }
        let error = with_password("redis://h?password_file=s3cret").unwrap_err();
        assert!(error.contains("file not found") && !error.contains("s3cret"), "{error}");
        let error = with_password("redis://h?password_file=/nothing/here").unwrap_err();
        assert!(error.contains("password_file: /nothing/here: No such file"), "{error}");
        assert!(with_password("redis://u:p@h?password_file=x").unwrap_err().contains("use only one of them"));
        assert!(with_password("redis://h?password_file=x&password_file=y").unwrap_err().contains("twice"));
        assert!(with_password("redis://h?password_file=/dev/zero").unwrap_err().contains("larger than 64 KiB"));
    }
}
