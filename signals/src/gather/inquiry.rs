//! What is asked of the DNS for one session and sender, and what has come of it so far.

use super::Options;
use super::aged::Aged;
use super::desk::Watched;
use crate::dns::{Client, Dns};
use crate::lists::{self, Lists, Target};
use crate::reverse::{self, HeloCheck, Reverse};
use crate::spf::{self, SpfOutcome, SpfResult};
use policy_core::facts::{Facts, SessionId, Stage, VerifiedBy, VerifiedDomain};
use policy_core::findings::{HeloAddress, Spf};
use policy_core::name::{DomainName, Sender};
use policy_core::networks::canonical;
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// How many times its callers' patience an inquiry may take in all, for the benefit of those that come later.
const PERSISTENCE: u32 = 5;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Inquiry {
    session: SessionId,
    address: IpAddr,
    /// The mail server has found a reverse name; it is not asked again.
    told: bool,
    /// That name, if it leads back to the address. Any other is anybody's.
    name: Option<DomainName>,
    /// In lower case.
    helo: Option<String>,
    /// `None` before MAIL.
    sender: Option<Sender>,
    ours: bool,
    /// Something good is known of the client.
    trusted: bool,
}

/// When the oldest answer came that something was concluded from, where there were any records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Since {
    /// The reverse name.
    pub reverse: Option<Instant>,
    /// The HELO name's address.
    pub helo: Option<Instant>,
    /// SPF.
    pub spf: Option<Instant>,
}

/// What has come of an inquiry so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The reverse name, if it was asked for.
    pub reverse: Option<Reverse>,
    /// The HELO name's address.
    pub helo: Option<HeloCheck>,
    /// SPF of MAIL FROM, or of HELO for the null sender and before MAIL.
    pub spf: Option<SpfOutcome>,
    /// DNS lists.
    pub lists: Option<lists::Findings>,
    /// How old that is.
    pub since: Since,
    /// The HELO name is this server's own.
    pub ours: bool,
    /// Nothing more will come.
    pub done: bool,
    /// Everything has come.
    pub finished: bool,
}

/// What is known at the deadline, or as soon as nothing more will come.
pub(super) async fn heard(mut progress: Watched, deadline: Instant) -> Progress {
    // An error says that the task has ended early; what it came to is there all the same.
    let _ = timeout_at(deadline, progress.wait_for(|progress| progress.done)).await;
    progress.borrow().clone()
}

impl Inquiry {
    pub(super) fn of(facts: &Facts, options: &Options, trusted: bool) -> Self {
        let client = &facts.client;
        let helo = client.helo.as_deref();
        let greeted = helo.and_then(DomainName::new);
        Self {
            session: facts.session,
            address: canonical(client.address),
            told: client.name.is_some() || client.reverse_name.is_some(),
            name: client.name.clone(),
            ours: greeted.is_some_and(|name| options.own_names.contains(&name)),
            // The same session may be asked about over both front ends, or greet twice.
            helo: helo.map(str::to_ascii_lowercase),
            sender: facts.envelope.sender.clone().filter(|_| facts.stage >= Stage::Mail),
            trusted,
        }
    }

    /// Asks everything side by side, and tells of each answer as it comes.
    pub(super) async fn run<D: Dns>(
        self,
        dns: D,
        lists: Lists<D>,
        within: Duration,
        progress: watch::Sender<Progress>,
    ) {
        progress.send_modify(|progress| progress.ours = self.ours);
        let client = Client { address: self.address, session: self.session, trusted: self.trusted };
        let (dns, lists) = (dns.on_behalf_of(client), lists.on_behalf_of(client));
        let all = async {
            tokio::join!(
                self.reverse(&dns, &lists, within, &progress),
                self.helo(&dns, &progress),
                self.spf(&dns, &progress),
                self.lists(&lists, within, &progress),
            )
        };
        // What has not come by then stays unknown.
        let finished = timeout(within * PERSISTENCE, all).await.is_ok();
        progress.send_modify(|progress| (progress.done, progress.finished) = (true, finished));
    }

    /// The reverse name, unless the mail server has found it; then what lists say of it.
    async fn reverse<D: Dns>(
        &self,
        dns: &D,
        lists: &Lists<D>,
        within: Duration,
        progress: &watch::Sender<Progress>,
    ) {
        if self.told {
            return;
        }
        let dns = Aged::new(dns.clone());
        let reverse = reverse::confirm(&dns, self.address).await;
        progress.send_modify(|progress| {
            (progress.reverse, progress.since.reverse) = (Some(reverse.clone()), dns.since());
        });
        if let Reverse::Confirmed(name) = reverse {
            let findings = lists.look_up(&[Target::ReverseName(name)], within).await;
            progress.send_modify(|progress| progress.add(findings));
        }
    }

    async fn helo<D: Dns>(&self, dns: &D, progress: &watch::Sender<Progress>) {
        if let Some(helo) = &self.helo {
            let dns = Aged::new(dns.clone());
            let check = reverse::helo_resolves(&dns, helo, self.address).await;
            progress.send_modify(|progress| {
                (progress.helo, progress.since.helo) = (Some(check), dns.since());
            });
        }
    }

    async fn spf<D: Dns>(&self, dns: &D, progress: &watch::Sender<Progress>) {
        let helo = self.helo.as_deref().unwrap_or_default();
        let dns = Aged::new(dns.clone());
        let outcome = spf::check(&dns, self.address, helo, self.sender.as_ref()).await;
        progress.send_modify(|progress| (progress.spf, progress.since.spf) = (Some(outcome), dns.since()));
    }

    async fn lists<D: Dns>(&self, lists: &Lists<D>, within: Duration, progress: &watch::Sender<Progress>) {
        let helo = self.helo.as_deref().and_then(DomainName::new).map(Target::Helo);
        let sender = self.sender.as_ref().and_then(|sender| sender.domain()).cloned().map(Target::Sender);
        let reverse = self.name.clone().map(Target::ReverseName);
        let targets: Vec<Target> =
            [Some(Target::Client(self.address)), reverse, helo, sender].into_iter().flatten().collect();
        // A little before the deadline, so that lists that have answered are heard in time.
        let findings = lists.look_up(&targets, within.mul_f32(0.9)).await;
        progress.send_modify(|progress| progress.add(findings));
    }
}

impl Progress {
    /// Whether asking again might say more: the DNS has not answered everything.
    pub(super) fn lacks_something(&self) -> bool {
        let reverse = matches!(self.reverse, Some(Reverse::Unknown(_)));
        let helo = matches!(self.helo, Some(HeloCheck::Unknown(_)));
        let spf = self.spf.as_ref().is_some_and(|outcome| outcome.result == SpfResult::TempError);
        let unanswered = |unknown: &lists::Unknown| matches!(unknown.why, lists::Why::Dns(_));
        let lists = self.lists.as_ref().is_some_and(|found| found.unknown.iter().any(unanswered));
        !self.finished || reverse || helo || spf || lists
    }

    fn add(&mut self, findings: lists::Findings) {
        let all = self.lists.get_or_insert_default();
        all.listings.extend(findings.listings);
        all.unknown.extend(findings.unknown);
        all.clear += findings.clear;
    }

    /// Writes what is known into the facts.
    pub(super) fn tell(&self, facts: &mut Facts, options: &Options) {
        self.names(facts);
        facts.findings.helo = self.helo_address();
        if let Some(findings) = &self.lists {
            facts.findings.listing = super::notes::listing(findings);
        }
        self.sender(facts);
        facts.findings.notes.extend(super::notes::of_progress(self, options));
    }

    /// The reverse name, where the mail server had none.
    fn names(&self, facts: &mut Facts) {
        let client = &mut facts.client;
        if client.name.is_some() || client.reverse_name.is_some() {
            return;
        }
        match &self.reverse {
            Some(Reverse::Confirmed(name)) => {
                client.name = Some(name.clone());
                client.reverse_name = Some(name.clone());
            }
            Some(Reverse::Unconfirmed(name)) => client.reverse_name = Some(name.clone()),
            Some(Reverse::Absent | Reverse::Unknown(_)) | None => {}
        }
        // The mail server may have had no answer where there is one now.
        facts.findings.reverse_name_failed = matches!(self.reverse, Some(Reverse::Unknown(_)) | None);
    }

    fn helo_address(&self) -> HeloAddress {
        match self.helo {
            _ if self.ours => HeloAddress::Ours,
            Some(HeloCheck::ResolvesToClient) => HeloAddress::Same,
            Some(HeloCheck::ResolvesElsewhere) => HeloAddress::Other,
            Some(HeloCheck::DoesNotResolve) => HeloAddress::Nowhere,
            Some(HeloCheck::Literal { matches: false }) => HeloAddress::WrongLiteral,
            Some(HeloCheck::Literal { matches: true } | HeloCheck::NotAName | HeloCheck::Unknown(_))
            | None => HeloAddress::Unknown,
        }
    }

    fn sender(&self, facts: &mut Facts) {
        let Some(outcome) = self.spf.as_ref().filter(|_| facts.stage >= Stage::Mail) else { return };
        facts.findings.spf = match outcome.result {
            SpfResult::None => Spf::None,
            SpfResult::Neutral => Spf::Neutral,
            SpfResult::Pass => Spf::Pass,
            SpfResult::Fail => Spf::Fail,
            SpfResult::SoftFail => Spf::SoftFail,
            SpfResult::PermError => Spf::PermError,
            SpfResult::TempError => Spf::Unknown,
        };
        let passed = outcome.domain.as_ref().filter(|_| outcome.result == SpfResult::Pass);
        verify(facts, passed, VerifiedBy::Spf);
    }
}

/// Adds verified domains, each once.
pub(super) fn verify<'a>(
    facts: &mut Facts,
    domains: impl IntoIterator<Item = &'a DomainName>,
    by: VerifiedBy,
) {
    for domain in domains {
        let verified = VerifiedDomain { domain: domain.clone(), by };
        if !facts.message.verified.contains(&verified) {
            facts.message.verified.push(verified);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use policy_core::facts::{Client, Envelope, FrontEnd, Message};
    use policy_core::findings::Findings;

    impl Progress {
        /// Of an inquiry that has found everything out.
        pub(crate) fn complete() -> Self {
            Self { done: true, finished: true, ..Self::default() }
        }
    }

    /// One of many.
    pub(crate) fn inquiry(n: u32) -> Inquiry {
        let address = IpAddr::from(n.to_be_bytes());
        let session = SessionId::Tcp((address, 4321).into());
        Inquiry {
            session,
            address,
            told: false,
            name: None,
            helo: None,
            sender: None,
            ours: false,
            trusted: false,
        }
    }

    #[test]
    fn a_greeting_in_other_letters_is_the_same_inquiry() {
        let of = |front_end, helo: &str| {
            let client = Client { helo: Some(helo.into()), ..Client::new([192, 0, 2, 7].into()) };
            let facts = Facts {
                session: SessionId::Tcp((client.address, 4321).into()),
                front_end,
                stage: Stage::Rcpt,
                transaction: None,
                client,
                envelope: Envelope::default(),
                message: Message::default(),
                findings: Findings::default(),
            };
            Inquiry::of(&facts, &Options::default(), false)
        };
        let first = of(FrontEnd::Milter, "Mail.SRC.example");
        assert_eq!(first, of(FrontEnd::Policy, "mail.src.example"));
        assert_ne!(first, of(FrontEnd::Policy, "other.src.example"));
    }
}
