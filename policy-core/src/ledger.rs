//! The ledger: what is remembered of every identity and trait.
//!
//! Identities live in a bounded table; the least informative leave first under pressure. Traits have few
//! values and every decision reads them, so they are plain atomic sums against one landmark: additions that
//! commute, and reads that write to no shared cache line.

use crate::evidence::{
    Enough, FAST_HALF_LIFE, KNOWS_ENOUGH, MOST_STORED, Reader, Reading, Record, SLOW_HALF_LIFE, Tally,
    Weight, Writer,
};
use crate::features::{Heard, logit};
use crate::identity::{Chain, Identities, Key, Kind, MAX_CHAINS, MAX_LEVELS};
use crate::model::Model;
use crate::model::learned::{Learned, OtherModel};
use crate::outcome::Outcome;
use crate::presentation::Trait;
use crate::table::{Table, Worth};
use crate::time::Timestamp;
use crate::weights::{Part, Start};
use arrayvec::ArrayVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A record is forgotten when less than this is left of it.
pub(crate) const FORGOTTEN: f32 = 0.02;
/// Time in which what was learned of traits counts half, in seconds.
const TRAIT_HALF_LIFE: f64 = 60.0 * 86_400.0;
/// Messages that an even share of spam is worth, before this server has learned any label.
const K_BASE: f64 = 30.0;
/// Labels of one prefix or domain in some hours that count in full for what all mail has in common; more of
/// them share that influence, so that no domain and no day can turn the model.
const FULL_INFLUENCE: f32 = 20.0;
/// The same of all mail, for labels of each kind: so many, or so many times what is usual, if that is more.
const FULL_INFLUENCE_OF_ALL: f32 = 500.0;
const UNUSUAL: f32 = 4.0;

/// Labels of spam for each of good mail from which on they are one-sided: spam is all that is reported here, which tells
/// nothing of how good mail looks.
const ONE_SIDED: f32 = 20.0;
/// The same of a server that has heard of no good mail yet.
const ONE_SIDED_FROM: f32 = 5.0;

/// Labels of good mail from which on it is known how such mail looks here. A dozen labels of spam make all that is new
/// look like it.
const ENOUGH_GOOD: f32 = 50.0;

/// Evidence of the last hours from which on what strangers share needs no presumptions: the unjudged mail of a few is
/// not to vouch for all of them.
const SHARED_KNOWS_ENOUGH: Enough = Enough { least: 1.0, of_busiest: 0.0 };

impl Worth for Record {
    fn worth(&self, now: Timestamp) -> f32 {
        self.amount(now)
    }
}

/// Decayed good and bad labels of one trait value, or of all mail, in 64-bit floats against the ledger's
/// landmark: with their half-life they overflow after 160 years.
#[derive(Default)]
struct TraitSums {
    good: AtomicU64,
    bad: AtomicU64,
}

/// What is known of a chain's keys, the most specific first.
pub(crate) type ChainReading = ArrayVec<Reading, MAX_LEVELS>;

/// What is known of each chain of a message, in the order of its chains.
pub(crate) type Readings = ArrayVec<ChainReading, MAX_CHAINS>;

/// Evidence of every identity and trait.
pub(crate) struct Ledger {
    pub(crate) records: Table<Record>,
    traits: Box<[TraitSums]>,
    /// The same of all mail.
    all: TraitSums,
    /// Labels of all mail at two speeds.
    labels: Mutex<Record>,
    /// Whether hardly any of them are of good mail.
    one_sided: AtomicBool,
    /// The same, or there are some of spam and too few of good mail to tell how such mail looks here.
    hears_of_little_good: AtomicBool,
    /// What combines them.
    pub(crate) model: Model,
    /// The moment that the traits' sums are stored against.
    landmark: Timestamp,
}

impl Ledger {
    /// An empty ledger of at most `bytes`, begun at `now` with what the model starts from.
    pub(crate) fn new(bytes: usize, start: Start, now: Timestamp) -> Self {
        Self {
            records: Table::with_bytes(bytes),
            traits: std::iter::repeat_with(TraitSums::default).take(Trait::COUNT).collect(),
            all: TraitSums::default(),
            labels: Mutex::new(Record::new(now)),
            one_sided: AtomicBool::new(false),
            hears_of_little_good: AtomicBool::new(false),
            model: Model::new(start.bounded()),
            landmark: now,
        }
    }

    /// What is known of an identity.
    pub(crate) fn read(&self, key: &Key, now: Timestamp) -> Reading {
        self.records.read(key, |record| record.read(now)).unwrap_or(Reading::NOTHING)
    }

    /// What is known of every identity of a message.
    pub(crate) fn readings(&self, identities: &Identities, now: Timestamp) -> Readings {
        let mut readings = self.all_readings(identities, now);
        // In a measurement the standing does not hear of the fast memory.
        if self.model.without().has(Part::Fast) {
            readings.iter_mut().flatten().for_each(|reading| reading.fast = Tally::default());
        }
        readings
    }

    fn all_readings(&self, identities: &Identities, now: Timestamp) -> Readings {
        let mut keys = ArrayVec::<Key, { MAX_CHAINS * MAX_LEVELS }>::new();
        identities.chains.iter().for_each(|chain| keys.extend(chain.levels().iter().copied()));
        let (mut readings, mut reader) = (Readings::new(), Reader::at(now));
        let mut sizes = identities.chains.iter().map(|chain| chain.levels().len());
        let mut left = 0;
        self.records.read_all(&keys, |record| {
            if left == 0 {
                left = sizes.next().unwrap_or(1);
                readings.push(ChainReading::new());
            }
            left -= 1;
            let reading = record.map_or(Reading::NOTHING, |record| reader.read(record));
            readings.last_mut().into_iter().for_each(|chain| chain.push(reading));
        });
        readings
    }

    /// Good and bad weight of the trait value at a place, of whose evidence this much is left.
    pub(crate) fn read_trait(&self, place: usize, left: f64) -> (f64, f64) {
        let heard = if self.model.without().has(Part::TraitEvidence) { 0.0 } else { left };
        self.traits[place].read(heard)
    }

    /// Log-odds of the server's share of spam, when this much is left of all evidence.
    pub(crate) fn base(&self, left: f64) -> f32 {
        let (good, bad) = self.all.read(left);
        logit(((bad + 0.5 * K_BASE) / (good + bad + K_BASE)) as f32)
    }

    /// Labels of spam for each of good mail, when this much is left of all evidence: none while hardly any are in.
    pub(crate) fn spam_per_good(&self, left: f64) -> f32 {
        let (good, bad) = self.all.read(left);
        (bad / (good + K_BASE)) as f32
    }

    /// What is left of a trait's evidence since the landmark.
    pub(crate) fn traits_left(&self, now: Timestamp) -> f64 {
        1.0 / self.trait_scale(now)
    }

    fn trait_scale(&self, at: Timestamp) -> f64 {
        (at.since(self.landmark).as_secs_f64() / TRAIT_HALF_LIFE).exp2()
    }

    /// Books an outcome on every identity of a message.
    pub(crate) fn learn(&self, identities: &Identities, outcome: Outcome, at: Timestamp) {
        let weight = outcome.weight();
        let mut writer = Writer::at(at);
        for key in identities.keys() {
            let add = |record: &mut Record| writer.add(record, weight, enough(key));
            self.records.update(key, at, || Record::new(at), add);
        }
    }

    /// Teaches traits and model that a message was spam, or was not; `said` is what was thought of it, by what was
    /// heard of it then.
    pub(crate) fn teach(
        &self,
        identities: &Identities,
        (said, heard): (f32, &Heard),
        spam: bool,
        at: Timestamp,
    ) {
        let influence = self.influence(identities, spam, at);
        if influence <= 0.0 {
            return;
        }
        self.model.learn(&self.features_heard(heard, &identities.traits, at), spam, influence);
        self.model.calibration.learn(said, spam);
        let weight = f64::from(influence) * self.trait_scale(at);
        let traits = identities.traits.iter().filter_map(|value| Some(&self.traits[value.index()?]));
        traits.chain([&self.all]).for_each(|sums| add(if spam { &sums.bad } else { &sums.good }, weight));
    }

    /// How much a label counts for what all mail has in common, by how many its prefix and its sender's domain have
    /// had in the last hours.
    fn influence(&self, identities: &Identities, spam: bool, at: Timestamp) -> f32 {
        if self.model.without().has(Part::Influence) {
            return 1.0;
        }
        let recent = |chain: &Chain| match chain.kind {
            Kind::Address | Kind::Claimed | Kind::Verified => self.read(&chain.general(), at).fast.evidence(),
            _ => 0.0,
        };
        let most = identities.chains.iter().map(recent).fold(f32::MIN_POSITIVE, f32::max);
        let share = FULL_INFLUENCE / most;
        share.min(self.influence_of_all(spam, share.min(1.0), at))
    }

    /// The same by how many labels of its kind all mail has had in the last hours, beside what some hours usually
    /// have; nothing for spam where hardly anything else is reported. Notes the label: of spam only its `share`, so that
    /// one prefix cannot have this server hear of spam alone. (Much good mail comes from few places.)
    fn influence_of_all(&self, spam: bool, share: f32, at: Timestamp) -> f32 {
        let (good, bad) = if spam { (0.0, share) } else { (1.0, 0.0) };
        let Reading { fast, slow, .. } = {
            let mut labels = self.lock_labels();
            labels.add(Weight { good, bad, ..Weight::default() }, at);
            labels.read(at)
        };
        self.weigh_kinds(slow);
        if spam && is_one_sided(slow) {
            return 0.0;
        }
        let of = |tally: Tally| if spam { tally.bad } else { tally.good };
        let usual = of(slow) * (FAST_HALF_LIFE / SLOW_HALF_LIFE) as f32;
        ((UNUSUAL * usual).max(FULL_INFLUENCE_OF_ALL) / of(fast).max(1.0)).min(1.0)
    }

    fn lock_labels(&self) -> MutexGuard<'_, Record> {
        // A panic of another holder leaves nothing half done: a record is plain numbers.
        self.labels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Labels of all mail, by which it is known how many are usual.
    pub(crate) fn labels(&self) -> Record {
        *self.lock_labels()
    }

    /// Adds labels that were heard before, or elsewhere.
    pub(crate) fn add_labels(&self, heard: Record, now: Timestamp) {
        let mut labels = self.lock_labels();
        labels.merge(heard);
        self.weigh_kinds(labels.read(now).slow);
    }

    /// Notes how many of all labels are of which kind.
    fn weigh_kinds(&self, labels: Tally) {
        let one_sided = is_one_sided(labels);
        let few_good = labels.bad > 0.0 && labels.good < ENOUGH_GOOD;
        self.one_sided.store(one_sided, Ordering::Relaxed);
        self.hears_of_little_good.store(one_sided || few_good, Ordering::Relaxed);
    }

    /// Whether spam is all that is reported here.
    pub(crate) fn hears_of_spam_alone(&self) -> bool {
        self.one_sided.load(Ordering::Relaxed)
    }

    /// The same, or little else so far: then a good newcomer looks like spam.
    pub(crate) fn hears_of_little_good(&self) -> bool {
        self.hears_of_little_good.load(Ordering::Relaxed)
    }

    /// Whether mail of an identity was let in, and there was news of it on the day of `since` or after it.
    pub(crate) fn has_let_in_since(&self, key: &Key, since: Timestamp) -> bool {
        self.records.read(key, |record| record.has_let_in_since(since)).unwrap_or(false)
    }

    /// Books a weight on one identity.
    pub(crate) fn add(&self, key: Key, weight: Weight, at: Timestamp) {
        let add = |record: &mut Record| record.add_presuming(weight, enough(key), at);
        self.records.update(key, at, || Record::new(at), add);
    }

    /// What the model and its traits have learned.
    pub(crate) fn learned(&self) -> Learned {
        let sums = |sums: &TraitSums| <[f64; 2]>::from(sums.read(1.0));
        let (all, traits) = (sums(&self.all), self.traits.iter().map(sums).collect());
        self.model.learned(self.landmark, all, traits)
    }

    /// Takes back what was learned. Sums come to this ledger's landmark: from one that lies ahead undiminished.
    pub(crate) fn relearn(&self, learned: &Learned, now: Timestamp) -> Result<(), OtherModel> {
        learned.check()?;
        let since =
            |earlier: Timestamp, later: Timestamp| later.since(earlier).as_secs_f64() / TRAIT_HALF_LIFE;
        let taken_at = learned.landmark.min(now);
        let scale = (since(self.landmark, taken_at) - since(taken_at, self.landmark)).exp2();
        let take = |cell: &AtomicU64, sum: f64| {
            let sum = if sum.is_finite() { (sum * scale).clamp(0.0, f64::from(MOST_STORED)) } else { 0.0 };
            cell.store(sum.to_bits(), Ordering::Relaxed);
        };
        let traits = self.traits.iter().zip(&learned.traits);
        for (sums, [good, bad]) in traits.chain([(&self.all, &learned.all)]) {
            take(&sums.good, *good);
            take(&sums.bad, *bad);
        }
        self.model.relearn(learned);
        Ok(())
    }

    /// How many segments a sweeper visits.
    pub(crate) fn segments(&self) -> usize {
        self.records.segments()
    }

    /// Drops from one segment what has faded away, or had no news for as many days as anything is kept. After a clock
    /// was set back, no record stays in the future: nothing that is new would count beside it.
    pub(crate) fn sweep(&self, segment: usize, days: u64, now: Timestamp) {
        self.records.sweep(segment, |_, record| {
            record.right_clock(now);
            record.worth(now) > FORGOTTEN && u64::from(record.quiet_days(now)) <= days
        });
    }

    /// Identities held, the most that can be held, and octets taken.
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        (self.records.len(), self.records.capacity(), self.records.bytes())
    }
}

/// Evidence of the last hours from which on the record of a key needs no presumptions. A HELO name is whatever the
/// client says, and thousands of hosts have one pattern.
const fn enough(key: Key) -> Enough {
    const HELO: u8 = Kind::Helo as u8;
    const PATTERN: u8 = Kind::Pattern as u8;
    match key.kind() {
        HELO | PATTERN => SHARED_KNOWS_ENOUGH,
        _ => KNOWS_ENOUGH,
    }
}

fn is_one_sided(Tally { good, bad }: Tally) -> bool {
    bad > ONE_SIDED * good + ONE_SIDED_FROM
}

impl TraitSums {
    fn read(&self, scale: f64) -> (f64, f64) {
        let read = |sum: &AtomicU64| f64::from_bits(sum.load(Ordering::Relaxed)) * scale;
        (read(&self.good), read(&self.bad))
    }
}

/// Adds to an atomic float. The closure always returns a value, so the update cannot fail.
fn add(sum: &AtomicU64, weight: f64) {
    if weight != 0.0 {
        let added = |bits| Some((f64::from_bits(bits) + weight).to_bits());
        let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::named;
    use crate::identity::Keyring;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    #[test]
    fn the_unjudged_mail_of_a_few_does_not_vouch_for_all_who_share_a_name() {
        let ledger = Ledger::new(1 << 20, Start::shipped(), NOW);
        let mut facts = named("192.0.2.2", "host-7.corp.example");
        facts.client.helo = Some("user.pc.example".into());
        let identities = Identities::of(&facts, &Keyring::new([1; 16]));
        let accepted = Outcome::Accepted { recipients: 1, unknown: 0 };
        (0..100).for_each(|_| ledger.learn(&identities, accepted, NOW));
        let good = |kind: Kind| {
            let chain = identities.chains.iter().find(|chain| chain.kind == kind).unwrap();
            ledger.read(&chain.levels()[0], NOW).fast.good
        };
        assert_eq!([Kind::Address, Kind::ReverseName].map(good), [5.0, 5.0]);
        assert_eq!([Kind::Helo, Kind::Pattern].map(good), [1.0, 1.0]);
    }

    #[test]
    fn where_only_spam_is_reported_the_model_learns_nothing_of_it() {
        let ledger = Ledger::new(1 << 20, Start::shipped(), NOW);
        let label = |spam: bool| ledger.influence_of_all(spam, 1.0, NOW);
        assert_eq!([label(true), label(true)], [1.0, 1.0], "a new server's first");
        (0..100).for_each(|_| _ = label(true));
        assert_eq!(label(true), 0.0);
        assert!(ledger.hears_of_spam_alone());
        assert!((0..5).all(|_| label(false) == 1.0));
        assert_eq!((label(true), ledger.hears_of_spam_alone()), (1.0, false), "one in twenty is good");
        let again = Ledger::new(1 << 20, Start::shipped(), NOW);
        (0..100).for_each(|_| _ = ledger.influence_of_all(true, 1.0, NOW));
        again.add_labels(ledger.labels(), NOW);
        assert!(again.hears_of_spam_alone(), "after a restart too");
    }

    #[test]
    fn complaints_of_a_few_do_not_outweigh_a_large_senders_silent_mail() {
        let ledger = Ledger::new(1 << 20, Start::shipped(), NOW);
        let identities = Identities::of(&named("192.0.2.2", "mail.large.example"), &Keyring::new([1; 16]));
        for day in 0..30 {
            for message in 0..1000 {
                let at = NOW.after(Duration::from_secs(day * 86_400 + message * 86));
                ledger.learn(&identities, Outcome::Accepted { recipients: 1, unknown: 0 }, at);
                if message % 100 == 0 {
                    ledger.learn(&identities, Outcome::ReportedSpam, at);
                }
            }
        }
        let Tally { good, bad } =
            ledger.read(&identities.address(), NOW.after(Duration::from_secs(30 * 86_400))).slow;
        assert!(good > 5.0 * bad, "{good} good, {bad} bad");
    }

    #[test]
    fn what_is_usual_is_known_after_a_restart() {
        let of_a_day = |ledger: &Ledger, day: u64| {
            let at = NOW.after(Duration::from_secs(day * 86_400));
            (0..5000).map(|_| ledger.influence_of_all(false, 1.0, at)).last().unwrap()
        };
        let ledger = Ledger::new(1 << 20, Start::shipped(), NOW);
        let first = of_a_day(&ledger, 0);
        for day in 1..40 {
            of_a_day(&ledger, day);
        }
        let again = Ledger::new(1 << 20, Start::shipped(), NOW.after(Duration::from_secs(40 * 86_400)));
        again.add_labels(ledger.labels(), NOW.after(Duration::from_secs(40 * 86_400)));
        let [before, after] = [&ledger, &again].map(|ledger| of_a_day(ledger, 40));
        assert!(first < 0.2 && before > 3.0 * first, "{first} on the first day, {before} after forty");
        assert!((before - after).abs() < 1e-3, "{before} {after}");
    }
}
