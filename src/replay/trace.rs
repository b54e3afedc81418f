//! Reads labelled traces: one message a line, tab-separated under a header, plain or gzip, sorted by time.
//!
//! Columns are found by their names in the header. A wrong line is an error that names file and line; the
//! last line may be torn (a recording that was cut off) and is then counted and left out.
//!
//! Known limit: a signature in a trace is a presence, not a verification, so it never makes a domain
//! verified here.

use flate2::read::MultiGzDecoder;
use policy_core::facts::{Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId};
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::time::Timestamp;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Longest line that is read.
const MAX_LINE: u64 = 64 << 10;
/// What a gzip file begins with (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line cannot be understood.
    #[error("{}:{line}: {what}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// One message of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its number in the trace.
    pub seq: u64,
    /// When it came.
    pub time: Timestamp,
    /// The client.
    pub client: Client,
    /// The envelope's sender.
    pub sender: Option<Sender>,
    /// Its recipients.
    pub recipients: u32,
    /// Octets.
    pub size: Option<u64>,
    /// The domain of a signature that it carries, which nobody has verified.
    pub signed: Option<DomainName>,
    /// What people or a filter called it.
    pub spam: bool,
}

impl Row {
    /// What a front end would have known of the message at its end.
    pub fn facts(&self) -> Facts {
        Facts {
            session: SessionId::Connection(FrontEnd::Milter, self.seq),
            front_end: FrontEnd::Milter,
            stage: Stage::EndOfMessage,
            transaction: Some(TransactionId(self.seq)),
            client: self.client.clone(),
            envelope: Envelope {
                sender: self.sender.clone(),
                recipient: Mailbox::new("recipient@recipient.invalid"),
                accepted_recipients: Some(self.recipients.saturating_sub(1)),
            },
            message: Message { size: self.size, signed: self.signed.clone(), ..Message::default() },
        }
    }
}

/// A trace that has been read.
#[derive(Debug, Default)]
pub struct Trace {
    /// Its messages, in order of time.
    pub rows: Vec<Row>,
    /// Last lines that were torn.
    pub torn: u64,
}

/// Reads a trace, and beside `NAME.tsv.gz` the file `NAME.ids.tsv.gz` when there is one.
pub fn read(file: &Path) -> Result<Trace, TraceError> {
    let unconfirmed = match ids_of(file) {
        Some(ids) => unconfirmed(&ids)?,
        None => HashSet::new(),
    };
    let mut lines = Lines::open(file)?;
    let columns = Columns::of(&mut lines)?;
    let mut trace = Trace::default();
    let mut last = Timestamp::default();
    while let Some(line) = lines.next()? {
        match columns.row(&line, &unconfirmed) {
            Ok(row) if row.time < last => return Err(lines.wrong("not sorted by time")),
            Ok(row) => {
                last = row.time;
                trace.rows.push(row);
            }
            Err(_) if lines.torn => trace.torn += 1,
            Err(what) => return Err(lines.wrong(what)),
        }
    }
    trace.torn += u64::from(lines.cut);
    Ok(trace)
}

/// The file that says which reverse names were not confirmed, if it exists.
fn ids_of(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let (stem, end) = name.split_once(".tsv")?;
    let ids = file.with_file_name(format!("{stem}.ids.tsv{end}"));
    ids.is_file().then_some(ids)
}

/// The messages whose reverse name does not resolve back.
fn unconfirmed(file: &Path) -> Result<HashSet<u64>, TraceError> {
    let mut lines = Lines::open(file)?;
    let header = lines.next()?.ok_or_else(|| lines.wrong("no header"))?;
    let seq = place(&header, "seq").map_err(|what| lines.wrong(what))?;
    let fails = place(&header, "fcrdns_fail").map_err(|what| lines.wrong(what))?;
    let mut unconfirmed = HashSet::new();
    while let Some(line) = lines.next()? {
        let fields: Vec<&str> = line.split('\t').collect();
        match (fields.get(seq).and_then(|seq| seq.parse().ok()), fields.get(fails)) {
            (Some(seq), Some(&"1")) => drop(unconfirmed.insert(seq)),
            (Some(_), Some(_)) => (),
            _ if lines.torn => (),
            _ => return Err(lines.wrong("too few columns")),
        }
    }
    Ok(unconfirmed)
}

fn place(header: &str, name: &str) -> Result<usize, String> {
    header.split('\t').position(|column| column == name).ok_or_else(|| format!("no column {name:?}"))
}

/// Where the columns are.
struct Columns {
    count: usize,
    places: [usize; 11],
}

/// The columns of a trace.
pub const COLUMNS: [&str; 11] = [
    "seq",
    "unix_time",
    "client_ip",
    "rdns_name",
    "helo",
    "mail_from",
    "rcpt_count",
    "size_bytes",
    "has_dkim_sig",
    "dkim_domain",
    "label",
];

impl Columns {
    fn of(lines: &mut Lines) -> Result<Self, TraceError> {
        let header = lines.next()?.ok_or_else(|| lines.wrong("no header"))?;
        let mut places = [0; 11];
        for (at, name) in places.iter_mut().zip(COLUMNS) {
            *at = place(&header, name).map_err(|what| lines.wrong(what))?;
        }
        Ok(Self { count: header.split('\t').count(), places })
    }

    fn row(&self, line: &str, unconfirmed: &HashSet<u64>) -> Result<Row, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != self.count {
            return Err(format!("{} columns instead of {}", fields.len(), self.count));
        }
        let [seq, time, address, name, helo, sender, recipients, size, signed, domain, label] =
            self.places.map(|place| fields[place]);
        let present = |text: &'_ str| (text != "-" && !text.is_empty()).then(|| text.to_owned());
        let seq = number(seq, "seq")?;
        let address: IpAddr = address.parse().map_err(|_| format!("client_ip {address:?}"))?;
        let reverse_name = present(name).and_then(|name| DomainName::new(&name));
        let client = Client {
            name: reverse_name.clone().filter(|_| !unconfirmed.contains(&seq)),
            reverse_name,
            helo: present(helo).map(Into::into),
            ..Client::new(address)
        };
        Ok(Row {
            seq,
            time: Timestamp::from_secs(number(time, "unix_time")?),
            client,
            sender: match sender {
                "<>" => Some(Sender::Null),
                _ => present(sender).and_then(|sender| Sender::new(&sender)),
            },
            recipients: present(recipients).map_or(Ok(1), |text| number(&text, "rcpt_count"))? as u32,
            size: present(size).map(|size| number(&size, "size_bytes")).transpose()?,
            signed: present(domain).filter(|_| signed == "1").and_then(|domain| DomainName::new(&domain)),
            spam: match label {
                "spam" => true,
                "ham" => false,
                _ => return Err(format!("label {label:?}")),
            },
        })
    }
}

fn number(text: &str, column: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{column} {text:?}"))
}

/// The lines of a file, counted.
struct Lines {
    file: PathBuf,
    reader: Box<dyn BufRead>,
    line: u64,
    /// The line just read does not end: it is the last and may be torn.
    torn: bool,
    /// The compressed file ended in the middle, and the text at a line's end.
    cut: bool,
}

impl Lines {
    fn open(file: &Path) -> Result<Self, TraceError> {
        let io = |source| TraceError::Io { file: file.to_owned(), source };
        let mut opened = BufReader::with_capacity(1 << 16, File::open(file).map_err(io)?);
        let reader: Box<dyn BufRead> = if opened.fill_buf().map_err(io)?.starts_with(&GZIP) {
            Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(opened)))
        } else {
            Box::new(opened)
        };
        Ok(Self { file: file.to_owned(), reader, line: 0, torn: false, cut: false })
    }

    /// The next line without its end.
    fn next(&mut self) -> Result<Option<String>, TraceError> {
        let mut line = Vec::new();
        match (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.cut = line.is_empty(),
            Err(source) => return Err(TraceError::Io { file: self.file.clone(), source }),
        }
        if self.cut {
            return Ok(None);
        }
        self.line += 1;
        self.torn = line.pop_if(|&mut last| last == b'\n').is_none();
        if self.torn && line.len() as u64 >= MAX_LINE {
            self.torn = false;
            return Err(self.wrong("too long"));
        }
        String::from_utf8(line).map(Some).map_err(|_| self.wrong("not UTF-8"))
    }

    fn wrong(&self, what: impl Into<String>) -> TraceError {
        TraceError::Line { file: self.file.clone(), line: self.line, what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const HEADER: &str = "seq\tunix_time\tclient_ip\trdns_name\thelo\tmail_from\trcpt_count\tsize_bytes\thas_dkim_sig\tdkim_domain\tlabel\n";
    const HAM: &str = "1\t1700000000\t192.0.2.1\tmx.src.example\tmx.src.example\t00c0ffee@src.example\t2\t1000\t1\tsrc.example\tham\n";
    const SPAM: &str = "2\t1700000001\t2001:db8::1\t-\tpc\t<>\t-\t-\t0\t-\tspam\n";

    /// A file of the system's directory for them, gone with the test.
    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str, content: &[u8]) -> Self {
            let file = std::env::temp_dir().join(format!("tempfail-trace-{}-{name}", std::process::id()));
            std::fs::write(&file, content).unwrap();
            Self(file)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.0));
        }
    }

    #[test]
    fn rows_are_read_plain_and_compressed() {
        let text = [HEADER, HAM, SPAM].concat();
        let plain = Temporary::new("plain.tsv", text.as_bytes());
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = Temporary::new("gzip.tsv.gz", &gzip.finish().unwrap());
        let rows = read(&plain.0).unwrap().rows;
        assert_eq!(rows, read(&gzip.0).unwrap().rows);
        assert_eq!((rows[0].spam, rows[0].recipients, rows[0].size), (false, 2, Some(1000)));
        assert_eq!(rows[0].client.name, DomainName::new("mx.src.example"));
        assert_eq!(rows[0].signed, DomainName::new("src.example"));
        assert_eq!((rows[1].spam, &rows[1].sender, &rows[1].signed), (true, &Some(Sender::Null), &None));
        assert!(rows[0].facts().message.verified.is_empty(), "a signature in a trace verifies nothing");
    }

    #[test]
    fn an_unconfirmed_reverse_name_is_no_name() {
        let trace = Temporary::new("ids-case.tsv", [HEADER, HAM].concat().as_bytes());
        let ids = ids_path(&trace.0);
        std::fs::write(&ids, "seq\tfcrdns_fail\n1\t1\n").unwrap();
        let row = read(&trace.0).unwrap().rows.remove(0);
        std::fs::remove_file(ids).unwrap();
        assert_eq!((row.client.name, row.client.reverse_name), (None, DomainName::new("mx.src.example")));
    }

    fn ids_path(trace: &Path) -> PathBuf {
        PathBuf::from(trace.to_str().unwrap().replace(".tsv", ".ids.tsv"))
    }

    #[test]
    fn errors_name_file_and_line_and_a_torn_last_line_is_counted() {
        let wrong = Temporary::new("wrong.tsv", [HEADER, HAM, "2\tx\n", SPAM].concat().as_bytes());
        let error = read(&wrong.0).unwrap_err().to_string();
        assert!(error.contains("wrong.tsv:3: 2 columns instead of 11"), "{error}");
        let torn = Temporary::new("torn.tsv", [HEADER, HAM, &SPAM[..20]].concat().as_bytes());
        let trace = read(&torn.0).unwrap();
        assert_eq!((trace.rows.len(), trace.torn), (1, 1));
    }
}
