//! The command line. Each command has a module of its own; what it prints and how it ends goes through `output`.

mod doctor;
mod explain;
mod feedback;
mod keep;
mod log;
mod migrate;
mod mode;
mod output;
mod overrides;
mod private;
mod remote;
mod replay;
mod serve;
mod setup;
mod status;
mod top;

use clap::{Parser, Subcommand};
use output::{EX_USAGE, STATUSES, print};
use std::process::ExitCode;

/// A receiving-side mail policy engine for Postfix and Sendmail.
#[derive(Debug, Parser)]
#[command(name = "tempfail", version, after_help = STATUSES, max_term_width = 110)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer mail servers until told to stop.
    ///
    /// SIGHUP reads the configuration again, SIGTERM and SIGINT let sessions in progress end and then stop.
    Serve(serve::ServeArgs),
    /// Show how the running daemon is doing.
    Status(status::Args),
    /// Set the mode at once, until a reload or restart: "tempfail mode observe" stops all deferring.
    ///
    /// Sessions that have begun go on as they began. To keep it so, write it into the configuration too.
    Mode(mode::ModeArgs),
    /// Explain what is held of an address, a domain, a mailbox or a decision, why, and what would change it.
    Explain(explain::Args),
    /// Show whose mail is deferred most, who sends most, who is worst.
    Top(top::Args),
    /// Show the latest decisions, and with --follow those that are made from now on.
    ///
    /// A line is as in the log of the daemon, without the recipient, which is held as a hash alone. Of at most ten
    /// thousand decisions; the log itself has all.
    Log(log::Args),
    /// Let the mail of an address, network, domain or mailbox in.
    ///
    /// A domain or mailbox is known by SPF or DKIM, a domain by a reverse name that leads back as well: a forged
    /// sender gains nothing.
    Allow(overrides::AllowArgs),
    /// Defer the mail of an address, network, domain or mailbox, or refuse it.
    Block(overrides::BlockArgs),
    /// Forget everything held of an address, network, domain or mailbox.
    Forget(overrides::ForgetArgs),
    /// Show what was allowed and blocked, and who has changed what.
    Overrides(overrides::ListArgs),
    /// Learn that the message on standard input is spam, or is not: for IMAP servers and people.
    ///
    /// The message must be as it was delivered here, with its header; its text is not kept. A later word corrects an
    /// earlier one.
    Learn(feedback::LearnArgs),
    /// Take in the complaint report (RFC 5965) on standard input: for an alias of the mail server.
    Feedback(feedback::FeedbackArgs),
    /// Print the lines that make the mail server ask, for this configuration, and those that undo them.
    ///
    /// Where Postfix is on this host, what its lists have is kept. MAIL_CONFIG names another one's directory.
    Setup(setup::SetupArgs),
    /// Look at the running system and say what is wrong with it: the daemon, the mail server, the way between.
    ///
    /// One finding a line, each with what to do; exit status 1 when there is any.
    Doctor(doctor::DoctorArgs),
    /// Check a configuration and say everything that is wrong with it.
    CheckConfig(serve::CheckArgs),
    /// Print a configuration with every key at its default, commented.
    Config,
    /// Play a story through a daemon of its own, on loopback: the way to see what this is.
    Demo,
    /// Print the state as JSON lines: of the running daemon, or of a stopped one's directory.
    Export(keep::ExportArgs),
    /// Take JSON lines into the state: of the running daemon, or of a stopped one's directory.
    ///
    /// Evidence is added to what is there. All lines are read and checked before anything is changed. Or take over
    /// what postgrey or sqlgrey know of clients, and print what their settings or rspamd's come to here.
    Import(keep::ImportArgs),
    /// Run the engine over a recording of mail before it goes live, and report what it would have done.
    ///
    /// A labelled trace shows how well spam is told from ham, and what enforcing the policy would delay; a mail
    /// log shows what would have been deferred, whose it was, and why.
    Replay(crate::replay::Args),
    /// Fit the weights that ship with the program, and print them as its source text.
    #[command(hide = true)]
    Fit(crate::replay::FitArgs),
}

/// Runs the program.
pub fn run() -> ExitCode {
    match CommandLine::try_parse() {
        Ok(CommandLine { command }) => command.run(),
        Err(error) => {
            // Nobody may be there to read it.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

impl Command {
    fn run(self) -> ExitCode {
        match self {
            Self::Serve(args) => serve::run(args),
            Self::Status(args) => status::run(&args),
            Self::Mode(args) => mode::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Top(args) => top::run(&args),
            Self::Log(args) => log::run(&args),
            Self::Setup(args) => setup::run(&args),
            Self::Doctor(args) => doctor::run(&args),
            Self::Allow(args) => overrides::allow(&args),
            Self::Block(args) => overrides::block(&args),
            Self::Forget(args) => overrides::forget(&args),
            Self::Overrides(args) => overrides::list(&args),
            Self::Learn(args) => feedback::learn(&args),
            Self::Feedback(args) => feedback::feedback(&args),
            Self::Export(args) => keep::export(&args),
            Self::Import(args) => keep::import(&args),
            Self::CheckConfig(args) => serve::check(args),
            Self::Config => print(crate::config::SAMPLE),
            Self::Demo => output::ended(crate::demo::run()),
            Self::Replay(args) => replay::replay(&args),
            Self::Fit(args) => replay::fit(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
