//! What a message costs at its end: verifying its signature, and reading its traits.
#![allow(missing_docs, reason = "criterion's macros make the public items")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot measure has nothing to say")]

#[path = "../tests/support_message/mod.rs"]
mod support;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use policy_core::message::{Budget, Collector, HEAD, MAX_MESSAGE, Raw};
use policy_core::name::DomainName;
use signals::authentication::{Authenticator, EnvelopeView, Options, Outcome, Spf};
use signals::content::{self, Addressed};
use std::hint::black_box;
use support::{PLAIN, Script, sealed, signature_rsa, signed};

const SIZES: [(&str, usize); 2] = [("10 kB", 10_000), ("1 MB", 1_000_000)];

fn letter(octets: usize) -> String {
    let line = "words of a letter that goes on for quite a while, and then some more\r\n";
    let mut letter = PLAIN.to_owned();
    while letter.len() < octets {
        letter.push_str(line);
    }
    letter
}

fn verification(c: &mut Criterion) {
    let keys = ["ed._domainkey.src.example", "rsa._domainkey.src.example", "arc._domainkey.list.example"];
    let dns = Script::default().keys(&keys).txt("_dmarc.src.example", &["v=DMARC1; p=reject"]);
    let authenticator = Authenticator::new(dns, Options::default()).unwrap();
    let envelope = EnvelopeView { helo: None, mail_from: DomainName::new("src.example"), spf: Spf::Pass };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = c.benchmark_group("authentication");
    for (size, octets) in SIZES {
        let letter = letter(octets);
        let kinds = [
            ("ed25519", signed("src.example", &letter)),
            ("rsa-2048", signature_rsa("src.example", &letter) + &letter),
            ("ed25519 and a seal", sealed("list.example", &signed("src.example", &letter))),
        ];
        for (kind, raw) in kinds {
            let verify = || runtime.block_on(authenticator.verify(raw.as_bytes(), &envelope, &[]));
            assert_eq!(verify().dkim[0].result, Outcome::Pass);
            group.throughput(Throughput::Bytes(raw.len() as u64));
            group.bench_function(BenchmarkId::new(kind, size), |b| b.iter(|| black_box(verify())));
        }
    }
    group.finish();
}

fn collected(message: &str) -> Raw {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    let mut collector = Collector::new(&Budget::default(), MAX_MESSAGE);
    for field in header.replace("\r\n ", "\n ").split("\r\n") {
        let (name, value) = field.split_once(':').unwrap();
        collector.header(name.as_bytes(), value.as_bytes(), true);
    }
    body.as_bytes().chunks(65_535).for_each(|chunk| collector.body(chunk));
    collector.finish()
}

/// The same number of octets of body, made to be read fast and made to be read slowly.
fn traits(c: &mut Criterion) {
    let header =
        |field: &str| PLAIN.split_once("\r\n\r\n").unwrap().0.to_owned() + "\r\n" + field + "\r\n\r\n";
    let filled = |field: &str, line: &str| header(field) + &line.repeat(HEAD.div_ceil(line.len()));
    let mixed = "Content-Type: multipart/mixed; boundary=b";
    let nested: String = (0..2000)
        .map(|n| format!("--{n}\r\nContent-Type: multipart/mixed; boundary={}\r\n\r\n", n + 1))
        .collect();
    let long: String = (0..300).map(|n| format!("; a*{n}=x")).collect();
    let fragments = format!("Content-Type: text/plain{long}\r\n").repeat(80);
    let messages = [
        ("plain text", filled("X: y", "words of a letter that goes on for a while\r\n")),
        (
            "newsletter",
            filled("Content-Type: text/html", "<p>some words <a href=\"https://a.example\">here</a></p>\r\n"),
        ),
        ("parts without end", filled(mixed, "--b\r\nContent-Type: multipart/mixed; boundary=none\r\n\r\n")),
        ("empty parts", filled(mixed, "--b\r\n\r\n")),
        ("boundary-like lines", filled(mixed, "--bb\r\n")),
        ("nesting", header("Content-Type: multipart/mixed; boundary=0") + &nested),
        (
            "messages in messages",
            filled("Content-Type: message/rfc822", "Content-Type: message/rfc822\r\n\r\n"),
        ),
        ("a header of fragments", header(&fragments)),
        ("open tags", filled("Content-Type: text/html", "<")),
        ("schemes", filled("Content-Type: text/plain", "://")),
    ];
    let mut group = c.benchmark_group("traits");
    for (what, message) in messages {
        let raw = collected(&message);
        group.throughput(Throughput::Bytes(raw.octets().len() as u64));
        group.bench_function(what, |b| b.iter(|| black_box(content::traits(&raw, Addressed::default()))));
    }
    group.finish();
}

fn collection(c: &mut Criterion) {
    let message = letter(1_000_000);
    let mut group = c.benchmark_group("collector");
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function("1 MB", |b| b.iter(|| black_box(collected(&message))));
    group.finish();
}

criterion_group!(benches, verification, traits, collection);
criterion_main!(benches);
