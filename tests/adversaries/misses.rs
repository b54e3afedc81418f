//! Bounds that the model is known to miss, each with its reason. A listed bound must indeed be missed.

/// A bound that is missed, and why.
pub(crate) struct KnownMiss {
    pub(crate) adversary: &'static str,
    pub(crate) what: &'static str,
    pub(crate) reason: &'static str,
}

const RETRIES: &str = "whoever waits as told is let in three times an hour by each address until \
    its record is Bad, which takes some ten labels";

const SURGED: &str = "seven of a hundred newcomers' messages wait some minutes while 75,000 messages an hour from \
    hosts set up well are let in by their first allowance and labelled";

const fn miss(adversary: &'static str, what: &'static str, reason: &'static str) -> KnownMiss {
    KnownMiss { adversary, what, reason }
}

/// All of them.
pub(crate) const KNOWN_MISSES: &[KnownMiss] = &[
    miss("bots that retry as told", "spam let in, share", RETRIES),
    miss("hailstorm", "newcomers' mail deferred, share", SURGED),
];
