//! What authentication of a message comes to, in the words of RFC 8601.

use policy_core::name::DomainName;

/// What SPF said of the envelope, before the message (RFC 7208 section 2.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spf {
    /// Not asked, or no record.
    #[default]
    None,
    /// The client may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// The domain says nothing either way.
    Neutral,
    /// The DNS failed.
    TempError,
    /// The record cannot be used.
    PermError,
}

/// The envelope, as far as authentication needs it.
#[derive(Clone, Debug, Default)]
pub struct EnvelopeView {
    /// The HELO name, which stands for the sender of a bounce (RFC 7208 section 2.4).
    pub helo: Option<DomainName>,
    /// The domain of MAIL FROM; `None` for the null sender.
    pub mail_from: Option<DomainName>,
    /// What SPF said of MAIL FROM, or of HELO for the null sender.
    pub spf: Spf,
}

impl EnvelopeView {
    /// The domain that the SPF result is about.
    pub(super) fn spf_domain(&self) -> &str {
        self.mail_from.as_ref().or(self.helo.as_ref()).map_or("", DomainName::as_str)
    }
}

/// The result of one signature (RFC 8601 section 2.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Not verified at all.
    None,
    /// It verifies, and covers what it must.
    Pass,
    /// It does not verify.
    Fail,
    /// It cannot be judged.
    Neutral,
    /// It may verify, but not by our standards.
    Policy,
    /// The DNS failed; later it may pass.
    TempError,
    /// It cannot pass, later or ever.
    PermError,
}

/// Why a signature has not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The body is another than the one signed.
    Body,
    /// The header is another, or the key.
    Mismatch,
    /// Beyond its `x=`.
    Expired,
    /// From is not signed (RFC 6376 section 6.1.1).
    FromNotSigned,
    /// Only the beginning of the body is signed, by `l=`.
    Length,
    /// An RSA key of less than 1024 bits (RFC 8301 section 3.2).
    WeakKey,
    /// SHA-1 (RFC 8301 section 3.1), or a key for another algorithm.
    Algorithm,
    /// No `v=1`.
    Version,
    /// `i=` is not within `d=`, or not equal to it where the key says `t=s`.
    Identity,
    /// There is no key.
    NoKey,
    /// The key has been revoked.
    Revoked,
    /// The key cannot be read.
    KeySyntax,
    /// The DNS gave no answer.
    Dns,
    /// Verifying it would cost too much.
    Cost,
    /// The engine gave it up.
    Engine,
}

impl Cause {
    /// The cause in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Body => "the body has changed",
            Self::Mismatch => "the header has changed, or the key",
            Self::Expired => "expired",
            Self::FromNotSigned => "From is not signed",
            Self::Length => "only the beginning of the body is signed",
            Self::WeakKey => "a key of less than 1024 bits",
            Self::Algorithm => "an algorithm that proves nothing, or is not the key's",
            Self::Version => "no version 1",
            Self::Identity => "signed for another identity",
            Self::NoKey => "no key",
            Self::Revoked => "the key has been revoked",
            Self::KeySyntax => "the key cannot be read",
            Self::Dns => "no answer from the DNS",
            Self::Cost => "too costly to verify",
            Self::Engine => "could not be verified",
        }
    }
}

/// One DKIM signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who signs, `d=`.
    pub domain: DomainName,
    /// Which of its keys, `s=`.
    pub selector: Box<str>,
    /// Its result.
    pub result: Outcome,
    /// Why it is not a pass.
    pub cause: Option<Cause>,
}

/// What a domain asks for mail that fails DMARC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Nothing.
    None,
    /// Suspicion.
    Quarantine,
    /// Rejection.
    Reject,
}

/// The DMARC result (RFC 8601 section 2.7.4, RFC 9989).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dmarc {
    /// No record, no From domain, or several.
    #[default]
    None,
    /// SPF or DKIM passes for a domain aligned with From.
    Pass,
    /// Neither does, and this is what the domain asks for then.
    Fail(Policy),
    /// The DNS failed where it mattered.
    TempError,
    /// The record cannot be read, or the message cannot.
    PermError,
}

/// The ARC result (RFC 8617 section 4.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Arc {
    /// No chain.
    #[default]
    None,
    /// The chain is intact. Who has sealed it, the newest first.
    Pass(Vec<DomainName>),
    /// The chain is complete, and was not verified: it was sealed last by this domain, which nobody here trusts, or
    /// it wants more keys than one message may ask for.
    Unverified(DomainName),
    /// The chain is broken.
    Fail,
    /// The DNS failed: nobody knows.
    TempError,
}

/// What authentication of a message comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// The signatures that were looked at: those aligned with From first, then in the order of the message.
    pub dkim: Vec<Signature>,
    /// DMARC.
    pub dmarc: Dmarc,
    /// The domain of From, when it has exactly one.
    pub from_domain: Option<DomainName>,
    /// ARC.
    pub arc: Arc,
    /// The newest sealer of an intact chain, when the operator trusts it.
    pub trusted_forwarder: Option<DomainName>,
    /// The domain to charge for a message that somebody relays for it: SPF fails or softly fails, but this
    /// domain's signature passes. The one aligned with From comes before others.
    pub forwarded_for: Option<DomainName>,
}

impl Authentication {
    /// The domains whose signatures pass.
    pub fn signers(&self) -> impl Iterator<Item = &DomainName> {
        self.dkim.iter().filter(|s| s.result == Outcome::Pass).map(|s| &s.domain)
    }
}
