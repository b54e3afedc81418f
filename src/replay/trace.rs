//! Reads labelled traces: one message a line, tab-separated under a header, plain or gzip, sorted by time.
//!
//! Columns are found by their names in the header. A wrong line is an error that names file and line; the
//! last line may be torn and is then counted and left out. Beside `NAME.tsv.gz` a file `NAME.ids.tsv.gz` may
//! lie, with the same numbers, that says more of them.
//!
//! Known limit: a signature in a trace is a presence, not a verification, so it never makes a domain
//! verified here.

use super::ids::{Ids, Note};
use super::lines::{End, Lines, RecordingError};
use compact_str::CompactString;
use policy_core::facts::{
    Client, Envelope, Facts, FrontEnd, Message, SessionId, Stage, TransactionId, VerifiedDomain,
};
use policy_core::findings::Findings;
use policy_core::name::{DomainName, Mailbox, Sender};
use policy_core::time::Timestamp;
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

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

/// Recipients that a trace's mail is spread over, since it does not name them.
const RECIPIENTS: u64 = 8;

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
    /// A recipient, where it was recorded.
    pub recipient: Option<CompactString>,
    /// How many recipients it had.
    pub recipients: u32,
    /// Octets.
    pub size: Option<u64>,
    /// The domain of a signature that it carries, which nobody has verified.
    pub signed: Option<DomainName>,
    /// Domains that a check passed; a trace knows of none.
    pub verified: Vec<VerifiedDomain>,
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
                recipient: None,
                accepted_recipients: Some(self.recipients),
            },
            message: Message {
                size: self.size,
                verified: self.verified.clone(),
                signed: self.signed.clone(),
                queue_id: None,
                anchor: None,
                raw: None,
            },
            findings: Findings::default(),
        }
    }

    /// What a front end would have known of it at its first recipient.
    pub fn facts_at_recipient(&self) -> Facts {
        let mut facts = self.facts();
        facts.stage = Stage::Rcpt;
        let made_up = || format!("user{}@recipient.invalid", self.seq % RECIPIENTS).into();
        facts.envelope.recipient = Mailbox::new(&self.recipient.clone().unwrap_or_else(made_up));
        facts.envelope.accepted_recipients = Some(0);
        facts.message.signed = None;
        facts
    }
}

/// A trace that has been read.
#[derive(Debug, Default)]
pub struct Trace {
    /// Its messages, in order of time.
    pub rows: Vec<Row>,
    /// Last lines that were torn.
    pub torn: u64,
    /// Compressed files that were cut off.
    pub cut: u64,
}

/// Reads traces as one recording.
pub fn read_all(files: &[PathBuf]) -> Result<Trace, RecordingError> {
    let mut all = Trace::default();
    for file in files {
        let trace = read(file)?;
        all.rows.extend(trace.rows);
        all.torn += trace.torn;
        all.cut += trace.cut;
    }
    all.rows.sort_by_key(|row| row.time);
    Ok(all)
}

/// Reads a trace, and the file of numbers beside it when there is one.
pub fn read(file: &Path) -> Result<Trace, RecordingError> {
    let mut ids = Ids::beside(file)?;
    let mut lines = Lines::open(file)?;
    let columns = Columns::of(&mut lines)?;
    let mut trace = Trace::default();
    let mut last = Timestamp::default();
    // A few octets for each of some hundred that its message takes.
    let mut numbers = HashSet::new();
    while let Some(end) = lines.advance()? {
        trace.cut += u64::from(end == End::Cut);
        match lines.text().and_then(|line| columns.row(line, &mut ids)) {
            Ok(row) if row.time < last => return Err(lines.wrong(out_of_order(row.time, last))),
            Ok(row) if !numbers.insert(row.seq) => return Err(lines.wrong(twice(row.seq))),
            Ok(row) => {
                last = row.time;
                trace.rows.push(row);
            }
            Err(_) if end != End::Whole => trace.torn += 1,
            Err(what) => return Err(lines.wrong(what)),
        }
    }
    Ok(trace)
}

/// What is wrong with a number that another line has.
pub(super) fn twice(seq: u64) -> String {
    format!("seq {seq} is the number of a line before")
}

fn out_of_order(time: Timestamp, last: Timestamp) -> String {
    let [time, last] = [time, last].map(|time| time.as_millis() / 1000);
    format!("not sorted by time: unix_time {time} follows {last}")
}

/// The count of columns, and the places of those asked for.
pub(super) fn header<const N: usize>(
    lines: &mut Lines,
    names: [&str; N],
) -> Result<(usize, [usize; N]), RecordingError> {
    if lines.advance()?.is_none() {
        return Err(lines.wrong("empty: there is no header"));
    }
    let text = lines.text().map_err(|what| lines.wrong(what))?;
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(names) {
        let found = text.split('\t').position(|column| column == name);
        *place = found.ok_or_else(|| lines.wrong(format!("no column {name:?} in the header")))?;
    }
    Ok((text.split('\t').count(), places))
}

/// Whether the first line names no column at all, so that the file is something else than a trace.
fn is_foreign(lines: &Lines) -> bool {
    lines
        .logged()
        .map_or(true, |text| !text.is_empty() && !text.split('\t').any(|column| COLUMNS.contains(&column)))
}

/// Says of a header that is none what the file may be instead.
fn as_other(error: RecordingError) -> RecordingError {
    match error {
        RecordingError::Line { file, line, what } => {
            let what = format!(
                "{what}: this is no trace; if it is a mail log, say --format maillog (of a journal, what \
                 journalctl -o short-iso prints)"
            );
            RecordingError::Line { file, line, what }
        }
        other => other,
    }
}

/// Where the columns are.
struct Columns {
    count: usize,
    places: [usize; COLUMNS.len()],
}

impl Columns {
    fn of(lines: &mut Lines) -> Result<Self, RecordingError> {
        let header = header(lines, COLUMNS);
        // A mail log given without its format comes here first.
        let header = header.map_err(|error| if is_foreign(lines) { as_other(error) } else { error });
        header.map(|(count, places)| Self { count, places })
    }

    fn row(&self, line: &str, ids: &mut Ids) -> Result<Row, String> {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() != self.count {
            return Err(format!("{} columns instead of {}", fields.len(), self.count));
        }
        let [seq, time, address, name, helo, sender, recipients, size, has_signature, domain, label] =
            self.places.map(|place| fields[place]);
        let seq = number(seq, "seq")?;
        let Note { unconfirmed, recipient } = ids.take(seq);
        let name = present(name).and_then(DomainName::new);
        let client = Client {
            name: name.clone().filter(|_| !unconfirmed),
            reverse_name: name,
            helo: present(helo).map(Into::into),
            ..Client::new(address_of(address)?)
        };
        let is_signed = flag(has_signature, "has_dkim_sig")?;
        Ok(Row {
            seq,
            time: time_of(time)?,
            client,
            sender: sender_of(sender),
            recipient,
            recipients: count(recipients)?,
            size: present(size).map(|size| number(size, "size_bytes")).transpose()?,
            verified: Vec::new(),
            signed: present(domain).filter(|_| is_signed).and_then(DomainName::new),
            spam: spam(label)?,
        })
    }
}

pub(super) fn present(text: &str) -> Option<&str> {
    (text != "-" && !text.is_empty()).then_some(text)
}

pub(super) fn number(text: &str, column: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{column} {text:?} is no number"))
}

/// What the ledger can tell apart: evidence is dated in 32 bits.
fn time_of(text: &str) -> Result<Timestamp, String> {
    let seconds = number(text, "unix_time")?;
    let seconds = u32::try_from(seconds)
        .map_err(|_| format!("unix_time {seconds} is after 2106, or not in seconds"))?;
    Ok(Timestamp::from_secs(seconds.into()))
}

fn address_of(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("client_ip {text:?} is no address"))
}

fn sender_of(text: &str) -> Option<Sender> {
    if text == "<>" { Some(Sender::Null) } else { present(text).and_then(Sender::new) }
}

/// A message whose recipients were not counted had one at least.
fn count(text: &str) -> Result<u32, String> {
    let count = present(text).map_or(Ok(1), |text| number(text, "rcpt_count"))?;
    u32::try_from(count).map_err(|_| format!("rcpt_count {count} is too much"))
}

fn flag(text: &str, column: &str) -> Result<bool, String> {
    match text {
        "1" => Ok(true),
        "0" | "-" => Ok(false),
        _ => Err(format!("{column} {text:?} is neither 0 nor 1")),
    }
}

fn spam(label: &str) -> Result<bool, String> {
    match label {
        "spam" => Ok(true),
        "ham" => Ok(false),
        _ => Err(format!("label {label:?} is neither ham nor spam")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAM: &str = "1\t1700000000\t192.0.2.1\tmx.src.example\tmx.src.example\t00c0ffee@src.example\t2\t1000\t1\tsrc.example\tham\n";
    const SPAM: &str = "2\t1700000001\t2001:db8::1\t-\tpc\t<>\t-\t-\t0\t-\tspam\n";

    /// A trace of these lines in a directory of its own, and the file of numbers beside it.
    fn trace(lines: &[&str], ids: Option<&str>) -> Result<Trace, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.tsv");
        std::fs::write(&file, COLUMNS.join("\t") + "\n" + &lines.concat()).unwrap();
        if let Some(ids) = ids {
            std::fs::write(directory.path().join("t.ids.tsv"), ids).unwrap();
        }
        read(&file).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_say_what_the_columns_say() {
        let rows = trace(&[HAM, SPAM], None).unwrap().rows;
        assert_eq!((rows[0].spam, rows[0].recipients, rows[0].size), (false, 2, Some(1000)));
        assert_eq!(rows[0].client.name, DomainName::new("mx.src.example"));
        assert_eq!(rows[0].signed, DomainName::new("src.example"));
        assert_eq!((rows[1].spam, &rows[1].sender, &rows[1].signed), (true, &Some(Sender::Null), &None));
        let facts = rows[0].facts();
        assert!(facts.message.verified.is_empty(), "a signature in a trace verifies nothing");
        assert_eq!((facts.stage, facts.envelope.accepted_recipients), (Stage::EndOfMessage, Some(2)));
        let facts = rows[0].facts_at_recipient();
        assert_eq!((facts.message.signed, facts.envelope.accepted_recipients), (None, Some(0)));
    }

    #[test]
    fn an_unconfirmed_reverse_name_is_no_name() {
        let name = DomainName::new("mx.src.example");
        let client = |ids| trace(&[HAM], ids).unwrap().rows.remove(0).client;
        let unconfirmed = client(Some("seq\tsrc\tfcrdns_fail\n1\tx\t1\n"));
        assert_eq!((unconfirmed.name, unconfirmed.reverse_name), (None, name.clone()));
        let ids = Some("seq\tfcrdns_fail\trcpt\n1\t0\tto@dest.example\n");
        assert_eq!(trace(&[HAM], ids).unwrap().rows[0].recipient.as_deref(), Some("to@dest.example"));
        for ids in [None, Some("seq\tsrc\tfcrdns_fail\n1\tx\t0\n"), Some("seq\tfcrdns_fail\n7\t1\n1")] {
            assert_eq!(client(ids).name, name, "{ids:?}");
        }
        assert!(trace(&[HAM], Some("seq\n1\n")).unwrap_err().contains("t.ids.tsv:1: no column"));
    }

    #[test]
    fn errors_name_file_and_line_and_the_column() {
        let error = |lines: &[&str]| trace(lines, None).unwrap_err();
        assert!(error(&[HAM, "2\tx\n", SPAM]).contains("t.tsv:3: 2 columns instead of 11"));
        for (good, bad, what) in [
            ("192.0.2.1", "192.0.2", "client_ip \"192.0.2\" is no address"),
            ("1700000000", "-1", "unix_time \"-1\" is no number"),
            ("1700000000", "1700000000000", "unix_time 1700000000000 is after 2106, or not in seconds"),
            ("\t2\t", "\t99999999999\t", "rcpt_count 99999999999 is too much"),
            ("\t1000\t", "\tbig\t", "size_bytes \"big\" is no number"),
            ("\t1\tsrc", "\tyes\tsrc", "has_dkim_sig \"yes\" is neither 0 nor 1"),
            ("ham", "Ham", "label \"Ham\" is neither ham nor spam"),
        ] {
            let said = error(&[&HAM.replacen(good, bad, 1)]);
            assert!(said.ends_with(what) && said.contains("t.tsv:2: "), "{said}");
        }
        assert!(error(&[HAM, SPAM, SPAM]).ends_with("t.tsv:4: seq 2 is the number of a line before"));
        let ids = Some("seq\tfcrdns_fail\n2\t0\n1\t1\n1\t0\n");
        let said = trace(&[HAM], ids).unwrap_err();
        assert!(said.ends_with("t.ids.tsv:4: seq 1 is the number of a line before"), "{said}");
        assert!(
            error(&[SPAM, HAM])
                .ends_with("t.tsv:3: not sorted by time: unix_time 1700000000 follows 1700000001")
        );
    }

    #[test]
    fn a_mail_log_without_its_format_is_told_which_to_name() {
        let directory = tempfile::tempdir().unwrap();
        let said = |text: &str| {
            let file = directory.path().join("mail.log");
            std::fs::write(&file, text).unwrap();
            read(&file).unwrap_err().to_string()
        };
        for log in [
            "Nov 21 23:39:11 mx postfix/smtpd[7]: connect from \u{e9}\n",
            "Mon 2026-11-30 19:07:37 UTC mx x\n",
        ] {
            let error = said(log);
            assert!(error.contains("mail.log:1: no column \"seq\" in the header"), "{error}");
            assert!(
                error.contains("--format maillog") && error.contains("journalctl -o short-iso"),
                "{error}"
            );
        }
        let misspelt = said(&COLUMNS.join("\t").replace("label", "class"));
        assert!(misspelt.ends_with("no column \"label\" in the header"), "{misspelt}");
    }

    #[test]
    fn a_torn_last_line_is_counted_and_a_whole_one_without_end_is_read() {
        let torn = trace(&[HAM, &SPAM[..20]], None).unwrap();
        assert_eq!((torn.rows.len(), torn.torn), (1, 1));
        let whole = trace(&[HAM, SPAM.trim_end()], None).unwrap();
        assert_eq!((whole.rows.len(), whole.torn), (2, 0));
    }
}
