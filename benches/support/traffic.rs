//! Who sends next: all alike, or few of them most of it.

use std::fmt;

/// How the mail is spread over the senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// All send alike.
    Uniform,
    /// Zipf's law with exponent 1.0: the k-th largest sends 1/k of what the largest does.
    Zipf,
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        })
    }
}

/// An endless row of senders' numbers.
#[derive(Debug)]
pub(crate) struct Traffic {
    senders: u64,
    spread: Spread,
    random: Random,
}

impl Traffic {
    /// Traffic of that many senders.
    pub(crate) fn new(senders: u64, spread: Spread, seed: u64) -> Self {
        Self { senders, spread, random: Random(seed) }
    }

    /// Who sends next.
    pub(crate) fn next(&mut self) -> u64 {
        match self.spread {
            Spread::Uniform => self.random.next() % self.senders,
            // The large ones shall not be neighbours. A prime above all ranks leaves each its own place.
            Spread::Zipf => self.zipf() * 0x7fff_ffff % self.senders,
        }
    }

    /// A rank from 1 by rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates
    /// from monotone discrete distributions", 1996), which for the exponent 1.0 has the logarithm as its hat.
    fn zipf(&mut self) -> u64 {
        let (least, most) = (1.5f64.ln() - 1.0, (self.senders as f64 + 0.5).ln());
        loop {
            let hat = least + self.random.unit() * (most - least);
            let rank = hat.exp().round().clamp(1.0, self.senders as f64);
            if hat >= (rank + 0.5).ln() - 1.0 / rank {
                return rank as u64;
            }
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From 0 up to, not including, 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
