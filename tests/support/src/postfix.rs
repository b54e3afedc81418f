//! A private Postfix on loopback, configured with lines as an operator would paste them.
//!
//! It accepts mail for `good@`, `good2@`, `good3@` and `postmaster@dest.example`, refuses other
//! recipients there with `550 5.1.1` and other domains with `554 5.7.1`, and throws accepted mail away.
//! No client is "its own network", and any client on loopback may say XCLIENT.
//!
//! Known limits: a client that binds another address than 127.0.0.1 makes Postfix look up a name for
//! it in the real DNS; use XCLIENT instead, which looks nothing up. TLS and SASL are not set up.

mod config;
mod installation;
mod processes;

use crate::command::run;
use crate::instance::{Instance, command_line, make_directory, write_file};
use crate::{Error, Log, ports};
use config::{Smtpd, logical_lines, main_cf, master_cf};
use installation::Installation;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::process::Command;

pub(crate) use installation::is_installed;

/// How often a start is tried again because another process took the port in between.
const PORT_ATTEMPTS: usize = 5;

/// Warnings of the moment, not of what is tested: cleanup compares a new file's time with its own clock, and
/// on some file systems finds them a second apart when a second ends in between.
const OF_THE_CLOCK: [&str; 2] = ["warning: file system clock is ", "warning: resetting file time stamps"];

/// What a private Postfix is to be like.
#[derive(Clone, Debug)]
pub struct PostfixBuilder {
    steps: Vec<Step>,
    services: Vec<Smtpd>,
}

/// One thing the operator does to the configuration.
#[derive(Clone, Debug)]
enum Step {
    MainCf(String),
    Shell(String),
}

/// A running private Postfix. Dropping it stops it and removes all its files.
#[derive(Debug)]
pub struct Postfix {
    installation: Installation,
    instance: Instance,
    services: Vec<Smtpd>,
}

impl Postfix {
    /// A Postfix with one SMTP service, called `smtp`, that follows `main.cf` alone.
    pub fn builder() -> PostfixBuilder {
        PostfixBuilder { steps: Vec::new(), services: vec![Smtpd::new("smtp", &[])] }
    }

    /// Where the service `smtp` listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.services[0].port).into()
    }

    /// Where the service `name` listens, if there is one.
    pub fn address_of(&self, name: &str) -> Option<SocketAddr> {
        let service = self.services.iter().find(|service| service.name == name)?;
        Some((Ipv4Addr::LOCALHOST, service.port).into())
    }

    /// Its mail log.
    pub fn log(&self) -> &Log {
        self.instance.log()
    }

    /// The warnings it has logged so far, but for those of its clock against the file system's.
    pub fn warnings(&self) -> Result<Vec<String>, Error> {
        Ok(self.log().text()?.lines().filter(|line| is_warning(line)).map(str::to_owned).collect())
    }

    /// The directory that holds everything of this instance; its configuration is in `etc` there.
    pub fn directory(&self) -> &Path {
        self.instance.directory()
    }

    /// Puts more `main.cf` lines in force, as [`PostfixBuilder::main_cf`] does before the start. No SMTP
    /// session may be open, since it would keep the old ones.
    pub async fn reconfigure(&self, lines: &str) -> Result<(), Error> {
        let etc = self.directory().join("etc");
        self.installation.edit(&etc, lines).await?;
        settle(&etc)?;
        let old = processes::smtp_servers(self.directory())?;
        let log = self.log().from_here();
        run(self.installation.command("postfix").arg("-c").arg(etc).arg("reload")).await?;
        log.wait_for("reload -- version").await?;
        processes::wait_until_gone(self.directory(), &old).await
    }
}

fn is_warning(line: &str) -> bool {
    line.contains("warning: ") && !OF_THE_CLOCK.iter().any(|of_the_clock| line.contains(of_the_clock))
}

impl PostfixBuilder {
    /// Adds `main.cf` lines verbatim, comments and continued lines included; `postconf -e` enters them.
    pub fn main_cf(mut self, lines: &str) -> Self {
        self.steps.push(Step::MainCf(lines.to_owned()));
        self
    }

    /// Runs commands as the documentation gives them to an operator, such as `postconf -e '...'`.
    /// Postfix's commands then mean this instance, by `MAIL_CONFIG`.
    pub fn shell(mut self, commands: &str) -> Self {
        self.steps.push(Step::Shell(commands.to_owned()));
        self
    }

    /// Adds an SMTP service on a port of its own, with `name = value` options that override `main.cf`.
    pub fn smtpd(mut self, name: &str, options: &[&str]) -> Self {
        self.services.push(Smtpd::new(name, options));
        self
    }

    /// Starts it and waits until it listens.
    pub async fn start(mut self) -> Result<Postfix, Error> {
        let installation = Installation::find().await?;
        for _ in 1..PORT_ATTEMPTS {
            match self.launch(&installation).await {
                Err(Error::Died { log, .. }) if log.contains("Address already in use") => {}
                started => return started,
            }
        }
        self.launch(&installation).await
    }

    async fn launch(&mut self, installation: &Installation) -> Result<Postfix, Error> {
        for service in &mut self.services {
            service.port = ports::free_port()?;
        }
        // -s keeps standard output open in every process, by which the keeper knows the last one.
        let master =
            |root: &Path| command_line(&[&installation.daemon("master"), &"-c", &root.join("etc"), &"-s"]);
        let mut instance = Instance::prepare("Postfix", |root| root.join("log/mail.log"), master)?;
        self.configure(installation, instance.directory()).await?;
        let log = instance.log().clone();
        instance.launch(&log, "daemon started").await?;
        Ok(Postfix { installation: installation.clone(), instance, services: self.services.clone() })
    }

    async fn configure(&self, installation: &Installation, root: &Path) -> Result<(), Error> {
        for (name, mode) in [("etc", 0o755), ("spool", 0o755), ("data", 0o700), ("log", 0o755)] {
            make_directory(&root.join(name), mode)?;
        }
        installation.give_to_mail_owner(&root.join("data")).await?;
        let etc = root.join("etc");
        write_file(&etc.join("main.cf"), &main_cf(root, installation))?;
        write_file(&etc.join("master.cf"), &master_cf(&self.services))?;
        for step in &self.steps {
            match step {
                Step::MainCf(lines) => installation.edit(&etc, lines).await?,
                Step::Shell(commands) => installation.shell(&etc, commands).await?,
            }
        }
        settle(&etc)?;
        // It makes the queue directories, and finds what is wrong before the start does.
        run(installation.command("postfix").arg("-c").arg(&etc).arg("check")).await.map(drop)
    }
}

/// Postfix waits with each start of a program until `main.cf` has not changed for more than a second, in
/// case someone is still writing it. Nobody is, so the file is given an older date.
fn settle(etc: &Path) -> Result<(), Error> {
    let file = etc.join("main.cf");
    let date = SystemTime::now().checked_sub(Duration::from_secs(60)).unwrap_or(SystemTime::UNIX_EPOCH);
    let opened = std::fs::File::options().append(true).open(&file);
    opened.and_then(|main_cf| main_cf.set_modified(date)).map_err(Error::io(file.display().to_string()))
}

impl Installation {
    /// Enters `main.cf` lines with `postconf -e`, which wants each on one line.
    async fn edit(&self, etc: &Path, lines: &str) -> Result<(), Error> {
        let mut postconf = self.command("postconf");
        run(postconf.arg("-c").arg(etc).arg("-e").args(logical_lines(lines))).await.map(drop)
    }

    async fn shell(&self, etc: &Path, commands: &str) -> Result<(), Error> {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", commands]).env("MAIL_CONFIG", etc).env("PATH", self.search_path());
        run(&mut shell).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clock_s_warnings_are_passed_over() {
        let of = |text: &str| is_warning(&format!("Nov 29 20:22:05 mx postfix/cleanup[30498]: {text}"));
        assert!(of("warning: milter inet:127.0.0.1:10422: can't read SMFIC_MAIL reply packet header"));
        assert!(!of("warning: file system clock is 1 seconds ahead of local clock"));
        assert!(!of("warning: resetting file time stamps - this hurts performance"));
        assert!(!of("F3F929A20B7: message-id=<1@mx.test.example>"));
    }
}
