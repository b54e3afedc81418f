//! Plays a fixture: what a mail server sends, and below each event what must come of it.
//!
//! One event a line, as the mail server sends it. Indented below it: `asked` and `told`, the lines that the
//! recorder must write, in their order; `reply`, what the mail server gets. Nothing else may happen. An
//! `answer` line says how the engine answers its next question, `option` lines come before the first event.

use super::recorder::Recorder;
use super::{Server, soon};
use indymilter_test::{Actions, MacroStage, ProtoOpts, Status, TestConnection};
use milter::{Forgeries, Options};
use policy_core::answer::{DeferCode, Reply, ReplyText};
use policy_core::name::DomainName;
use std::time::Duration;

/// Plays the fixture `name`.
pub(crate) async fn play(name: &str) {
    let path = format!("{}/../fixtures/milter/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut player = Player::new(name, options(&text)).await;
    for (number, line) in lines {
        player.place = format!("{name}.txt:{}", number + 1);
        match line.strip_prefix("  ") {
            Some(expected) => player.expect(expected).await,
            None => player.event(line).await,
        }
    }
    player.end().await;
}

struct Player {
    place: String,
    server: Server,
    recorder: Recorder,
    connection: Option<TestConnection>,
    reply: Option<String>,
}

impl Player {
    async fn new(name: &str, options: Options) -> Self {
        let recorder = Recorder::default();
        let server = Server::start(recorder.clone(), options, Duration::ZERO).await;
        Self { place: name.to_owned(), server, recorder, connection: None, reply: None }
    }

    async fn event(&mut self, line: &str) {
        self.nothing_left();
        let (event, rest) = line.split_once(' ').unwrap_or((line, ""));
        match event {
            "option" => {}
            "offer" => self.connection = Some(self.offer(rest).await),
            "answer" => self.recorder.answer(answer(rest)),
            "close" => soon(self.connection.take().unwrap().close()).await.unwrap(),
            _ => self.reply = soon(self.send(event, rest)).await,
        }
    }

    async fn offer(&self, rest: &str) -> TestConnection {
        let field = |name: &str| {
            let value = rest.split(' ').find_map(|field| field.strip_prefix(name)).unwrap();
            u32::from_str_radix(value.strip_prefix("0x").unwrap_or(value), 16).unwrap()
        };
        let actions = Actions::from_bits_truncate(field("actions="));
        let options = ProtoOpts::from_bits_truncate(field("options="));
        self.server.connect_offering(field("version="), actions, options).await
    }

    async fn send(&mut self, event: &str, rest: &str) -> Option<String> {
        let connection = self.connection.as_mut().unwrap();
        let status = match event {
            "macros" => {
                let (stage, macros) = macros(rest);
                connection.macros(stage, macros).await.unwrap();
                return None;
            }
            "abort" => {
                connection.abort().await.unwrap();
                return None;
            }
            "helo" => connection.helo(rest).await,
            "mail" => connection.mail(arguments(rest)).await,
            "rcpt" => connection.rcpt(arguments(rest)).await,
            "header" => {
                let (name, value) = rest.split_once(": ").unwrap();
                connection.header(name, unescaped(value)).await
            }
            "body" => connection.body(unescaped(rest).into_bytes()).await,
            "eom" => connection.eom().await.map(|(_, status)| status),
            event => panic!("{}: no event {event}", self.place),
        };
        Some(words(status.unwrap_or_else(|error| panic!("{}: {error}", self.place))))
    }

    async fn expect(&mut self, expected: &str) {
        let seen = match expected.strip_prefix("reply ") {
            Some(_) => format!("reply {}", self.reply.take().unwrap_or_default()),
            None => self.recorder.line().await,
        };
        assert_eq!(seen, expected, "{}", self.place);
    }

    fn nothing_left(&mut self) {
        assert_eq!(self.recorder.rest(), Vec::<String>::new(), "{}", self.place);
        // A fixture leaves out the replies that only say "go on".
        let reply = self.reply.take().filter(|reply| reply != "continue" && reply != "none");
        assert_eq!(reply, None, "{}", self.place);
    }

    async fn end(mut self) {
        self.nothing_left();
        self.server.ended().await;
        assert_eq!(self.recorder.rest(), Vec::<String>::new(), "{} at the end", self.place);
    }
}

/// `option trusted ID` trusts an authserv-id; `option forgeries removed` trusts the filter's header fields.
fn options(text: &str) -> Options {
    let mut options = Options::default();
    for option in text.lines().filter_map(|line| line.strip_prefix("option ")) {
        match option.split_once(' ').unwrap() {
            ("trusted", id) => options.trusted_authserv_ids.push(DomainName::new(id).unwrap()),
            ("forgeries", "removed") => {
                options.filter_headers.iter_mut().for_each(|header| header.forgeries = Forgeries::Removed);
            }
            other => panic!("no option {other:?}"),
        }
    }
    options
}

fn answer(text: &str) -> Reply {
    let (code, text) = text.split_once(' ').unwrap();
    let text = ReplyText::new(text);
    match code {
        "421" => Reply::Defer(DeferCode::Closing, text),
        "451" => Reply::Defer(DeferCode::Local, text),
        "550" => Reply::Reject(text),
        code => panic!("no answer {code}"),
    }
}

/// Words, parted by spaces that do not stand in double quotes.
fn arguments(line: &str) -> Vec<String> {
    let mut quoted = false;
    let words = line.split(|c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    });
    words.map(str::to_owned).collect()
}

fn unescaped(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")
}

/// `STAGE name=value name=value`; a value with spaces stands in double quotes.
fn macros(line: &str) -> (MacroStage, Vec<(String, String)>) {
    let (stage, mut rest) = line.split_once(' ').unwrap();
    let mut macros = Vec::new();
    while let Some((name, tail)) = rest.split_once('=') {
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => tail.split_at(tail.find(' ').unwrap_or(tail.len())),
        };
        macros.push((name.to_owned(), value.to_owned()));
        rest = tail.trim_start();
    }
    let stage = match stage {
        "connect" => MacroStage::Connect,
        "helo" => MacroStage::Helo,
        "mail" => MacroStage::Mail,
        "rcpt" => MacroStage::Rcpt,
        "data" => MacroStage::Data,
        "eoh" => MacroStage::Eoh,
        "eom" => MacroStage::Eom,
        stage => panic!("no stage {stage}"),
    };
    (stage, macros)
}

fn words(status: Status) -> String {
    let text =
        |message: Option<std::ffi::CString>| message.map(|m| m.into_string().unwrap()).unwrap_or_default();
    match status {
        Status::Continue => "continue".to_owned(),
        Status::Noreply => "none".to_owned(),
        Status::Tempfail { message } => format!("tempfail {}", text(message)),
        Status::Reject { message } => format!("reject {}", text(message)),
        other => format!("{other:?}").to_lowercase(),
    }
}
