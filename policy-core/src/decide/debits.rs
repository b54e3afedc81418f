//! Who pays for a question, how much, and from which quota.

use super::Case;
use crate::allowance::{Debit, MAX_KEYS, PerHour, Quota, Whose};
use crate::evidence::Reading;
use crate::facts::Stage;
use crate::identity::{Chain, Identities, Key, Kind};
use crate::ledger::{ChainReading, Readings};
use crate::networks::canonical;
use crate::quota::{Lane, quota_word};
use crate::session::Session;
use crate::standing::{Standing, Word, word_alone};
use crate::verdict::Scope;
use arrayvec::ArrayVec;

/// Places of [`PerHour`].
pub(super) const MESSAGES: usize = 1;
pub(super) const BYTES: usize = 3;

/// Good weight by which a domain of a pool is none of its newcomers: one message that was called good, or four that nobody
/// has said anything against.
const KNOWN_BY: f32 = 1.0;
/// Good weight that vouches for a sender: two messages that nobody has said anything against.
const VOUCHED_FOR: f32 = 0.5;

/// Whose quota a debit is.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Payer {
    Address,
    /// An address that many share: its sessions alone are its own.
    Shared,
    /// The same, for all domains from there that nothing good is known of: they are made in a minute.
    Newcomers,
    /// The address, for its mailboxes that were vouched for.
    Vouched,
    Prefix,
    Network,
    Mailbox,
    /// A domain that has authorised the client.
    Domain,
    /// A domain that has signed the message.
    Signer,
}

impl Payer {
    /// Who the client is told it is.
    pub(crate) const fn whose(self) -> Whose {
        match self {
            Self::Address | Self::Shared | Self::Newcomers | Self::Vouched => Whose::Host,
            Self::Prefix | Self::Network => Whose::Network,
            Self::Mailbox => Whose::Mailbox,
            Self::Domain | Self::Signer => Whose::Domain,
        }
    }

    /// What a refusal is about. A limit that a transaction runs into halfway is about the recipient: those
    /// before it shall be delivered. A mailbox's or a domain's limit is not about the host that sends for many.
    pub(super) fn scope(self, begins: bool) -> Scope {
        match self {
            Self::Mailbox | Self::Domain | Self::Signer | Self::Newcomers => Scope::Domain,
            _ if !begins => Scope::Recipient,
            Self::Address | Self::Shared | Self::Vouched | Self::Prefix | Self::Network => Scope::Client,
        }
    }
}

/// A key that pays, and what it has to pay with.
pub(crate) struct Purse {
    pub(crate) payer: Payer,
    pub(crate) key: Key,
    pub(crate) quota: Quota,
}

impl Case<'_> {
    /// What the question costs each key that pays.
    pub(super) fn debits(
        &self,
        session: &Session,
        standing: &Standing,
        readings: &Readings,
        cost: PerHour,
    ) -> ArrayVec<(Payer, Debit), MAX_KEYS> {
        let debit = |Purse { payer, key, quota }| {
            let cost = match payer {
                Payer::Shared => PerHour::default(),
                Payer::Domain | Payer::Signer => self.domain_cost(session, cost),
                _ => cost,
            };
            (payer, Debit { key, quota, cost, whose: payer.whose() })
        };
        self.purses(standing, readings).into_iter().map(debit).collect()
    }

    /// The keys that pay, each with its quota: the address; its prefix, and the network around an IPv6 prefix,
    /// of which one host may have thousands, while the client is a stranger or worse; the verified domain. A
    /// mailbox that is trusted pays for itself where its host's mail is Low or Bad, and together with the others of
    /// its host as a stranger does.
    pub(crate) fn purses(&self, standing: &Standing, readings: &Readings) -> ArrayVec<Purse, MAX_KEYS> {
        let limits = &self.policy.limits;
        let suspicious = self.policy.waits.is_suspicious(standing);
        let (trusted, convicted) = (self.trusted_mailbox(readings), is_convicted(&self.identities, readings));
        let purse = |payer, (key, reading): (Key, Reading), factor| {
            // A good standing of this client does not open what its network or domain has closed.
            let word = match (payer, standing.word) {
                // All mailboxes together that were vouched for have what a stranger has, and so have all domains that
                // are new.
                (Payer::Vouched | Payer::Newcomers, _) => Word::New,
                // A stranger that has waited because it looks like spam has shown no more than that it can.
                (Payer::Address | Payer::Shared, Word::New) if suspicious => Word::Low,
                (Payer::Address | Payer::Shared, word) => word,
                _ => standing.word_on(&reading),
            };
            // Bad neighbours, and who sends in the same name, must not use up what is left to such mail.
            let is_apart = match payer {
                Payer::Prefix | Payer::Network => standing.word == Word::New && !suspicious,
                Payer::Domain => trusted.is_some(),
                Payer::Address | Payer::Shared | Payer::Vouched | Payer::Mailbox => false,
                Payer::Newcomers | Payer::Signer => false,
            };
            let (lane, word) = match Lane::of(word) {
                _ if payer == Payer::Signer => (Lane::Signed, word),
                _ if payer == Payer::Newcomers => (Lane::Apart, word),
                Lane::Narrow if is_apart => (Lane::Apart, Word::Low),
                lane => (lane, word),
            };
            let word = quota_word(word, &reading, convicted);
            Purse { payer, key: lane.key(key), quota: limits.quota(&reading, word, factor) }
        };
        let mut chains = self.identities.chains.iter().zip(readings);
        let mut purses = ArrayVec::new();
        let pool = self.is_from_pool();
        // The network's chain is always there, and the first.
        let Some((network, reading)) = chains.next() else { return purses };
        let domain = self.paying_domain(chains, pool);
        let is_known = |own: &Reading| own.slow.good >= KNOWN_BY && word_alone(own) != Word::Bad;
        let is_narrow = Lane::of(standing.word) == Lane::Narrow;
        let vouched_for = trusted.filter(|_| is_narrow && !pool);
        let payer = match vouched_for {
            Some(_) => Payer::Vouched,
            None if !pool => Payer::Address,
            None if self.is_named_pool() || domain.is_some_and(|(_, (_, own))| is_known(&own)) => {
                Payer::Shared
            }
            None => Payer::Newcomers,
        };
        purses.push(purse(payer, (network.specific(), reading[0]), 1.0));
        purses.extend(vouched_for.map(|mailbox| purse(Payer::Mailbox, mailbox, 1.0)));
        if payer == Payer::Address && !matches!(standing.word, Word::High | Word::Medium) {
            purses.push(purse(Payer::Prefix, widest(network, reading), limits.prefix_factor));
            let around = network.levels().get(2).zip(reading.get(2)).filter(|_| self.is_ipv6());
            let factor = limits.prefix_factor * limits.prefix_factor;
            purses.extend(around.map(|(&key, &reading)| purse(Payer::Network, (key, reading), factor)));
        }
        purses.extend(domain.map(|(payer, domain)| purse(payer, domain, limits.domain_factor)));
        purses
    }

    /// The verified domain that pays: one that has authorised the client. One that has only signed the message has no
    /// hand in who sends it, and pays on a meter of its own for its mail from where the host pays nothing.
    fn paying_domain<'a>(
        &self,
        chains: impl Iterator<Item = (&'a Chain, &'a ChainReading)>,
        pool: bool,
    ) -> Option<(Payer, (Key, Reading))> {
        let mut verified = chains.filter(|(chain, _)| chain.kind == Kind::Verified);
        let (payer, (chain, reading)) = match self.identities.authorised_by {
            Some(key) => (Payer::Domain, verified.find(|(chain, _)| chain.general() == key)?),
            None => (Payer::Signer, verified.next().filter(|_| pool)?),
        };
        Some((payer, widest(chain, reading)))
    }

    /// The sender's mailbox, if something good is known of it since another day and it is not Bad by itself.
    ///
    /// One wrong label of a forwarder's correspondent would otherwise leave it to wait behind all the spam that comes
    /// from there, and never to be heard of again.
    fn trusted_mailbox(&self, readings: &Readings) -> Option<(Key, Reading)> {
        mailbox(&self.identities, readings).filter(|(_, own)| is_trusted(own))
    }

    fn is_ipv6(&self) -> bool {
        canonical(self.facts.client.address).is_ipv6()
    }

    /// What has not been debited yet of this session, transaction and recipient.
    pub(super) fn cost(&self, session: &Session) -> PerHour {
        let facts = self.facts;
        let in_transaction = facts.stage >= Stage::Mail;
        let one = |is: bool| f64::from(u8::from(is));
        let size = facts.message.size.filter(|_| in_transaction).unwrap_or(0);
        PerHour([
            one(!session.connection_debited),
            one(in_transaction && !session.transaction.message_debited),
            one(facts.stage == Stage::Rcpt),
            size.saturating_sub(session.transaction.bytes_debited) as f64,
        ])
    }

    /// A domain that is verified only by the message itself owes all of it at once.
    fn domain_cost(&self, session: &Session, cost: PerHour) -> PerHour {
        let transaction = &session.transaction;
        if transaction.domain_debited || !transaction.message_debited {
            return cost;
        }
        let PerHour([connection, _, recipient, bytes]) = cost;
        let before = (f64::from(transaction.accepted), transaction.bytes_debited as f64);
        PerHour([connection, 1.0, recipient + before.0, bytes + before.1])
    }
}

/// Whether something good is known of a sender since another day, and it is not Bad by itself.
pub(crate) fn is_trusted(own: &Reading) -> bool {
    own.age_days >= 1 && own.slow.good >= VOUCHED_FOR && word_alone(own) != Word::Bad
}

/// The sender's mailbox, and what is known of it.
fn mailbox(identities: &Identities, readings: &Readings) -> Option<(Key, Reading)> {
    let mut chains = identities.chains.iter().zip(readings);
    let (chain, reading) = chains.find(|(chain, _)| chain.kind == Kind::Mailbox)?;
    Some((chain.specific(), reading[0]))
}

/// Whether what the sender's mailbox has sent itself makes it Low or Bad.
pub(super) fn is_convicted(identities: &Identities, readings: &Readings) -> bool {
    mailbox(identities, readings).is_some_and(|(_, own)| Lane::of(word_alone(&own)) == Lane::Narrow)
}

/// A chain's general key, and what is known of it.
fn widest(chain: &Chain, reading: &ChainReading) -> (Key, Reading) {
    (chain.general(), reading[chain.general_level()])
}
