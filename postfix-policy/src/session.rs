//! Which SMTP session the questions on one connection belong to.
//!
//! Postfix never says that an SMTP session is over. But a connection serves one SMTP server process, and that
//! takes one client after another: a question about another client ends the session before it, and so does the
//! end of the connection. The session is held as a guard, so that every way out reports it.
//!
//! Known limits: the end is seen only when the process turns to its next client, or goes. A service that is
//! listed with different options has several connections for one session, and each of them reports the end.
//! Without a client port, two sessions in a row from one address are told apart by a CONNECT only.

use crate::translate::ClientEnd;
use policy_core::engine::{Engine, Event, Report};
use policy_core::facts::{FrontEnd, SessionId, Stage};
use std::sync::atomic::{AtomicU64, Ordering};

/// The next number for a session without a client port. One for the whole process, since listeners share an engine.
static NEXT: AtomicU64 = AtomicU64::new(1);

struct Current {
    end: ClientEnd,
    id: SessionId,
    stage: Stage,
}

/// The SMTP session that a connection is about; reports its end.
pub(crate) struct Sessions<E: Engine> {
    engine: E,
    current: Option<Current>,
}

impl<E: Engine> Sessions<E> {
    pub(crate) fn new(engine: E) -> Self {
        Self { engine, current: None }
    }

    /// The connection asks about `end`: a session of another client is over.
    pub(crate) fn turn_to(&mut self, end: ClientEnd) {
        if self.current.as_ref().is_some_and(|current| current.end != end) {
            self.leave();
        }
    }

    /// The name of the session that a question at `stage` about `end` belongs to.
    pub(crate) fn enter(&mut self, end: ClientEnd, stage: Stage) -> SessionId {
        self.turn_to(end);
        if self.current.as_ref().is_some_and(|current| stage == Stage::Connect && current.stage > stage) {
            self.leave();
        }
        let current = self.current.get_or_insert_with(|| Current { end, id: name(end), stage });
        current.stage = stage;
        current.id
    }

    fn leave(&mut self) {
        if let Some(Current { id, .. }) = self.current.take() {
            self.engine.report(Report {
                session: id,
                front_end: FrontEnd::Policy,
                event: Event::SessionClosed,
            });
        }
    }
}

impl<E: Engine> Drop for Sessions<E> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn name(end: ClientEnd) -> SessionId {
    end.session()
        .unwrap_or_else(|| SessionId::Connection(FrontEnd::Policy, NEXT.fetch_add(1, Ordering::Relaxed)))
}
