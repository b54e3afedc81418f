//! `tempfail allow`, `block`, `forget` and `overrides`: what an operator says about a sender.

use super::output::show;
use super::remote::Daemon;
use crate::admin::overrides::{About, All, Entry, Gone, Ruled, Told, Trail, Wanted};
use clap::Args;
use ipnet::IpNet;
use policy_core::overrides::Effect;
use serde_json::json;
use std::fmt;
use std::net::IpAddr;
use std::process::ExitCode;

const KEY: &str = "An address (192.0.2.1), a network (192.0.2.0/24), a domain (example.com) or a mailbox \
(user@example.com)";

#[derive(Debug, Args)]
pub(super) struct AllowArgs {
    #[arg(value_name = "KEY", help = KEY)]
    key: String,
    /// How long, such as "12h" or "30d". For ever without it.
    #[arg(long = "for", value_name = "TIME")]
    lasting: Option<String>,
    /// Why, for those who read the list later.
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
    /// A key that is hardly ever meant (0.0.0.0/0, a top-level domain) is meant.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    with: With,
}

#[derive(Debug, Args)]
pub(super) struct BlockArgs {
    #[command(flatten)]
    allow: AllowArgs,
    /// Refuse for good with 550 5.7.1, instead of deferring with 421 4.7.0, by which nothing is lost.
    #[arg(long)]
    reject: bool,
}

#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    #[arg(value_name = "KEY", help = KEY)]
    key: String,
    /// A key that is hardly ever meant (0.0.0.0/0, a top-level domain) is meant.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    with: With,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Show who has changed what, the latest first.
    #[arg(long, conflicts_with = "remove")]
    audit: bool,
    /// Take back what was said about this key; nothing else is forgotten.
    #[arg(long, value_name = "KEY")]
    remove: Option<String>,
    #[command(flatten)]
    with: With,
}

#[derive(Debug, Args)]
struct With {
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

pub(super) fn allow(args: &AllowArgs) -> ExitCode {
    overrule(args, Effect::Allow)
}

pub(super) fn block(args: &BlockArgs) -> ExitCode {
    overrule(&args.allow, if args.reject { Effect::Reject } else { Effect::Block })
}

fn overrule(args: &AllowArgs, effect: Effect) -> ExitCode {
    let AllowArgs { key, lasting, note, force, with } = args;
    let wanted =
        Wanted { key: key.clone(), effect, lasting: lasting.clone(), note: note.clone(), force: *force };
    with.daemon
        .talk(async |client| Ok(show(&client.post::<Ruled>("/v1/overrides", &wanted).await?, with.json)))
}

pub(super) fn forget(args: &ForgetArgs) -> ExitCode {
    let ForgetArgs { key, force, with } = args;
    let about = About { key: key.clone(), force: *force };
    with.daemon.talk(async |client| Ok(show(&client.post::<Gone>("/v1/forget", &about).await?, with.json)))
}

pub(super) fn list(args: &ListArgs) -> ExitCode {
    let ListArgs { audit, remove, with } = args;
    with.daemon.talk(async |client| {
        Ok(match remove {
            Some(key) => {
                let lifted = client.post::<Ruled>("/v1/overrides/lift", json!({ "key": key })).await?;
                show(&Lifted(lifted), with.json)
            }
            None if *audit => show(&client.get::<Trail>("/v1/audit", ()).await?, with.json),
            None => show(&client.get::<All>("/v1/overrides", ()).await?, with.json),
        })
    })
}

/// An override that holds no more.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Lifted(Ruled);

impl fmt::Display for Lifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { key, effect, .. } = &self.0.said;
        writeln!(f, "{key}: {} holds no more", effect.word())?;
        lost_with_a_restart(f, self.0.kept)
    }
}

impl fmt::Display for Ruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { key, effect, until, .. } = &self.said;
        let until =
            until.as_ref().map_or_else(|| "until you remove it".to_owned(), |at| format!("until {at}"));
        writeln!(f, "{key}: {} {until}", effect.word())?;
        if *effect == Effect::Allow && key.parse::<IpNet>().is_err() && key.parse::<IpAddr>().is_err() {
            writeln!(
                f,
                "it holds where SPF or DKIM proves the sender, for a domain also where the reverse name does"
            )?;
        }
        if self.is_only_logged() {
            writeln!(
                f,
                "the mode is {}: a block is only logged, and answered once it is enforce",
                self.mode
            )?;
        }
        lost_with_a_restart(f, self.kept)
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, entries, overrides, decisions, kept } = self;
        writeln!(
            f,
            "{key}: forgotten ({entries} entries, {overrides} overrides, {decisions} recent decisions)"
        )?;
        lost_with_a_restart(f, *kept)
    }
}

fn lost_with_a_restart(f: &mut fmt::Formatter<'_>, kept: bool) -> fmt::Result {
    if kept { Ok(()) } else { writeln!(f, "the state is in memory only: a restart knows nothing of it") }
}

impl fmt::Display for All {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.overrides.is_empty() {
            return writeln!(f, "no overrides");
        }
        writeln!(f, "{:<8} {:<32} {:<24} {:<24} note", "effect", "key", "since", "until")?;
        for Told { key, effect, since, until, note, .. } in &self.overrides {
            let until = until.as_deref().unwrap_or("-");
            writeln!(f, "{:<8} {key:<32} {since:<24} {until:<24} {note}", effect.word())?;
        }
        Ok(())
    }
}

impl fmt::Display for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "no changes");
        }
        writeln!(f, "{:<24} {:<28} {:<8} {:<32} {:<24} note", "at", "who", "what", "key", "until")?;
        for Entry { at, who, what, key, until, note } in &self.changes {
            let until = until.as_deref().unwrap_or("-");
            writeln!(f, "{at:<24} {who:<28} {what:<8} {key:<32} {until:<24} {note}")?;
        }
        Ok(())
    }
}
