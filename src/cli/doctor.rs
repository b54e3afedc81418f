//! `tempfail doctor`.

use super::output::{bad_config, show};
use super::remote::Daemon;
use crate::admin::client::ClientError;
use crate::admin::status::Status;
use crate::doctor::daemon::Seen;
use crate::doctor::{Finding, daemon, postfix, sendmail};
use crate::mta::postfix::{Postfix, Unread};
use clap::Args;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

/// Where Sendmail's configuration is.
const SENDMAIL_CF: &str = "/etc/mail/sendmail.cf";

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Sendmail's configuration. Without it, /etc/mail/sendmail.cf is looked at if there is no Postfix.
    #[arg(long, value_name = "FILE")]
    sendmail_cf: Option<PathBuf>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
}

/// What was found, and what was looked at.
#[derive(Serialize)]
struct Diagnosis {
    findings: Vec<Finding>,
    /// `postfix` and `sendmail`, as far as there are any.
    mail_servers: Vec<&'static str>,
    /// Why no Postfix is among them. A Postfix that was never set up fails too, so it is no finding.
    #[serde(skip)]
    unread: Option<Unread>,
}

/// Looks, and says what is wrong: exit status 1 when something is.
pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let config = match args.daemon.config() {
        Ok(config) => config,
        Err(error) => return bad_config(&error),
    };
    let status = args.daemon.ask(async |client| client.get::<Status>("/v1/status", ()).await);
    let mut findings = match &status {
        Ok(status) => daemon::findings(status, &Seen::of(status, &config, SystemTime::now())),
        Err(error) => vec![unreachable(error)],
    };
    let (mut mail_servers, mut unread) = (Vec::new(), None);
    match args.sendmail_cf.is_none().then(Postfix::find) {
        Some(Ok(found)) => {
            mail_servers.push("postfix");
            findings.extend(postfix::findings(&found, &config));
        }
        Some(Err(error)) => unread = Some(error),
        None => (),
    }
    let cf = args.sendmail_cf.clone().or_else(|| mail_servers.is_empty().then(|| SENDMAIL_CF.into()));
    match cf.map(|cf| (std::fs::read_to_string(&cf), cf)) {
        Some((Ok(text), _)) => {
            mail_servers.push("sendmail");
            findings.extend(sendmail::findings(&text, &config));
        }
        Some((Err(error), cf)) if args.sendmail_cf.is_some() => {
            let what = format!("{} cannot be read: {error}", cf.display());
            findings.push(Finding::new("sendmail-cf", what, "name the file that Sendmail runs with"));
        }
        _ => {}
    }
    let diagnosis = Diagnosis { findings, mail_servers, unread };
    let shown = show(&diagnosis, args.json);
    if diagnosis.findings.is_empty() { shown } else { ExitCode::FAILURE }
}

fn unreachable(error: &ClientError) -> Finding {
    Finding::new(
        "unreachable",
        error.to_string(),
        "start it (systemctl start tempfail), or see [admin] listen",
    )
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.iter().try_for_each(|finding| writeln!(f, "{finding}"))?;
        match &self.unread {
            Some(unread @ Unread::Fails(_)) => writeln!(f, "Postfix was not looked at: {unread}")?,
            _ if self.mail_servers.is_empty() => {
                writeln!(f, "no mail server was looked at: there is neither postconf nor {SENDMAIL_CF} here")?
            }
            _ => (),
        }
        if self.findings.is_empty() {
            writeln!(f, "nothing is wrong that can be seen from here")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postconf_that_fails_is_not_called_missing() {
        let shown = |unread, mail_servers| {
            Diagnosis { findings: Vec::new(), mail_servers, unread: Some(unread) }.to_string()
        };
        assert!(shown(Unread::NotHere, Vec::new()).contains("there is neither postconf nor"));
        for looked_at in [Vec::new(), vec!["sendmail"]] {
            let failed = shown(Unread::Fails("fatal: open /none/main.cf".to_owned()), looked_at);
            let begin = "Postfix was not looked at: postconf fails: fatal: open /none/main.cf\n";
            assert!(failed.starts_with(begin) && !failed.contains("neither"), "{failed}");
        }
    }
}
