//! What an operator tells the state about a sender: overrides, each with its entry in the audit trail.

use crate::audit::{Audit, Change, What};
use crate::overrides::{Effect, Full, Override, Overrides, Subject, note};
use crate::state::State;
use crate::time::Timestamp;

impl State {
    /// The overrides in force.
    pub const fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// Who has changed what.
    pub const fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Puts an override in force, in the place of one about the same subject, at once and for sessions in
    /// progress too. Who is allowed leaves the ladder.
    ///
    /// # Errors
    ///
    /// There are too many already; nothing has changed.
    pub fn overrule(&self, new: Override, who: &str, now: Timestamp) -> Result<(), Full> {
        let change = Change {
            at: now,
            who: who.into(),
            what: new.effect.into(),
            key: new.subject.to_string(),
            until: new.until,
            note: new.note.clone(),
        };
        let pardoned = match new.subject {
            Subject::Network(net) if new.effect == Effect::Allow => Some(net),
            _ => None,
        };
        self.overrides.set(new)?;
        pardoned.into_iter().for_each(|net| self.pardon(net));
        self.audit.note(change);
        Ok(())
    }

    /// Takes back what was said about a subject. Returns it, if something was.
    pub fn lift(&self, subject: &Subject, who: &str, now: Timestamp) -> Option<Override> {
        let lifted = self.overrides.remove(|said| said.subject == *subject).pop()?;
        self.audit.note(Change {
            at: now,
            who: note(who),
            what: What::Lift,
            key: subject.to_string(),
            until: None,
            note: lifted.note.clone(),
        });
        Some(lifted)
    }

    /// Takes an override over that was kept or exported. Returns whether it was: one that has expired is not, nor
    /// one too many. Of two about the same subject the later one stays.
    pub fn restore_override(&self, kept: Override, now: Timestamp) -> bool {
        kept.holds(now) && self.overrides.set_unless_older(kept).is_ok()
    }

    /// Takes over an entry of the audit trail that was kept or exported.
    pub fn restore_change(&self, kept: Change) {
        self.audit.restore(kept);
    }
}
