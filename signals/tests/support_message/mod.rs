//! A scripted DNS, and messages that are signed and sealed with fixed keys.
#![allow(dead_code, reason = "tests and benchmarks each use a part")]

use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults, DkimOutput};
use mail_parser::decoders::base64::base64_decode;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use signals::dns::{Answer, Dns, Failure, Found, Mx, Name};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// RFC 8032 section 7.1, test 1.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
pub(crate) const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
pub(crate) const RSA_2048: &str = include_str!("../../../fixtures/keys/rsa-2048.pem");
pub(crate) const RSA_2048_PUBLIC: &str = include_str!("../../../fixtures/keys/rsa-2048.pub");
pub(crate) const RSA_768_PUBLIC: &str = include_str!("../../../fixtures/keys/rsa-768.pub");

pub(crate) const PLAIN: &str = "From: Ann <ann@src.example>\r\nTo: bob@dest.example\r\nSubject: hello\r\n\
    Date: Mon, 1 Jun 2026 10:00:00 +0000\r\nMessage-ID: <1@src.example>\r\n\r\none line\r\n";

#[derive(Clone, Debug)]
enum Line {
    Txt(Vec<String>),
    Fails(Failure),
    Silent,
}

/// Answers by name; what is not scripted does not exist.
#[derive(Clone, Default)]
pub(crate) struct Script {
    lines: Arc<HashMap<String, Line>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn with(mut self, name: &str, line: Line) -> Self {
        Arc::make_mut(&mut self.lines).insert(name.to_owned(), line);
        self
    }

    pub(crate) fn txt(self, name: &str, texts: &[&str]) -> Self {
        self.with(name, Line::Txt(texts.iter().map(|text| (*text).to_owned()).collect()))
    }

    pub(crate) fn fails(self, name: &str, failure: Failure) -> Self {
        self.with(name, Line::Fails(failure))
    }

    pub(crate) fn silent(self, name: &str) -> Self {
        self.with(name, Line::Silent)
    }

    /// The key of [`ed25519`] or [`rsa`] under each name.
    pub(crate) fn keys(mut self, names: &[&str]) -> Self {
        for name in names {
            let record = if name.starts_with("rsa.") {
                format!("v=DKIM1; k=rsa; p={RSA_2048_PUBLIC}")
            } else {
                format!("v=DKIM1; k=ed25519; p={ED25519_PUBLIC}")
            };
            self = self.txt(name, &[&record]);
        }
        self
    }

    /// What has been asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn line(&self, name: &Name) -> Result<Vec<String>, Failure> {
        let name = name.to_ascii();
        let name = name.trim_end_matches('.');
        self.asked.lock().unwrap().push(name.to_owned());
        match self.lines.get(name) {
            Some(Line::Txt(texts)) => Ok(texts.clone()),
            Some(Line::Fails(failure)) => Err(*failure),
            Some(Line::Silent) => std::future::pending().await,
            None => Err(Failure::NoName),
        }
    }
}

impl Dns for Script {
    async fn a(&self, name: &Name) -> Answer<Ipv4Addr> {
        self.line(name).await.and(Err(Failure::NoData))
    }

    async fn aaaa(&self, name: &Name) -> Answer<Ipv6Addr> {
        panic!("asked for AAAA of {name}")
    }

    async fn mx(&self, name: &Name) -> Answer<Mx> {
        panic!("asked for MX of {name}")
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Name> {
        panic!("asked for PTR of {address}")
    }

    async fn txt(&self, name: &Name) -> Answer<Box<[u8]>> {
        let texts = self.line(name).await?;
        let records = texts.into_iter().map(|text| text.into_bytes().into_boxed_slice()).collect();
        Ok(Found { records, age: Duration::ZERO })
    }
}

pub(crate) fn ed25519() -> Ed25519Key {
    let decode = |text: &str| base64_decode(text.as_bytes()).unwrap();
    Ed25519Key::from_seed_and_public_key(&decode(ED25519_SEED), &decode(ED25519_PUBLIC)).unwrap()
}

pub(crate) fn rsa() -> RsaKey<Sha256> {
    RsaKey::from_key_der(PrivateKeyDer::from_pem_slice(RSA_2048.as_bytes()).unwrap()).unwrap()
}

/// A signer with the Ed25519 key; `selector` is what the key is published under.
pub(crate) fn signer(domain: &str, selector: &str) -> DkimSigner<Ed25519Key, Done> {
    signer_of(domain, selector, &["From", "To", "Subject", "Date", "Message-ID"])
}

/// One that signs these fields.
pub(crate) fn signer_of(domain: &str, selector: &str, fields: &[&str]) -> DkimSigner<Ed25519Key, Done> {
    DkimSigner::from_key(ed25519())
        .domain(domain)
        .selector(selector)
        .headers(fields.iter().copied())
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed)
}

/// The signature's field, with its line end.
pub(crate) fn signature(signer: &DkimSigner<Ed25519Key, Done>, message: &str) -> String {
    signer.sign(message.as_bytes()).unwrap().to_header()
}

pub(crate) fn signature_rsa(domain: &str, message: &str) -> String {
    let signer = DkimSigner::from_key(rsa()).domain(domain).selector("rsa").headers([
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
    ]);
    signer.sign(message.as_bytes()).unwrap().to_header()
}

/// The message with a signature of `domain` by its key `ed`.
pub(crate) fn signed(domain: &str, message: &str) -> String {
    signature(&signer(domain, "ed"), message) + message
}

/// The message with one more ARC set by `domain`'s key `arc`, on top of a chain that `domain` found intact.
pub(crate) fn sealed(domain: &str, message: &str) -> String {
    let parsed = AuthenticatedMessage::parse(message.as_bytes()).unwrap();
    let none: [DkimOutput<'_>; 0] = [];
    let results = AuthenticationResults::new(domain).with_dkim_results(&none, "");
    let sealer = ArcSealer::from_key(ed25519())
        .domain(domain.to_owned())
        .selector("arc".to_owned())
        .headers(["From", "To", "Subject", "Date", "DKIM-Signature"]);
    let mut chain = ArcOutput::default();
    let sets = parsed.as_headers.iter().zip(&parsed.ams_headers).zip(&parsed.aar_headers);
    for ((seal, signature), results) in sets {
        use mail_auth::common::headers::Header;
        chain = chain.with_set(mail_auth::arc::Set {
            signature: Header::new(signature.name, signature.value, &signature.header),
            seal: Header::new(seal.name, seal.value, &seal.header),
            results: Header::new(results.name, results.value, &results.header),
        });
    }
    chain = chain.with_result(mail_auth::DkimResult::Pass);
    sealer.seal(&parsed, &results, &chain).unwrap().to_header() + message
}
