//! The model: one logistic regression over the features, learned online.
//!
//! It begins with the weights that ship with the program and is drawn back to them; each step is bounded,
//! and no weight leaves a range around the shipped one, so that no reporter, domain or day can turn it.
//! Steps shrink as a feature is heard of (AdaGrad: Duchi, Hazan and Singer, JMLR 2011). Ham that is thought
//! to be spam costs more than spam that is thought to be ham; calibration takes that out of the chances.
//!
//! Drift guard: the loss of the learned weights and of the shipped ones is kept side by side. When the
//! learned ones have become clearly worse, they are dropped for the shipped ones, and that is counted.
//!
//! Readers take no lock: weights are atomic, and a reading across an update mixes old and new weights that
//! differ by one bounded step.

pub(crate) mod learned;

use crate::calibration::Calibration;
use crate::features::{Features, NUMBERS, TABLE, sense, sigmoid};
use crate::weights::{Part, Start, Without};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Step of AdaGrad.
const STEP: f32 = 0.15;
/// Squared gradients that every feature begins with: how much the shipped weights are trusted.
const BEGIN: f32 = 2.0;
/// The farthest that one update moves a weight.
const MOST: f32 = 0.07;
/// The farthest that one label moves the log-odds of mail like its own, so that one wrong label does not open the
/// door to all that a thousand right ones have shut out. A server that has seen little has to learn fast: with the
/// n-th label it is [`YOUNG`] / n, if that is more.
const FARTHEST: f32 = 0.5;
const YOUNG: f32 = 4000.0;
/// The farthest that the weight of a number leaves the shipped one, and a weight of the table.
const RANGE: f32 = 2.0;
const TABLE_RANGE: f32 = 3.0;
/// The same while the weights that ship are fitted.
const FITTING_RANGE: f32 = 9.0;
/// Share of the way back to the shipped weight at each update of a feature.
const PULL: f32 = 0.00002;
/// How many times more a mistake about ham costs; and where the weights that ship are fitted, which then begin on the
/// safe side.
const HAM_COST: f32 = 2.5;
const FITTING_HAM_COST: f32 = 4.0;
/// The share of complaints that is thought to be wrong, and the least that one counts that is hard to believe.
const WRONG: f32 = 0.01;
const LEAST_BELIEF: f32 = 0.1;
/// Messages over which losses are averaged.
const MEMORY: f32 = 2000.0;
/// How much worse than the shipped weights the learned ones may do, in nats a message.
const DRIFT: f32 = 0.05;
/// Messages before the guard judges.
const PATIENCE: u64 = 500;

/// How the model fares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelHealth {
    /// Labels learned from.
    pub labels: u64,
    /// Mean log loss of the learned weights of late, in nats.
    pub loss: f32,
    /// The same of the shipped weights.
    pub shipped_loss: f32,
    /// How often the learned weights were dropped for the shipped ones.
    pub fallbacks: u64,
}

/// One learned weight, and the squared gradients that it has met.
struct Weight {
    value: AtomicU32,
    squares: AtomicU32,
}

impl Weight {
    fn new(value: f32) -> Self {
        Self { value: AtomicU32::new(value.to_bits()), squares: AtomicU32::new(BEGIN.to_bits()) }
    }

    fn get(&self) -> f32 {
        load(&self.value)
    }

    /// Meets a gradient, and says what step it asks for.
    fn meet(&self, gradient: f32) -> f32 {
        store(&self.squares, load(&self.squares) + gradient * gradient);
        self.step(gradient)
    }

    /// The step that a gradient asks for which was met.
    fn step(&self, gradient: f32) -> f32 {
        (-STEP * gradient / load(&self.squares).sqrt()).clamp(-MOST, MOST)
    }

    /// Two threads may move it at once; one step may then be lost, which changes nothing that lasts.
    fn move_by(&self, step: f32, shipped: f32, (least, most): (f32, f32)) {
        let old = self.get();
        store(&self.value, (old + step - PULL * (old - shipped)).clamp(least, most));
    }

    fn reset(&self, shipped: f32) {
        store(&self.value, shipped);
        store(&self.squares, BEGIN);
    }
}

/// The model.
pub(crate) struct Model {
    /// What it began with.
    shipped: Start,
    /// Its log-odds of trait values, as odds against spam.
    against: Box<[f32]>,
    numbers: [Weight; NUMBERS],
    table: Box<[Weight]>,
    pub(crate) calibration: Calibration,
    losses: [AtomicU32; 2],
    labels: AtomicU64,
    fallbacks: AtomicU64,
}

fn load(cell: &AtomicU32) -> f32 {
    f32::from_bits(cell.load(Ordering::Relaxed))
}

fn store(cell: &AtomicU32, value: f32) {
    cell.store(value.to_bits(), Ordering::Relaxed);
}

impl Model {
    /// A model that begins with these weights.
    pub(crate) fn new(shipped: Start) -> Self {
        Self {
            against: shipped.odds.iter().map(|odds| (-odds).exp()).collect(),
            numbers: std::array::from_fn(|n| Weight::new(shipped.numbers[n])),
            table: shipped.table.iter().map(|&weight| Weight::new(weight)).collect(),
            calibration: Calibration::new(shipped.curve),
            losses: std::array::from_fn(|_| AtomicU32::new(0)),
            labels: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            shipped,
        }
    }

    /// The parts that are left out.
    pub(crate) const fn without(&self) -> Without {
        self.shipped.without
    }

    /// Odds against spam of the trait value at a place, relative to the share of spam, before this server has
    /// seen any.
    pub(crate) fn prior_against(&self, place: usize) -> f32 {
        self.against[place]
    }

    /// What each number adds to the log-odds.
    pub(crate) fn of_numbers(&self, features: &Features) -> [f32; NUMBERS] {
        std::array::from_fn(|n| self.numbers[n].get() * features.numbers[n])
    }

    /// What each place in the table adds, in the order of the places.
    pub(crate) fn of_places(&self, features: &Features) -> impl Iterator<Item = f32> {
        features.table().map(|(place, count)| self.table[place].get() * count)
    }

    /// Log-odds of spam by the learned weights.
    fn score(&self, features: &Features) -> f32 {
        let numbers: f32 = self.of_numbers(features).iter().sum();
        features.base + numbers + self.of_places(features).sum::<f32>()
    }

    /// The same by the shipped ones.
    fn shipped_score(&self, features: &Features) -> f32 {
        let numbers = features.numbers.iter().zip(&self.shipped.numbers);
        let table = features.table().map(|(place, count)| self.shipped.table[place] * count);
        features.base + numbers.map(|(number, weight)| number * weight).sum::<f32>() + table.sum::<f32>()
    }

    /// Learns that a message with these features was spam, or was not; `weight` at most 1.
    pub(crate) fn learn(&self, features: &Features, spam: bool, weight: f32) {
        let learned = self.score(features);
        self.note(loss(learned, spam), loss(self.shipped_score(features), spam));
        if self.without().has(Part::Learning) {
            return;
        }
        let cost = if self.shipped.fitting { FITTING_HAM_COST } else { HAM_COST };
        let error = if spam { sigmoid(learned) - 1.0 } else { cost * sigmoid(learned) };
        let error = error * weight * if spam { self.belief(learned) } else { 1.0 };
        let numbers = || features.numbers.iter().enumerate().filter(|(_, number)| **number != 0.0);
        let of_numbers: f32 =
            numbers().map(|(n, number)| number * self.numbers[n].meet(error * number)).sum();
        let of_places = features.table().map(|(place, count)| count * self.table[place].meet(error * count));
        let share = (self.farthest() / (of_numbers + of_places.sum::<f32>()).abs()).min(1.0);
        for (n, number) in numbers() {
            let weight = &self.numbers[n];
            weight.move_by(share * weight.step(error * number), self.shipped.numbers[n], self.range(n));
        }
        for (place, count) in features.table() {
            let shipped = self.shipped.table[place];
            let range = (shipped - TABLE_RANGE, shipped + TABLE_RANGE);
            let weight = &self.table[place];
            weight.move_by(share * weight.step(error * count), shipped, range);
        }
        self.guard();
    }

    /// Between what the weight of a number stays.
    fn range(&self, number: usize) -> (f32, f32) {
        let farthest = if self.shipped.fitting { FITTING_RANGE } else { RANGE };
        let shipped = self.shipped.numbers[number];
        let (least, most) = sense(number, |of| self.numbers[of].get());
        ((shipped - farthest).max(least), (shipped + farthest).min(most).max(least))
    }

    /// The farthest that a label may move the log-odds of mail like its own. Where weights are fitted surprises are
    /// what is to be learned.
    fn farthest(&self) -> f32 {
        if self.shipped.fitting {
            return f32::INFINITY;
        }
        (YOUNG / self.labels.load(Ordering::Relaxed).max(1) as f32).max(FARTHEST)
    }

    /// How much a complaint counts: the chance that it is right, when some are wrong. Of much good mail a few wrong
    /// ones would be many beside those about little spam. Where weights are fitted surprises are what is to be
    /// learned.
    fn belief(&self, said: f32) -> f32 {
        if self.shipped.fitting {
            return 1.0;
        }
        let chance = sigmoid(said);
        let (right, wrong) = (chance * (1.0 - WRONG), (1.0 - chance) * WRONG);
        (right / (right + wrong)).max(LEAST_BELIEF)
    }

    fn note(&self, learned: f32, shipped: f32) {
        let labels = self.labels.fetch_add(1, Ordering::Relaxed) + 1;
        let share = 1.0 / (labels as f32).min(MEMORY);
        for (cell, loss) in self.losses.iter().zip([learned, shipped]) {
            store(cell, load(cell) + share * (loss - load(cell)));
        }
    }

    fn guard(&self) {
        let [learned, shipped] = [0, 1].map(|i| load(&self.losses[i]));
        if self.labels.load(Ordering::Relaxed) > PATIENCE && learned > shipped + DRIFT {
            let weights = self.numbers.iter().zip(&self.shipped.numbers);
            let table = self.table.iter().zip(&self.shipped.table);
            weights.chain(table).for_each(|(weight, shipped)| weight.reset(*shipped));
            store(&self.losses[0], shipped);
            self.fallbacks.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What the weights have come to, as a start for another model.
    pub(crate) fn to_start(&self) -> Start {
        let all = |weights: &[Weight]| weights.iter().map(Weight::get).collect();
        let (numbers, table) = (all(&self.numbers), all(&self.table));
        Start { numbers, table, curve: self.calibration.curve(), ..self.shipped.clone() }
    }

    /// How it fares.
    pub(crate) fn health(&self) -> ModelHealth {
        ModelHealth {
            labels: self.labels.load(Ordering::Relaxed),
            loss: load(&self.losses[0]),
            shipped_loss: load(&self.losses[1]),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
        }
    }
}

const _: () = assert!(TABLE.is_power_of_two());

/// Log loss in nats, bounded so that one surprise does not outweigh hundreds.
fn loss(log_odds: f32, spam: bool) -> f32 {
    let against = if spam { -log_odds } else { log_odds };
    (against.exp().ln_1p()).min(5.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Record;
    use crate::features::{PER_CHAIN, TRAITS};
    use crate::fixtures::facts;
    use crate::identity::{Identities, Keyring};
    use crate::ledger::Ledger;
    use crate::outcome::Outcome;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn features(address: &str) -> Features {
        features_after(address, 0)
    }

    fn known_for_spam() -> Features {
        features_after("192.0.2.1", 300)
    }

    fn features_after(address: &str, spam: usize) -> Features {
        let ledger = Ledger::new(1 << 20, Start::shipped(), NOW);
        let identities = Identities::of(&facts(address), &Keyring::new([1; 16]));
        (0..spam).for_each(|_| ledger.learn(&identities, Outcome::FilteredSpam, NOW));
        ledger.features(&identities, &ledger.readings(&identities, NOW), NOW)
    }

    #[test]
    fn what_is_learned_follows_the_labels_within_its_range() {
        let model = Model::new(Start::shipped());
        let features = features("192.0.2.1");
        let before = model.score(&features);
        (0..20_000).for_each(|_| model.learn(&features, false, 1.0));
        assert!(model.score(&features) < before - 1.0);
        let moved = |n: usize| (model.numbers[n].get() - model.shipped.numbers[n]).abs();
        assert!((0..NUMBERS).all(|n| moved(n) <= RANGE + 1e-3));
    }

    #[test]
    fn what_a_well_known_host_has_done_never_speaks_the_other_way_round() {
        let features = known_for_spam();
        let own = (1..TRAITS).step_by(PER_CHAIN).filter(|&n| features.numbers[n] > 0.5);
        let own: Vec<usize> = own.collect();
        assert!(own.len() > 2, "{own:?}");
        let model = Model::new(Start::shipped());
        // Whatever it has done, what comes now is good.
        (0..50_000).for_each(|_| model.learn(&features, false, 1.0));
        let outweighs = |&&n: &&usize| model.numbers[n].get() < -model.numbers[n - 1].get();
        assert_eq!(own.iter().find(outweighs), None);
        assert!(own.iter().any(|&n| model.numbers[n].get() < -0.01), "it takes back all the same");
    }

    #[test]
    fn one_label_moves_little() {
        let model = Model::new(Start::shipped());
        let features = features("192.0.2.1");
        let before = model.score(&features);
        model.learn(&features, true, 1.0);
        assert!((model.score(&features) - before).abs() < 0.5);
        let before = model.score(&features);
        model.learn(&features, true, 0.0);
        assert!((model.score(&features) - before).abs() < 1e-3, "a label without influence");
    }

    #[test]
    fn one_wrong_label_does_not_open_the_door() {
        let features = known_for_spam();
        let model = Model::new(Start::shipped());
        (0..10_000).for_each(|_| model.learn(&features, true, 1.0));
        let before = model.score(&features);
        model.learn(&features, false, 1.0);
        let moved = before - model.score(&features);
        assert!(before > 4.0 && (0.2..=FARTHEST + 0.01).contains(&moved), "{before}, moved by {moved}");
    }

    #[test]
    fn a_complaint_that_is_hard_to_believe_counts_less_and_never_nothing() {
        let model = Model::new(Start::shipped());
        let beliefs = [-8.0, -3.0, 0.0, 8.0].map(|said| model.belief(said));
        assert!(beliefs.is_sorted() && beliefs[0] == LEAST_BELIEF && beliefs[2] > 0.98, "{beliefs:?}");
        assert_eq!(Model::new(Start::flat()).belief(-8.0), 1.0, "surprises are what is fitted");
    }

    #[test]
    fn learned_weights_that_do_clearly_worse_are_dropped() {
        let model = Model::new(Start::shipped());
        let features = features("192.0.2.1");
        let shipped = model.score(&features);
        // Whatever the shipped weights say is right, but for a long time the labels say the opposite.
        let right = shipped > 0.0;
        (0..1000).for_each(|_| model.learn(&features, !right, 1.0));
        assert!((model.score(&features) - shipped).abs() > 0.5);
        assert_eq!(model.health().fallbacks, 0, "so far the learned weights do better");
        (0..5000).for_each(|_| {
            model.numbers.iter().zip(&model.shipped.numbers).for_each(|(weight, shipped)| {
                store(&weight.value, shipped + if right { -1.0 } else { 1.0 });
            });
            model.learn(&features, right, 0.0);
        });
        assert!(model.health().fallbacks >= 1, "{:?}", model.health());
    }

    #[test]
    fn a_record_full_of_evidence_gives_finite_features() {
        let mut record = Record::new(NOW);
        record.add(crate::evidence::Weight { good: 1e30, bad: 1e30, ..Default::default() }, NOW);
        assert!(record.read(NOW).slow.evidence().is_finite());
        let features = features("2001:db8::1");
        assert!(features.numbers.iter().all(|number| number.is_finite()));
    }
}
