//! The message, read for verification.
//!
//! The fields are read here and not by mail-auth, so that no header costs more than its octets: mail-auth
//! reads every signature, also of kinds that nobody asks for, hashes the body for each `l=` it meets, and
//! compares each name in `h=` with each field.

use super::result::{Cause, Outcome, Signature};
use crate::content::{addresses, fields::Fields};
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::dkim::{self, Canonicalization};
use mail_auth::{AuthenticatedMessage, arc};
use policy_core::name::DomainName;

/// Header fields of a message that is looked at. No mail server adds more than some dozens.
const MAX_FIELDS: usize = 5000;
/// A signature's octets. RSA-8192 takes 1.4 kB in base64; names in `h=` and a copied header take the rest.
const MAX_SIGNATURE: usize = 16 << 10;
/// Signatures that are read, to choose from.
const MAX_READ: usize = 50;
/// Comparisons of names in `h=` with fields that one signature may cost.
const MAX_COMPARED: usize = 200_000;
/// RFC 8617 section 5.1: at most 50 sets; one more is enough to see that there are too many.
const MAX_SETS: usize = 51;

/// A DKIM signature, and the verdict on it if there is one before its key is asked for.
pub(super) struct Candidate<'m> {
    pub(super) signature: dkim::Signature,
    pub(super) domain: DomainName,
    pub(super) verdict: Option<(Outcome, Cause)>,
    name: &'m [u8],
    value: &'m [u8],
}

impl Candidate<'_> {
    pub(super) fn report(&self, (result, cause): (Outcome, Option<Cause>)) -> Signature {
        let selector = self.signature.s.as_str().into();
        Signature { domain: self.domain.clone(), selector, result, cause }
    }
}

/// A message, and the signatures that are looked at.
pub(super) struct Message<'m> {
    /// For mail-auth: the signatures without a verdict, the ARC sets, and the body's hashes.
    pub(super) parsed: AuthenticatedMessage<'m>,
    /// At most as many as asked for: those of From's organisation, then the others.
    pub(super) candidates: Vec<Candidate<'m>>,
    /// The domain of From, when it has exactly one.
    pub(super) from_domain: Option<DomainName>,
}

impl<'m> Message<'m> {
    /// Reads a message; `None` when it has no header, or too many fields.
    pub(super) fn read(raw: &'m [u8], signatures: usize) -> Option<Self> {
        let (mut parsed, mut candidates) = (AuthenticatedMessage::default(), Vec::new());
        let mut fields = Fields::new(raw);
        for field in fields.by_ref() {
            parsed.headers.push((field.name, field.value));
            if parsed.headers.len() > MAX_FIELDS {
                return None;
            }
            match field.name.trim_ascii_end().to_ascii_lowercase().as_slice() {
                b"from" => parsed.from.extend(addresses(field.value)),
                b"dkim-signature" if candidates.len() < MAX_READ => {
                    candidates.extend(candidate(field.name, field.value));
                }
                name => read_arc(&mut parsed, name, field.name, field.value),
            }
        }
        let body = fields.rest();
        parsed.raw_message = raw;
        parsed.body_offset = u32::try_from(raw.len() - body.len()).ok()?;
        let from_domain = from_domain(&parsed.from);
        // mail-auth reads no more of it than this, and takes it as it is written.
        parsed.from = from_domain.iter().map(|domain| format!("from@{domain}")).collect();
        choose(&mut candidates, from_domain.as_ref(), signatures);
        for candidate in &mut candidates {
            candidate.verdict = verdict(&candidate.signature, parsed.headers.len());
        }
        let mut message = Self { parsed, candidates, from_domain };
        message.prepare(body);
        (!message.parsed.headers.is_empty()).then_some(message)
    }

    /// Whether a signature's body is the message's.
    pub(super) fn has_body(&self, canonicalization: Canonicalization, hash: &[u8]) -> bool {
        self.parsed.body_hashes.iter().any(|(c, _, _, bh)| *c == canonicalization && bh == hash)
    }

    fn prepare(&mut self, body: &[u8]) {
        for candidate in self.candidates.iter().filter(|candidate| candidate.verdict.is_none()) {
            // Neither reports (RFC 6651) nor third-party signatures (RFC 6541): both would ask the DNS more.
            let signature = dkim::Signature { r: false, atps: None, ..candidate.signature.clone() };
            self.parsed.dkim_headers.push(Header::new(candidate.name, candidate.value, signature));
        }
        self.parsed.as_headers.sort_by_key(|seal| seal.header.i);
        self.parsed.ams_headers.sort_by_key(|signature| signature.header.i);
        self.parsed.aar_headers.sort_by_key(|results| results.header.i);
        let signed = self.parsed.dkim_headers.iter().map(|s| s.header.cb);
        let sealed = self.parsed.ams_headers.last().map(|s| s.header.cb);
        let wanted: Vec<_> = signed.chain(sealed).collect();
        for canonicalization in [Canonicalization::Simple, Canonicalization::Relaxed] {
            if wanted.contains(&canonicalization) {
                let hash = body_hash(canonicalization, body);
                self.parsed.body_hashes.push((canonicalization, HashAlgorithm::Sha256, 0, hash));
            }
        }
    }
}

/// The body's SHA-256. mail-auth 0.13.3 hashes lines of nothing but space at the end of the body as empty lines,
/// where RFC 6376 section 3.4.4 ignores them under relaxed canonicalization, and a valid signature would fail
/// by it. Everything that is ignored there is cut off before; mail-auth adds the line end that the rest must
/// have, and none to an empty body.
fn body_hash(canonicalization: Canonicalization, body: &[u8]) -> Vec<u8> {
    let body = match canonicalization {
        Canonicalization::Relaxed => {
            let ignored = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
            let kept = body.iter().rposition(|b| !ignored(b)).map_or(0, |last| last + 1);
            body.get(..kept).unwrap_or(body)
        }
        Canonicalization::Simple => body,
    };
    HashAlgorithm::Sha256.hash(canonicalization.canonical_body(body, 0)).as_ref().to_vec()
}

fn candidate<'m>(name: &'m [u8], value: &'m [u8]) -> Option<Candidate<'m>> {
    if value.len() > MAX_SIGNATURE {
        return None;
    }
    let mut signature = dkim::Signature::parse(value).ok()?;
    let domain = DomainName::new(&signature.d)?;
    signature.d = domain.as_str().to_owned();
    // A selector is labels of a name as well (RFC 6376 section 3.1), and is shown to people.
    signature.s = DomainName::new(&signature.s)?.as_str().to_owned();
    Some(Candidate { signature, domain, verdict: None, name, value })
}

fn choose(candidates: &mut Vec<Candidate<'_>>, from: Option<&DomainName>, most: usize) {
    let organisation = from.and_then(DomainName::organisational);
    let aligned = |domain: &DomainName| organisation.is_some() && domain.organisational() == organisation;
    candidates.sort_by_key(|candidate| !aligned(&candidate.domain));
    candidates.truncate(most);
}

/// What can be said of a signature without its key.
fn verdict(signature: &dkim::Signature, fields: usize) -> Option<(Outcome, Cause)> {
    match () {
        () if signature.v != 1 => Some((Outcome::PermError, Cause::Version)),
        () if signature.a == Algorithm::RsaSha1 => Some((Outcome::PermError, Cause::Algorithm)),
        () if !covers_from(&signature.h) => Some((Outcome::PermError, Cause::FromNotSigned)),
        () if signature.l > 0 => Some((Outcome::Policy, Cause::Length)),
        () if signature.h.len().saturating_mul(fields) > MAX_COMPARED => Some((Outcome::Policy, Cause::Cost)),
        () => None,
    }
}

fn covers_from(signed: &[String]) -> bool {
    signed.iter().any(|name| name.eq_ignore_ascii_case("from"))
}

/// Whether an ARC message signature is as strict as a DKIM signature must be.
pub(super) fn is_sound(signature: &arc::Signature, fields: usize) -> bool {
    signature.a != Algorithm::RsaSha1
        && covers_from(&signature.h)
        && signature.h.len().saturating_mul(fields) <= MAX_COMPARED
}

fn read_arc<'m>(parsed: &mut AuthenticatedMessage<'m>, lower: &[u8], name: &'m [u8], value: &'m [u8]) {
    let read = match lower {
        b"arc-seal" => arc::Seal::parse(signature_value(value)).map(|seal| {
            parsed.as_headers.push(Header::new(name, value, seal));
            parsed.as_headers.len()
        }),
        b"arc-message-signature" => arc::Signature::parse(signature_value(value)).map(|signature| {
            parsed.has_arc_errors |= signature.l > 0;
            parsed.ams_headers.push(Header::new(name, value, signature));
            parsed.ams_headers.len()
        }),
        b"arc-authentication-results" => arc::Results::parse(value).map(|results| {
            parsed.aar_headers.push(Header::new(name, value, results));
            parsed.aar_headers.len()
        }),
        _ => return,
    };
    // Beyond the bound nothing more is read, and the chain has failed already.
    parsed.has_arc_errors |= read.is_err();
    if read.is_ok_and(|sets| sets > MAX_SETS) {
        parsed.has_arc_errors = true;
        parsed.as_headers.truncate(MAX_SETS);
        parsed.ams_headers.truncate(MAX_SETS);
        parsed.aar_headers.truncate(MAX_SETS);
    }
}

/// A signature that is too long is read as none, which breaks its chain.
fn signature_value(value: &[u8]) -> &[u8] {
    if value.len() > MAX_SIGNATURE { b"" } else { value }
}

fn from_domain(addresses: &[String]) -> Option<DomainName> {
    let mut domains = addresses.iter().filter_map(|address| address.rsplit_once('@'));
    let first = DomainName::new(domains.next()?.1)?;
    let same = |(_, domain): (&str, &str)| DomainName::new(domain).as_ref() == Some(&first);
    domains.all(same).then_some(first)
}
