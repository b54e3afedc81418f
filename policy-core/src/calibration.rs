//! Calibration: from what the model says to a chance, and to a place among this server's good mail.
//!
//! A histogram of what was said of messages whose label came later. It answers two questions: of messages
//! of which this was said, what share was spam; and what share of good mail had as much said against it.
//! Old messages count half once there are many new ones.

use crate::features::sigmoid;
use std::sync::atomic::{AtomicU32, Ordering};

/// Bins of log-odds, from -8 to 8.
const BINS: usize = 65;
const WIDTH: f32 = 0.25;
const LOWEST: f32 = -8.0;
/// Messages that the shipped curve is worth in each bin.
const K_CURVE: f32 = 10.0;
/// Spam without a miss that the purity begins with, in messages, and the least that it can be.
const K_PURE: f32 = 100.0;
const LEAST_PURITY: f32 = 0.8;
/// Messages after which all count half.
const MEMORY: f32 = 20_000.0;
/// Step with which slope and offset of the curve are learned (Platt scaling, online).
const STEP: f32 = 0.02;
/// The least and the most that the slope of the curve can be, and the farthest that its offset lies from zero.
const SLOPES: (f32, f32) = (0.3, 1.7);
const OFFSET: f32 = 2.0;
/// The farthest log-odds that the curve is learned from.
const SAID: f32 = 6.0;

fn load(cell: &AtomicU32) -> f32 {
    f32::from_bits(cell.load(Ordering::Relaxed))
}

fn store(cell: &AtomicU32, value: f32) {
    cell.store(value.to_bits(), Ordering::Relaxed);
}

fn cells<const N: usize>(value: f32) -> [AtomicU32; N] {
    std::array::from_fn(|_| AtomicU32::new(value.to_bits()))
}

/// The histogram, and what follows from it. Readers take no lock; two threads that write at once may lose
/// one message of the two, which changes nothing that lasts.
pub(crate) struct Calibration {
    good: [AtomicU32; BINS],
    bad: [AtomicU32; BINS],
    /// The chance of spam at each bin's middle, never falling.
    chances: [AtomicU32; BINS],
    /// Good mail in each bin and those above.
    good_from: [AtomicU32; BINS],
    /// Good and bad mail in all bins.
    all: AtomicU32,
    curve: [AtomicU32; 2],
    purity: AtomicU32,
}

impl Calibration {
    /// Nothing heard yet; slope and offset of the curve to begin with.
    pub(crate) fn new(curve: [f32; 2]) -> Self {
        let this = Self {
            good: cells(0.0),
            bad: cells(0.0),
            chances: cells(0.0),
            good_from: cells(0.0),
            all: AtomicU32::new(0),
            curve: curve.map(|value| AtomicU32::new(value.to_bits())),
            purity: AtomicU32::new(1.0f32.to_bits()),
        };
        this.draw();
        this
    }

    /// Slope and offset of the curve as they are now.
    pub(crate) fn curve(&self) -> [f32; 2] {
        [load(&self.curve[0]), load(&self.curve[1])]
    }

    /// Good and bad messages in each bin.
    pub(crate) fn bins(&self) -> Vec<[f32; 2]> {
        self.good.iter().zip(&self.bad).map(|(good, bad)| [load(good), load(bad)]).collect()
    }

    /// Takes a histogram and curve back.
    pub(crate) fn take(&self, bins: &[[f32; 2]], curve: [f32; 2]) {
        let sound = |number: f32| if number.is_finite() { number.clamp(0.0, MEMORY) } else { 0.0 };
        for (n, [good, bad]) in bins.iter().take(BINS).enumerate() {
            store(&self.good[n], sound(*good));
            store(&self.bad[n], sound(*bad));
        }
        let [slope, offset] = curve;
        if slope.is_finite() && offset.is_finite() {
            store(&self.curve[0], slope.clamp(SLOPES.0, SLOPES.1));
            store(&self.curve[1], offset.clamp(-OFFSET, OFFSET));
        }
        self.draw();
        self.sum();
    }

    /// The chance that a message of which this was said is spam.
    pub(crate) fn chance(&self, said: f32) -> f32 {
        let (bin, rest) = place(said);
        let [low, high] = [bin, bin + 1].map(|bin| load(&self.chances[bin]));
        low + rest * (high - low)
    }

    /// The share of good mail of which at least as much was said; `None` while less is known than can tell
    /// a share of `least`.
    pub(crate) fn good_above(&self, said: f32, least: f32) -> Option<f32> {
        let (bin, _) = place(said);
        let all = load(&self.good_from[0]);
        (all * least >= 1.5).then(|| (load(&self.good_from[bin]) + 0.5) / all)
    }

    /// The share of spam among what looks most like it, the worse half of all that was called spam. What is
    /// missing from 1 are labels that missed: chances cannot rise above it, however sure the spam.
    pub(crate) fn purity(&self) -> f32 {
        load(&self.purity)
    }

    /// Learns that a message of which this was said is spam, or is not.
    pub(crate) fn learn(&self, said: f32, spam: bool) {
        if said.is_nan() {
            return;
        }
        let (bin, rest) = place(said);
        let side = if spam { &self.bad } else { &self.good };
        for (bin, share) in [(bin, 1.0 - rest), (bin + 1, rest)] {
            store(&side[bin], load(&side[bin]) + share);
        }
        if load(&self.all) + 1.0 > MEMORY {
            self.good.iter().chain(&self.bad).for_each(|cell| store(cell, 0.5 * load(cell)));
        }
        self.scale(said, if spam { 1.0 } else { 0.0 });
        self.draw();
        self.sum();
    }

    fn scale(&self, said: f32, label: f32) {
        let said = said.clamp(-SAID, SAID);
        let [slope, offset] = self.curve();
        let step = STEP * (label - sigmoid(slope * said + offset));
        store(&self.curve[0], (slope + step * said / SAID).clamp(SLOPES.0, SLOPES.1));
        store(&self.curve[1], (offset + step).clamp(-OFFSET, OFFSET));
    }

    /// Sums the bins up, so that nobody who reads has to.
    fn sum(&self) {
        let (mut good, bad) = (0.0, self.bad.iter().map(load).sum::<f32>());
        let (mut above, mut purity) = (0.0, None);
        for bin in (0..BINS).rev() {
            good += load(&self.good[bin]);
            above += load(&self.bad[bin]);
            store(&self.good_from[bin], good);
            if above >= 0.5 * bad {
                purity.get_or_insert((above + K_PURE) / (above + good + K_PURE));
            }
        }
        store(&self.all, good + bad);
        store(&self.purity, purity.unwrap_or(1.0).max(LEAST_PURITY));
    }

    /// Draws the chances anew: each bin leans on the curve, and bins that would fall are pooled with those
    /// before (pool adjacent violators).
    fn draw(&self) {
        let [slope, offset] = self.curve();
        let mut pools = arrayvec::ArrayVec::<(f32, f32, usize), BINS>::new();
        // From bin to bin the odds against spam change by one factor; 64 roundings of the product stay below a
        // hundred-thousandth of a chance.
        let mut against = (-slope * LOWEST - offset).exp();
        let step = (-slope * WIDTH).exp();
        for bin in 0..BINS {
            let curve = 1.0 / (1.0 + against);
            against *= step;
            let (good, bad) = (load(&self.good[bin]), load(&self.bad[bin]));
            let weight = good + bad + K_CURVE;
            let mut pool = ((bad + K_CURVE * curve) / weight, weight, 1);
            while let Some(before) = pools.last().copied().filter(|before| before.0 > pool.0) {
                pools.pop();
                let weight = before.1 + pool.1;
                pool = ((before.0 * before.1 + pool.0 * pool.1) / weight, weight, before.2 + pool.2);
            }
            pools.push(pool);
        }
        let chances = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.0, pool.2));
        self.chances.iter().zip(chances).for_each(|(cell, chance)| store(cell, chance));
    }
}

/// The bin below, and how far it is to the next one.
fn place(said: f32) -> (usize, f32) {
    let place = ((said - LOWEST) / WIDTH).clamp(0.0, BINS as f32 - 1.001);
    (place as usize, place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_is_a_share() {
        let calibration = Calibration::new([1.0, 0.0]);
        assert!((calibration.chance(0.0) - 0.5).abs() < 0.01);
        // Of what is said to be even, nine of ten are spam.
        (0..2000).for_each(|n| calibration.learn(0.0, n % 10 != 0));
        assert!((calibration.chance(0.0) - 0.9).abs() < 0.03, "{}", calibration.chance(0.0));
    }

    #[test]
    fn chances_never_fall() {
        let calibration = Calibration::new([1.0, 0.0]);
        for n in 0..500 {
            calibration.learn(1.0, false);
            calibration.learn((n % 30) as f32 / 10.0 - 1.5, n % 3 == 0);
        }
        let chances: Vec<f32> = (-90..90).map(|n| calibration.chance(n as f32 / 10.0)).collect();
        assert!(chances.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6), "{chances:?}");
    }

    #[test]
    fn a_place_among_good_mail_needs_enough_of_it() {
        let calibration = Calibration::new([1.0, 0.0]);
        (0..1000).for_each(|n| calibration.learn(if n < 10 { 3.0 } else { -3.0 }, false));
        assert_eq!(calibration.good_above(3.0, 0.001), None);
        let above = calibration.good_above(3.0, 0.002).unwrap();
        assert!((above - 0.0105).abs() < 1e-4, "{above}");
        assert!(calibration.good_above(4.0, 0.002).unwrap() < 0.001);
    }

    #[test]
    fn nothing_said_breaks_it() {
        let calibration = Calibration::new([1.0, 0.0]);
        for said in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e30] {
            calibration.learn(said, true);
            assert!((0.0..=1.0).contains(&calibration.chance(0.5)), "{said}");
        }
    }
}
