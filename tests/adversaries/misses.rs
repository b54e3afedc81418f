//! Bounds that the model is known to miss, each with its reason. A listed bound must indeed be missed.

/// A bound that is missed, and why.
pub(crate) struct KnownMiss {
    pub(crate) adversary: &'static str,
    pub(crate) what: &'static str,
    pub(crate) reason: &'static str,
}

const LOW: &str = "acceptance counts as good although the filter convicts the message afterwards, so a sender of \
    90 % spam stays Low, never Bad, and keeps a quarter of a stranger's quota";
const SITE: &str =
    "what a /48 sends through ever new /64s is Low at worst, and a Low prefix shares thirty an hour";
const WIDE: &str = "strangers share no budget beyond their /24 or /48, whatever their like have sent";
const REPORTER: &str = "an outcome does not name its reporter, so no reporter's complaints can be capped";
const SHARED_LANE: &str = "a Low host's good and bad mail draw on one meter, whichever mailbox wrote it";
const SLOW: &str = "six hours of good evidence have to be outweighed before the fast memory turns";
const TRAITS: &str = "traits add up as if independent: one that says good for others lets bots in at once";
const TENANT: &str = "the pool's good hosts outvote the tenant's own domain, whose quota is then an open one";
const BURST: &str = "a prefix has its burst and its rate within one hour, for twice the limit";

const fn miss(adversary: &'static str, what: &'static str, reason: &'static str) -> KnownMiss {
    KnownMiss { adversary, what, reason }
}

/// All of them.
pub(crate) const KNOWN_MISSES: &[KnownMiss] = &[
    miss("IPv6 rotation in a /32", "identities remembered", WIDE),
    miss("IPv6 rotation in a /32", "spam let in", WIDE),
    miss("IPv6 rotation in a /48", "identities remembered", SITE),
    miss("IPv6 rotation in a /48", "spam let in", SITE),
    miss("IPv6 rotation in a /64", "spam let in", LOW),
    miss("bots that retry as told", "spam let in, share", LOW),
    miss("false complaints", "the shop's mail deferred, share", REPORTER),
    miss("forged senders", "forgeries let in, share", WIDE),
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
    miss("new domain and address hourly", "spam let in an hour", WIDE),
    miss("new domain every hour", "spam let in an hour", LOW),
    miss("one bad tenant of 500", "spam let in, share", TENANT),
    miss("snowshoe", "spam of the first hour let in", BURST),
];
