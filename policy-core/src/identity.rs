//! Identities: what can have a reputation, and the chains they lean on.
//!
//! A chain leads from the most specific key to ever wider ones, each of which says what to think of the one
//! before while that is new. A claim has keys of its own kind: a forger neither spends nor stains the verified
//! domain.

mod key;

pub use key::{Key, Keyring, Kind, RecipientHash, networks_of};

use crate::facts::{Facts, VerifiedBy};
use crate::name::Sender;
use crate::names::{MAX_VERIFIED, Name, Names};
use crate::presentation::{ReverseName, TraitSet};
use crate::shape::pattern;
use arrayvec::ArrayVec;

/// Chains of one message: network, reverse name, its pattern, HELO, claim, signature, sender twice, and the
/// verified ones.
pub(crate) const MAX_CHAINS: usize = 8 + MAX_VERIFIED;
/// Keys of one chain: an IPv4 address, its /24, /16 and /8.
pub(crate) const MAX_LEVELS: usize = 4;

/// A chain of identities: each leans on the next wider one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// What the most specific key stands for.
    pub kind: Kind,
    /// Its keys, the most specific first; never empty.
    levels: ArrayVec<Key, MAX_LEVELS>,
    /// How many of the widest belong to another chain, which books on them.
    borrowed: usize,
}

impl Chain {
    fn new(kind: Kind, levels: impl IntoIterator<Item = Key>) -> Self {
        Self { kind, levels: levels.into_iter().take(MAX_LEVELS).collect(), borrowed: 0 }
    }

    /// A chain as it was, of keys that were written down; `None` when they make none.
    pub(crate) fn carried(kind: Kind, levels: &[Key], borrowed: usize) -> Option<Self> {
        let sane = (1..=MAX_LEVELS).contains(&levels.len()) && borrowed <= levels.len();
        sane.then(|| Self { borrowed, ..Self::new(kind, levels.iter().copied()) })
    }

    /// How many of the widest keys belong to another chain.
    pub(crate) const fn borrowed(&self) -> usize {
        self.borrowed
    }

    /// Whether a verification stands behind any of its keys.
    fn is_verified(&self) -> bool {
        self.levels.iter().any(|key| key.kind() == Kind::Verified as u8)
    }

    /// The most specific key.
    pub fn specific(&self) -> Key {
        self.levels[0]
    }

    /// The widest key that still stands for somebody: a prefix or an organisational domain, or the specific
    /// key when there is none.
    pub fn general(&self) -> Key {
        self.levels[self.general_level()]
    }

    /// The place of [`Chain::general`] among the levels.
    pub(crate) fn general_level(&self) -> usize {
        let everybody = [Kind::Network as u8, Kind::TopLevel as u8];
        self.levels.iter().rposition(|key| !everybody.contains(&key.kind())).unwrap_or(0)
    }

    /// All keys, the most specific first.
    pub fn levels(&self) -> &[Key] {
        &self.levels
    }

    /// The keys that evidence is booked on.
    fn own(&self) -> &[Key] {
        &self.levels[..self.levels.len() - self.borrowed]
    }
}

/// Every identity and trait of one client and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    /// The chains; the network's is always the first.
    pub chains: ArrayVec<Chain, MAX_CHAINS>,
    /// How the client presents itself.
    pub traits: TraitSet,
    /// The domain that a retry from another address is known by: verified, or of a reverse name that the sender shares.
    pub group: Option<Key>,
    /// The verified domain that has authorised the client to send for it (SPF), by its widest key. A signature does not
    /// say who sends the message that it is on.
    pub(crate) authorised_by: Option<Key>,
    /// The organisational domain that the sender address claims, verified or not, as a digest.
    pub sender: u64,
}

impl Identities {
    /// The identities of `facts`.
    pub fn of(facts: &Facts, keyring: &Keyring) -> Self {
        let helo = Names::helo(facts);
        let names = Names::of(facts, helo.as_ref());
        let traits = TraitSet::of_names(facts, &names);
        let mut chains = ArrayVec::new();
        chains.push(network(facts));
        chains.extend(reverse_name(facts, &names, keyring));
        chains.extend(helo_of_its_own(&names).map(|helo| helo_chain(helo, keyring)));
        for chain in names.verified.iter().map(|&name| verified(name, keyring)) {
            // Of two names of one organisation the first books on it.
            let borrowed = chain.levels.iter().rev().take_while(|key| owned(&chains, key)).count();
            chains.push(Chain { borrowed, ..chain });
        }
        let sender = names.sender.map_or("", Name::widest);
        let verified_sender = names.verified.iter().any(|name| name.widest() == sender);
        if !sender.is_empty() && !verified_sender {
            chains.push(Chain::new(Kind::Claimed, [keyring.named(Kind::Claimed, sender)]));
        }
        chains.extend(signed(facts, &names, keyring));
        chains.extend(mailbox(facts, sender, verified_sender, keyring));
        // Its next message is asked about before the signature is seen, and is to be known by then.
        if verified_sender && !is_by_spf(facts, sender) {
            chains.extend(mailbox(facts, sender, false, keyring));
        }
        let group = group(&chains, traits.reverse_name(), &names);
        let authorised_by = names.verified.iter().find(|name| is_by_spf(facts, name.widest()));
        let authorised_by = authorised_by.map(|&name| verified(name, keyring).general());
        let sender = keyring.digest(&[b"sender", sender.as_bytes()]);
        Self { chains, traits, group, authorised_by, sender }
    }

    /// The key of the client's address.
    pub fn address(&self) -> Key {
        self.chains[0].specific()
    }

    /// The key of the prefix around the client's address.
    pub fn prefix(&self) -> Key {
        self.chains[0].general()
    }

    /// The verified domains' chains.
    pub fn verified(&self) -> impl Iterator<Item = &Chain> {
        self.chains.iter().filter(|chain| chain.kind == Kind::Verified)
    }

    /// Every key that evidence is booked on, each once.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.chains.iter().flat_map(Chain::own).copied()
    }

    /// The same, each with whether a verification stands behind it.
    pub(crate) fn keys_by_proof(&self) -> impl Iterator<Item = (Key, bool)> {
        let chains = self.chains.iter().map(|chain| (chain.own(), chain.is_verified()));
        chains.flat_map(|(keys, verified)| keys.iter().map(move |key| (*key, verified)))
    }
}

/// The address and the networks around it; the widest is the network's operator, where that is known.
fn network(facts: &Facts) -> Chain {
    let address = facts.client.address;
    let own = [Key::address(address), Key::prefix(address)].into_iter();
    let mut levels: ArrayVec<Key, MAX_LEVELS> = own.chain(Key::networks(address)).collect();
    if let Some(operator) = facts.findings.operator.as_ref().filter(|operator| operator.number != 0) {
        levels.truncate(MAX_LEVELS - 1);
        levels.push(Key::operator(operator.number));
    }
    Chain { kind: Kind::Address, levels, borrowed: 0 }
}

/// The reverse name's chain, and its pattern's: confirmed, or as a claim of its own.
fn reverse_name<'a>(facts: &'a Facts, names: &Names<'a>, keyring: &Keyring) -> ArrayVec<Chain, 2> {
    let unconfirmed = || facts.client.reverse_name.as_ref().map(|name| Name::new(name, &[]));
    let (kind, name) = match names.host {
        Some(host) => (Kind::ReverseName, Some(host)),
        None => (Kind::Unconfirmed, unconfirmed()),
    };
    let text = name.map_or("", |name| name.whole.as_str());
    let mut chains = ArrayVec::new();
    if let Some(name) = name {
        let whole = keyring.named(kind, text);
        chains.push(Chain::new(kind, std::iter::once(whole).chain(domains(kind, name, text, keyring))));
    }
    chains.push(Chain::new(Kind::Pattern, [keyring.named(Kind::Pattern, &pattern(text))]));
    chains
}

/// Keys of the organisational domain, unless it is `but`, and of the top-level domain.
fn domains(kind: Kind, name: Name<'_>, but: &str, keyring: &Keyring) -> impl Iterator<Item = Key> {
    let top = name.whole.as_str().rsplit('.').next().filter(|top| *top != name.widest());
    let organisational = Some(name.widest()).filter(|domain| *domain != but);
    let top = top.map(|top| keyring.hash(Kind::TopLevel, &[kind.word().as_bytes(), top.as_bytes()]));
    organisational.map(|domain| keyring.named(kind, domain)).into_iter().chain(top)
}

fn helo_chain(helo: Name<'_>, keyring: &Keyring) -> Chain {
    Chain::new(Kind::Helo, domains(Kind::Helo, helo, "", keyring))
}

/// The HELO name, unless it only repeats the reverse name or is an address (a trait says that).
fn helo_of_its_own<'a>(names: &Names<'a>) -> Option<Name<'a>> {
    let repeats = |helo: &Name<'_>| names.host.is_some_and(|host| host.whole == helo.whole);
    names.helo.filter(|helo| !helo.is_literal() && !repeats(helo))
}

/// Whether one of the chains books on a key.
fn owned(chains: &[Chain], key: &Key) -> bool {
    chains.iter().any(|chain| chain.own().contains(key))
}

fn verified(name: Name<'_>, keyring: &Keyring) -> Chain {
    let (whole, organisational) = (name.whole.as_str(), name.widest());
    let general = Some(organisational).filter(|domain| *domain != whole);
    let levels = std::iter::once(whole).chain(general);
    Chain::new(Kind::Verified, levels.map(|domain| keyring.named(Kind::Verified, domain)))
}

fn signed(facts: &Facts, names: &Names<'_>, keyring: &Keyring) -> Option<Chain> {
    let signed = Name::new(facts.message.signed.as_ref()?, &[names.sender]);
    let verified = names.verified.iter().any(|name| name.widest() == signed.widest());
    let chain = || Chain::new(Kind::Signed, [keyring.named(Kind::Signed, signed.widest())]);
    (!verified).then(chain)
}

/// The sender's mailbox. One of a verified domain is known from anywhere and leans on that domain; any other
/// only from the prefix it was seen from, and leans on its domain there, then anywhere. The null sender is each host's
/// own.
fn mailbox(facts: &Facts, domain: &str, verified: bool, keyring: &Keyring) -> Option<Chain> {
    let Some(Sender::Mailbox(mailbox)) = &facts.envelope.sender else {
        // Bounces of neighbours have nothing in common.
        let address = Key::address(facts.client.address).to_bytes();
        let null = || Chain::new(Kind::Mailbox, [keyring.hash(Kind::Mailbox, &[b"<>", &address])]);
        return facts.envelope.sender.as_ref().map(|_| null());
    };
    let prefix = Key::prefix(facts.client.address).to_bytes();
    let whole = mailbox.domain.as_ref().map_or("", |domain| domain.as_str());
    let local_part = mailbox.folded_local_part();
    let place: &[u8] = if verified { b"verified" } else { &prefix };
    let own = keyring.mailbox(&local_part, whole, place);
    if verified {
        let levels = [own, keyring.named(Kind::Verified, domain)];
        return Some(Chain { borrowed: 1, ..Chain::new(Kind::Mailbox, levels) });
    }
    let in_prefix = keyring.sender_in_prefix(domain, facts.client.address);
    let claim = Some(domain).filter(|domain| !domain.is_empty());
    let claim = claim.map(|domain| keyring.named(Kind::Claimed, domain));
    let borrowed = usize::from(claim.is_some());
    Some(Chain { borrowed, ..Chain::new(Kind::Mailbox, [own, in_prefix].into_iter().chain(claim)) })
}

/// Whether a domain is verified by SPF (RFC 7208): before the message itself is seen, and for this client.
fn is_by_spf(facts: &Facts, domain: &str) -> bool {
    let mut by_spf = facts.message.verified.iter().filter(|verified| verified.by == VerifiedBy::Spf);
    by_spf.any(|verified| Name::new(&verified.domain, &[]).widest() == domain)
}

/// What a retry from a sister host is known by. A reverse name of an access network's or a hosting company's says little:
/// their customers, who send for domains of their own, are strangers to each other.
fn group(chains: &[Chain], reverse_name: ReverseName, names: &Names<'_>) -> Option<Key> {
    let widest = |kind| chains.iter().find(|chain| chain.kind == kind).map(Chain::general);
    let of_sender = names.host.zip(names.sender).is_some_and(|(host, sender)| host.same_organisation(sender));
    let is_group = reverse_name == ReverseName::Named && of_sender;
    widest(Kind::Verified).or_else(|| widest(Kind::ReverseName).filter(|_| is_group))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::VerifiedDomain;
    use crate::fixtures::facts;
    use crate::name::DomainName;

    fn ring() -> Keyring {
        Keyring::new(*b"0123456789abcdef")
    }

    #[test]
    fn a_claim_never_shares_a_key_with_the_verified_domain() {
        let mut facts = facts("192.0.2.1");
        facts.envelope.sender = Sender::new("a@bank.example");
        let claimed = Identities::of(&facts, &ring());
        facts.message.verified =
            vec![VerifiedDomain { domain: DomainName::new("bank.example").unwrap(), by: VerifiedBy::Spf }];
        let verified = Identities::of(&facts, &ring());
        assert!(claimed.verified().next().is_none());
        let verified_key = verified.verified().next().unwrap().specific();
        assert!(claimed.keys().all(|key| key != verified_key));
        assert!(!verified.chains.iter().any(|c| c.kind == Kind::Claimed));
        assert_eq!(verified.group, Some(verified_key));
    }

    #[test]
    fn a_correspondent_is_the_same_mailbox_whatever_its_forwarder_stamps_on_it() {
        let mailbox = |sender| {
            let mut facts = facts("192.0.2.1");
            facts.envelope.sender = Sender::new(sender);
            let identities = Identities::of(&facts, &ring());
            identities.chains.iter().find(|chain| chain.kind == Kind::Mailbox).map(Chain::specific)
        };
        let today = mailbox("SRS0=q1T3=2W=src.example=alice@forwarder.example");
        assert_eq!(today, mailbox("SRS0=Zz9d=2X=src.example=alice@forwarder.example"));
        assert_ne!(today, mailbox("SRS0=q1T3=2W=src.example=bob@forwarder.example"));
        assert_ne!(mailbox("alice@src.example"), mailbox("bob@src.example"));
    }

    #[test]
    fn who_is_verified_by_its_signature_alone_is_known_before_it_is_seen() {
        let mailboxes = |by: Option<VerifiedBy>| {
            let mut facts = facts("192.0.2.1");
            facts.envelope.sender = Sender::new("a@src.example");
            let domain = DomainName::new("src.example").unwrap();
            facts.message.verified.extend(by.map(|by| VerifiedDomain { domain, by }));
            let chains = Identities::of(&facts, &ring()).chains;
            chains.iter().filter(|c| c.kind == Kind::Mailbox).map(Chain::specific).collect::<Vec<_>>()
        };
        let [claimed, by_spf, by_dkim] = [None, Some(VerifiedBy::Spf), Some(VerifiedBy::Dkim)].map(mailboxes);
        assert_eq!((claimed.len(), by_spf.len()), (1, 1));
        assert_eq!(by_dkim, [by_spf[0], claimed[0]]);
    }

    #[test]
    fn a_reverse_name_that_is_generic_or_not_of_the_senders_organisation_is_no_group() {
        let mut facts = facts("192.0.2.1");
        facts.client.name = DomainName::new("host-192-0-2-1.isp.example");
        facts.client.reverse_name = facts.client.name.clone();
        assert_eq!(Identities::of(&facts, &ring()).group, None);
        facts.client.name = DomainName::new("mail.corp.example");
        facts.client.reverse_name = facts.client.name.clone();
        assert_eq!(Identities::of(&facts, &ring()).group, None, "a host of which src.example has one");
        facts.envelope.sender = Sender::new("a@corp.example");
        assert!(Identities::of(&facts, &ring()).group.is_some());
    }

    #[test]
    fn many_verified_domains_are_bounded() {
        let mut facts = facts("192.0.2.1");
        facts.message.verified = (0..50)
            .map(|n| VerifiedDomain {
                domain: DomainName::new(&format!("d{n}.example")).unwrap(),
                by: VerifiedBy::Dkim,
            })
            .collect();
        assert_eq!(Identities::of(&facts, &ring()).verified().count(), MAX_VERIFIED);
    }
}
