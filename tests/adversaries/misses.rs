//! Bounds that the model is known to miss, each with its reason. A listed bound must indeed be missed.

/// A bound that is missed, and why.
pub(crate) struct KnownMiss {
    pub(crate) adversary: &'static str,
    pub(crate) what: &'static str,
    pub(crate) reason: &'static str,
}

const LOW: &str = "a message that was let in counts as good (0.25) even when the filter convicts \
    it, so a sender of spam alone reads 0.72 at a filter that catches 90 %: Low \
    for ever, seven an hour, never Bad (0.75)";
const SITE: &str = "whoever is New draws on a stranger's whole quota for the prefix, however bad \
    the prefix itself is";
const ALONE: &str = "strangers share no budget beyond their /24 or /48: each newcomer has an open \
    allowance of its own, then a Low one on top of that";
const REPORTER: &str = "an outcome does not name its reporter, so no reporter's complaints can be \
    capped";
const SHARED_LANE: &str = "a Low host's good and bad mail draw on one meter of seven an hour, whoever \
    wrote it";
const SLOW: &str = "even the fast memory holds hours of good mail, which an hour of spam must \
    first outweigh; there is no test for a run of convictions";
const TRAITS: &str = "traits add up as if independent: a first label that is good elsewhere lets a \
    generic host in at once, and from its second message on it is Low, which waits \
    for nothing";
const TENANT: &str = "the pool's good hosts outvote the tenant's own domain (0.72), so it is Medium, \
    with sixty an hour";
const SISTERS: &str = "a host that is Medium pays nothing to its /24, and sisters under one domain \
    are Medium at once; then each lane has a burst of its own";
const TRAINED: &str = "what half an hour may teach about a trait is not bounded: spam from hosts set \
    up well turns the traits of every honest newcomer for a day";

const fn miss(adversary: &'static str, what: &'static str, reason: &'static str) -> KnownMiss {
    KnownMiss { adversary, what, reason }
}

/// All of them.
pub(crate) const KNOWN_MISSES: &[KnownMiss] = &[
    miss("IPv6 rotation in a /32", "identities remembered", ALONE),
    miss("IPv6 rotation in a /32", "spam let in", ALONE),
    miss("IPv6 rotation in a /48", "identities remembered", SITE),
    miss("IPv6 rotation in a /48", "spam let in", SITE),
    miss("IPv6 rotation in a /64", "spam let in", LOW),
    miss("bots that retry as told", "spam let in, share", LOW),
    miss("false complaints", "the shop's mail deferred, share", REPORTER),
    miss("forged senders", "forgeries let in, share", ALONE),
    miss("good server of a year turns", "its good mail's delay meanwhile, p95 in s", SHARED_LANE),
    miss("good server of a year turns", "seconds until clamped", SLOW),
    miss("good server of a year turns", "spam let in at all, share", SLOW),
    miss("good server of a year turns", "spam let in until clamped", SLOW),
    miss("good server turns, quietly", "its good mail's delay meanwhile, p95 in s", SHARED_LANE),
    miss("good server turns, quietly", "seconds until clamped", SLOW),
    miss("good server turns, quietly", "spam let in at all, share", SLOW),
    miss("good server turns, quietly", "spam let in until clamped", SLOW),
    miss("hailstorm of bots", "spam let in, share", TRAITS),
    miss("low and slow", "spam let in a day, after the first", LOW),
    miss("new domain and address hourly", "spam let in an hour", ALONE),
    miss("new domain every hour", "spam let in an hour", LOW),
    miss("one bad tenant of 500", "spam let in, share", TENANT),
    miss("snowshoe", "spam of the first hour let in", SISTERS),
    miss("flood of keys", "newcomers' mail deferred, share", TRAINED),
];
