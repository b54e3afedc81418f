//! Which event asks the engine, and which reports to it.
//!
//! HELO, MAIL, RCPT and end of message ask; the engine itself decides from which of them on it refuses. A
//! recipient that the mail server refuses is reported and not asked about, since the mail server ignores the
//! reply. A session is closed by dropping its [`Connection`], or by the close event, whichever comes first.

use crate::negotiate;
use crate::options::Options;
use crate::session::{MailFrom, Session};
use crate::{address, plain, reply, translate};
use indymilter::{
    ActionError, Actions, Callbacks, Context, ContextActions, EomActions, EomContext, NegotiateContext,
    ProtoOpts, Status,
};
use policy_core::answer::Reply;
use policy_core::engine::{Engine, Report};
use policy_core::facts::Facts;
use policy_core::feedback::MARK;
use policy_core::seldom::Seldom;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::watch;
use tokio::time::timeout;

/// What all connections of a server share.
pub(crate) struct Shared<E> {
    engine: E,
    options: watch::Receiver<Arc<Options>>,
    /// Held for a comparison and an addition.
    silent_engine: Mutex<Seldom>,
}

/// One milter connection.
pub(crate) struct Connection<E: Engine> {
    shared: Arc<Shared<E>>,
    options: Arc<Options>,
    negotiated: ProtoOpts,
    session: Session,
}

/// The callbacks of a server. Only the events that are used have one: the library declines the others.
pub(crate) fn callbacks<E: Engine>(
    engine: E,
    options: watch::Receiver<Arc<Options>>,
) -> Callbacks<Connection<E>> {
    let shared = Arc::new(Shared { engine, options, silent_engine: Mutex::default() });
    Callbacks::new()
        .on_negotiate(move |cx, actions, opts| {
            let shared = Arc::clone(&shared);
            Box::pin(async move { negotiate(shared, cx, actions, opts) })
        })
        .on_helo(|cx, name| Box::pin(helo(cx, name)))
        .on_mail(|cx, arguments| Box::pin(mail(cx, arguments)))
        .on_rcpt(|cx, arguments| Box::pin(rcpt(cx, arguments)))
        .on_header(|cx, name, value| Box::pin(async move { header(cx, &name, &value) }))
        .on_body(|cx, chunk| Box::pin(async move { body(cx, &chunk) }))
        .on_eom(|cx| Box::pin(end_of_message(cx)))
        .on_abort(|cx| Box::pin(async move { abort(cx) }))
        .on_close(|cx| Box::pin(async move { close(cx) }))
}

impl<E: Engine> Connection<E> {
    async fn ask(&self, facts: Facts) -> Reply {
        self.ask_at_end(facts).await.0
    }

    /// The reply, and the mark that the message shall carry.
    async fn ask_at_end(&self, facts: Facts) -> (Reply, Option<String>) {
        let answer = timeout(self.options.limits.answer, self.shared.engine.decide(facts)).await;
        answer.map(|answer| (answer.reply, answer.mark)).unwrap_or_else(|_| {
            let mut silent = self.shared.silent_engine.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(times) = silent.happened(Instant::now()) {
                tracing::warn!(limit = ?self.options.limits.answer, times, "no answer in time, mail goes on");
            }
            (Reply::Accept, None)
        })
    }

    fn report(&self, report: Option<Report>) {
        if let Some(report) = report {
            self.shared.engine.report(report);
        }
    }

    fn abort(&mut self) {
        let report = self.session.abort();
        self.report(report);
    }

    fn close(&mut self) {
        self.session.close().for_each(|report| self.shared.engine.report(report));
    }
}

impl<E: Engine> Drop for Connection<E> {
    fn drop(&mut self) {
        self.close();
    }
}

fn negotiate<E: Engine>(
    shared: Arc<Shared<E>>,
    cx: &mut NegotiateContext<Connection<E>>,
    actions: Actions,
    offered: ProtoOpts,
) -> Status {
    let (opts, macros) = negotiate::requested(actions, offered);
    cx.requested_actions = negotiate::actions(actions);
    cx.requested_opts = opts;
    cx.requested_macros = macros;
    let options = Arc::clone(&shared.options.borrow());
    cx.data = Some(Connection { shared, options, negotiated: opts, session: Session::default() });
    Status::Continue
}

async fn helo<E: Engine>(cx: &mut Context<Connection<E>>, name: CString) -> Status {
    let Some(connection) = &mut cx.data else { return Status::Continue };
    connection.abort();
    let facts = connection.session.helo(&name, translate::peer(&cx.macros));
    match facts {
        Some(facts) => reply::status(&connection.ask(facts).await, &mut cx.reply),
        None => Status::Continue,
    }
}

async fn mail<E: Engine>(cx: &mut Context<Connection<E>>, arguments: Vec<CString>) -> Status {
    let Some(connection) = &mut cx.data else { return Status::Continue };
    connection.abort();
    let mail = MailFrom {
        sender: address::sender(&arguments),
        plain: arguments.first().is_none_or(|path| plain::is_plain_path(path)),
        declared_size: address::declared_size(&arguments),
        login: translate::login(&cx.macros),
    };
    let Some(facts) = connection.session.mail(mail, translate::peer(&cx.macros)) else {
        // Nobody to judge: the mail server need not send the rest of this message.
        return Status::Accept;
    };
    let reply = connection.ask(facts).await;
    if reply != Reply::Accept {
        // The mail server counts this MAIL as not given, and the library passes no abort on.
        connection.abort();
    }
    reply::status(&reply, &mut cx.reply)
}

async fn rcpt<E: Engine>(cx: &mut Context<Connection<E>>, arguments: Vec<CString>) -> Status {
    let Some(connection) = &mut cx.data else { return Status::Continue };
    if connection.negotiated.contains(ProtoOpts::REJECTED_RCPT)
        && let Some(refusal) = translate::refusal(&cx.macros)
    {
        connection.report(connection.session.recipient_refused(refusal));
        return Status::Continue;
    }
    let recipient = address::recipient(&arguments);
    let Some(facts) = connection.session.rcpt(recipient.clone(), translate::queue_id(&cx.macros)) else {
        return Status::Continue;
    };
    let reply = connection.ask(facts).await;
    if reply == Reply::Accept {
        connection.session.recipient_accepted(recipient);
    }
    reply::status(&reply, &mut cx.reply)
}

fn header<E: Engine>(cx: &mut Context<Connection<E>>, name: &CStr, value: &CStr) -> Status {
    let Some(connection) = &mut cx.data else { return Status::Continue };
    let leading_space = connection.negotiated.contains(ProtoOpts::LEADING_SPACE);
    connection.session.field(&connection.options, name, value, leading_space);
    if connection.negotiated.contains(ProtoOpts::NOREPLY_HEADER) { Status::Noreply } else { Status::Continue }
}

fn body<E: Engine>(cx: &mut Context<Connection<E>>, chunk: &[u8]) -> Status {
    if let Some(connection) = &mut cx.data {
        connection.session.body(&connection.options, chunk);
    }
    Status::Continue
}

async fn end_of_message<E: Engine>(cx: &mut EomContext<Connection<E>>) -> Status {
    let Some(connection) = &mut cx.data else { return Status::Continue };
    let Some(facts) = connection.session.end_of_message(translate::queue_id(&cx.macros)) else {
        return Status::Continue;
    };
    let (reply, mark) = connection.ask_at_end(facts).await;
    if let (Reply::Accept, Some(mark)) = (&reply, mark) {
        // With this option the space after the colon is part of the value.
        let space = if connection.negotiated.contains(ProtoOpts::LEADING_SPACE) { " " } else { "" };
        add(&cx.actions, format!("{space}{mark}")).await;
    }
    let report = match reply {
        Reply::Accept => connection.session.received(),
        Reply::Defer(..) | Reply::Reject(_) => connection.session.abort(),
    };
    connection.report(report);
    reply::status(&reply, &mut cx.reply)
}

/// Puts the mark above all other fields. A mail server that has not offered that gets none: the message goes on
/// unmarked, and feedback has to look at its Received fields.
async fn add(actions: &EomActions, mark: String) {
    match actions.insert_header(0, MARK, mark).await {
        Ok(()) | Err(ActionError::NotAvailable) => {}
        Err(error) => tracing::debug!(%error, "a message goes on unmarked"),
    }
}

fn abort<E: Engine>(cx: &mut Context<Connection<E>>) -> Status {
    if let Some(connection) = &mut cx.data {
        connection.abort();
    }
    Status::Continue
}

fn close<E: Engine>(cx: &mut Context<Connection<E>>) -> Status {
    if let Some(connection) = &mut cx.data {
        connection.close();
    }
    Status::Continue
}
