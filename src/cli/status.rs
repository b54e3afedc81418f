//! `tempfail status`.

use super::output::show;
use super::remote::Daemon;
use crate::admin::status::{Connections, NotReloaded, Status};
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// Shows how the daemon is doing.
pub(super) fn run(args: &Args) -> ExitCode {
    args.daemon.talk(async |client| Ok(show(&client.get::<Status>("/v1/status", ()).await?, args.json)))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uptime = humantime::format_duration(Duration::from_secs(self.uptime_seconds));
        writeln!(f, "tempfail {}, up {uptime} since {}", self.version, self.started)?;
        write!(f, "mode       {}", self.mode)?;
        writeln!(f, "config     in force since {}", self.configuration.since)?;
        if let Some(NotReloaded { at, why }) = &self.configuration.not_reloaded {
            writeln!(f, "           NOT RELOADED at {at}, so the one before stays in force: {why}")?;
        }
        if self.stuck {
            writeln!(
                f,
                "STUCK      so many decisions hang that none is begun any more: mail is let in unjudged"
            )?;
        }
        for socket in &self.listening {
            writeln!(f, "listening  {:<7} {}", socket.protocol, socket.address)?;
        }
        for front in &self.front_ends {
            let last = front
                .last_asked
                .as_ref()
                .map_or("no mail server has asked yet".to_owned(), |last| format!("the last at {last}"));
            writeln!(f, "asked      {:<7} {:>12} questions, {last}", front.protocol, front.questions)?;
            let Connections { open, max, refused } = front.connections;
            if max == 0 {
                // It listens nowhere.
                continue;
            }
            let refused = Some(refused).filter(|refused| *refused > 0);
            let refused = refused.map_or(String::new(), |times| format!(", {times} REFUSED: too many"));
            writeln!(f, "           {:<7} {open:>12} of {max} connections open{refused}", "")?;
        }
        let more = if self.clients.or_more { " or more" } else { "" };
        writeln!(f, "clients    {}{more} addresses", self.clients.addresses)?;
        self.decisions(f)?;
        self.memory(f)?;
        self.lookups(f)?;
        let model = &self.model;
        writeln!(
            f,
            "model      learned from {} labels; loss {:.3}, as shipped {:.3}; {} fallbacks{}",
            model.labels,
            model.loss,
            model.shipped_loss,
            model.fallbacks,
            if model.spam_only { "; learns nothing, since spam is all that is reported" } else { "" }
        )
    }
}

impl Status {
    fn decisions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = &self.decisions;
        writeln!(
            f,
            "decisions  {}: {} passed ({} of them only because of the mode), {} deferred, {} rejected",
            d.total, d.pass, d.would_defer, d.defer, d.reject
        )?;
        for counted in &d.by_reason {
            let would = counted.would.as_ref().map_or(String::new(), |would| format!(" (would {would})"));
            let answer = format!("{}{would}", counted.action);
            writeln!(
                f,
                "           {:<7} {answer:<20} {:<22} {:>10}",
                counted.protocol, counted.reason, counted.count
            )?;
        }
        Ok(())
    }

    fn memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let [taken, most] = [self.memory.bytes, self.memory.max].map(|bytes| mebibytes(bytes as u64));
        let all = self.memory.resident.map(mebibytes);
        let all = all.map_or(String::new(), |all| format!("; {all:.0} MiB the whole process"));
        writeln!(f, "memory     {taken:.1} MiB of {most:.0} MiB{all}")?;
        for table in &self.memory.tables {
            writeln!(
                f,
                "           {:<14} {:>10} of {:>10} entries",
                table.table, table.entries, table.capacity
            )?;
        }
        match (&self.state.directory, self.state.durable) {
            (None, _) => writeln!(f, "state      in memory only: a restart begins anew"),
            (Some(directory), true) => writeln!(f, "state      kept in {directory}"),
            (Some(directory), false) => {
                writeln!(f, "state      NOT WRITTEN to {directory} just now, see the log")
            }
        }
    }

    fn lookups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dns {
            None => writeln!(f, "dns        nothing is looked up")?,
            Some(dns) => {
                let suspended =
                    dns.suspended_for.map_or(String::new(), |secs| format!("NOBODY ANSWERS for {secs} s; "));
                let more = [(dns.not_asked, "not asked"), (dns.waiting as u64, "waiting")];
                let more = more.into_iter().filter(|(count, _)| *count > 0);
                let more: String = more.map(|(count, what)| format!(", {count} {what}")).collect();
                writeln!(
                    f,
                    "dns        {suspended}{} questions, {} from the cache, {} sent, {} timed out, {} failed{more}",
                    dns.questions, dns.hits, dns.sent, dns.timed_out, dns.server_failed
                )?;
            }
        }
        for list in &self.lists {
            writeln!(
                f,
                "list       {}: {}, {} asked, {} failed",
                list.list, list.standing, list.asked, list.failed
            )?;
        }
        Ok(())
    }
}
