//! What `docs/feedback.md` tells an operator to set up, set up as it stands there: Dovecot, an alias, content filters.

use crate::marks::{Mailbox, letter};
use crate::set_up::{SetUp, pasted, proper};
use crate::tempfail::{Failure, Tempfail, configuration};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfail::address::Address;
use tempfile::TempDir;
use test_support::smtp::Visit;
use test_support::{Dovecot, Need, Postfix, Rspamd, SpamAssassin, Suite, TestResult, server_tests};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const DOCUMENT: &str = include_str!("../../docs/feedback.md");
const PLACE: &str = "/usr/lib/tempfail/dovecot";
const PROGRAM: &str = "/usr/bin/tempfail";
const FILES: [(&str, &str); 3] = [
    ("learn-spam.sieve", include_str!("../../packaging/dovecot/learn-spam.sieve")),
    ("learn-ham.sieve", include_str!("../../packaging/dovecot/learn-ham.sieve")),
    ("tempfail-learn", include_str!("../../packaging/dovecot/tempfail-learn")),
];

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Postfix, Need::Dovecot],
        what_is_moved_to_junk_and_back_is_learned_by_imapsieve,
    );
    let suite = server_tests!(
        suite,
        [Need::Postfix],
        the_programs_say_by_their_status_what_became_of_it,
        a_report_to_the_alias_is_taken_in_and_kept_while_the_daemon_is_away,
        the_blocks_of_the_document_are_the_files_of_the_package,
    );
    let suite = server_tests!(
        suite,
        [Need::Postfix, Need::Rspamd],
        rspamds_verdict_is_read_and_a_forged_one_is_removed
    );
    server_tests!(
        suite,
        [Need::Postfix, Need::SpamAssassin],
        spamassassins_verdict_is_read_and_a_forged_one_is_removed,
    )
}

/// A daemon with a state and an admin interface, to whose socket those come that the operator lets say what they think.
struct Administered {
    tempfail: Tempfail,
    directory: TempDir,
}

impl Administered {
    async fn start(toml: &str) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        mode(directory.path(), 0o755)?;
        let path = |name: &str| directory.path().join(name);
        // The block of the document, with the user and the group of the mailboxes here, whom the socket lets in.
        let users = pasted(DOCUMENT, "users")?;
        let users = users.replace("\"vmail\"", "\"nogroup\"").replace("[\"nogroup\"]", "[\"nobody\"]");
        let admin = format!("state.directory = \"{}\"\n{users}\n{toml}", path("state").display());
        let mut config = configuration(&admin)?;
        let loopback = || vec![Address::Tcp(([127, 0, 0, 1], 0).into())];
        config.policy_service.listen = loopback();
        config.milter.listen = loopback();
        config.admin.listen = loopback();
        config.admin.listen.push(Address::Unix(path("admin.sock")));
        let tempfail = Tempfail::start_as_configured(config).await?;
        Ok(Self { tempfail, directory })
    }

    /// The program, told where this daemon is, as a command of the shell.
    fn program(&self) -> Result<String, Failure> {
        let socket = self.directory.path().join("admin.sock");
        let wrapper = self.directory.path().join("tempfail");
        let text = format!(
            "#!/bin/sh\nexec {} \"$@\" --admin unix:{}\n",
            env!("CARGO_BIN_EXE_tempfail"),
            socket.display()
        );
        std::fs::write(&wrapper, text)?;
        std::fs::set_permissions(&wrapper, Permissions::from_mode(0o755))?;
        Ok(wrapper.display().to_string())
    }
}

fn corp(postfix: &Postfix) -> Result<Visit, Failure> {
    proper(postfix.address(), "198.51.100.1", "mail.corp.example")
}

/// Runs a command with this on standard input: its status and what it said.
async fn fed(command: &str, arguments: &[&str], input: &str) -> Result<(i32, String), Failure> {
    let mut child = Command::new(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    // A program that has seen what is wrong may be gone before it has read what is fed to it.
    match stdin.write_all(input.as_bytes()).await {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => drop(stdin),
    }
    let output = child.wait_with_output().await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

/// The files of the package in a directory, with the program of this daemon in them.
fn installed(directory: &Path, program: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut scripts = Vec::new();
    for (name, text) in FILES {
        let path = directory.join(name);
        std::fs::write(&path, text.replace(PROGRAM, program))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        if name.ends_with(".sieve") {
            scripts.push(path);
        }
    }
    Ok(scripts)
}

async fn what_is_moved_to_junk_and_back_is_learned_by_imapsieve() -> TestResult {
    let daemon = Administered::start("").await?;
    let tempfail = &daemon.tempfail;
    let directory = tempfile::tempdir()?;
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    let scripts = installed(directory.path(), &daemon.program()?)?;
    let scripts: Vec<&Path> = scripts.iter().map(PathBuf::as_path).collect();
    let lines = pasted(DOCUMENT, "dovecot")?.replace(PLACE, &directory.path().display().to_string());
    let dovecot = Dovecot::start(&lines, &scripts).await?;
    let transport = format!("virtual_transport = lmtp:inet:{}", dovecot.lmtp());
    let postfix = SetUp::Milter.builder(tempfail)?.main_cf(&transport).start().await?;
    let log = postfix.log().from_here();
    corp(&postfix)?.send(&letter("1")).await?;
    log.wait_for("status=sent").await?;
    let line = tempfail.last()?;
    tempfail.until("its acceptance", |t| t.weights(&line).is_ok_and(|w| w == (0.0, 0.25))).await?;
    let mut imap = dovecot.imap("good").await?;
    for (from, to, weights) in [
        ("INBOX", "Junk", (2.0, 0.0)),
        ("Junk", "INBOX", (0.0, 1.25)),
        ("INBOX", "Junk", (2.0, 0.0)),
        ("Junk", "Trash", (2.0, 0.0)),
    ] {
        imap.command(&format!("SELECT {from}")).await?;
        // The pipe's end is awaited by Dovecot, and the daemon answers once it is on the disk.
        imap.move_first_to(to).await?;
        assert_eq!(tempfail.weights(&line)?, weights, "from {from} to {to}; {}", dovecot.log().text()?);
    }
    let heard = tempfail.state().heard_of(&[policy_core::identity::Key::address([198, 51, 100, 1].into())]);
    assert_eq!((heard[0].source, heard[0].spam), (policy_core::feedback::Source::Person, 1));
    // What did not come by here hurts nobody.
    imap.command("SELECT INBOX").await?;
    let text = "Subject: mine\r\n\r\nI wrote this.\r\n";
    imap.command(&format!("APPEND Junk {{{}+}}\r\n{text}", text.len())).await?;
    dovecot.log().wait_for("no message that was let in here").await?;
    Ok(())
}

async fn the_programs_say_by_their_status_what_became_of_it() -> TestResult {
    let daemon = Administered::start("").await?;
    let (tempfail, program) = (&daemon.tempfail, daemon.program()?);
    let mailbox = Mailbox::new()?;
    let postfix = mailbox.delivered_to(SetUp::Milter.builder(tempfail)?).start().await?;
    let text = mailbox.deliver(&postfix, &corp(&postfix)?, &letter("1")).await?;
    let (status, said) = fed(&program, &["learn", "--spam", "--reporter", "anna"], &text).await?;
    assert_eq!(
        (status, said.starts_with("spam: counted (from 198.51.100.1, decision ")),
        (0, true),
        "{said}"
    );
    let (status, said) = fed(&program, &["learn", "--ham", "--reporter", "anna", "--json"], &text).await?;
    assert!(status == 0 && said.contains("\"effect\":\"corrected\""), "{said}");
    for (arguments, input, expected) in [
        (vec!["learn", "--spam"], "Subject: foreign\n\nx\n", 65),
        (vec!["learn", "--spam"], "", 65),
        (vec!["feedback", "--strict"], "From: a@b.example\n\nnothing of yours\n", 65),
        (vec!["feedback", "--strict"], "From: a@b.example\nFeedback-Type: auth-failure\n\nx\n", 65),
        (vec!["feedback"], "From: a@b.example\n\nnothing of yours\n", 0),
        (vec!["feedback"], "From: a@b.example\nFeedback-Type: auth-failure\n\nx\n", 0),
        (vec!["feedback"], "", 0),
        (vec!["learn"], &*"more than a pipe holds\n".repeat(10_000), 64),
    ] {
        let (status, said) = fed(&program, &arguments, input).await?;
        assert_eq!(status, expected, "{arguments:?}: {said}");
    }
    // Nobody there, and a token that is none.
    let nobody = ["learn", "--spam", "--admin", "127.0.0.1:1"];
    assert_eq!(fed(env!("CARGO_BIN_EXE_tempfail"), &nobody, &text).await?.0, 75);
    let admin =
        tempfail.listening().iter().find(|l| l.protocol == "admin").ok_or("none")?.address.to_string();
    let untold = ["learn", "--spam", "--admin", &admin, "--token-file", "/nowhere"];
    assert_eq!(fed(env!("CARGO_BIN_EXE_tempfail"), &untold, &text).await?.0, 77);
    let kept = ["feedback", "--admin", &admin, "--token-file", "/nowhere"];
    let complaint = report(&text);
    assert_eq!(fed(env!("CARGO_BIN_EXE_tempfail"), &kept, &complaint).await?.0, 75);
    let strict = [&kept[..], &["--strict"]].concat();
    assert_eq!(fed(env!("CARGO_BIN_EXE_tempfail"), &strict, &complaint).await?.0, 77);
    Ok(())
}

/// A complaint about a message, as another provider would send it.
fn report(text: &str) -> String {
    format!(
        "Subject: complaint\r\nFrom: fbl@isp.example\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nThis is a complaint.\r\n\r\n\
         --b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{text}\r\n--b--\r\n"
    )
}

async fn a_report_to_the_alias_is_taken_in_and_kept_while_the_daemon_is_away() -> TestResult {
    let daemon = Administered::start("").await?;
    let (tempfail, program) = (&daemon.tempfail, daemon.program()?);
    let mailbox = Mailbox::new()?;
    let directory = tempfile::tempdir()?;
    std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
    let aliases = directory.path().join("aliases");
    let alias = pasted(DOCUMENT, "alias")?.replace(PROGRAM, &program);
    // The same while the daemon is away: nobody listens on port 1.
    let away = format!("away: \"|{} feedback --admin 127.0.0.1:1\"", env!("CARGO_BIN_EXE_tempfail"));
    std::fs::write(&aliases, format!("{alias}\n{away}\n"))?;
    let local = format!(
        "mydestination = local.example\nlocal_recipient_maps =\nalias_maps = texthash:{0}\nalias_database = texthash:{0}\n\
         default_privs = nobody\nmaximal_queue_lifetime = 1h",
        aliases.display()
    );
    // texthash wants no colon behind the name.
    let table = std::fs::read_to_string(&aliases)?.replace("fbl:", "fbl").replace("away:", "away");
    std::fs::write(&aliases, table)?;
    let builder = mailbox.delivered_to(SetUp::Milter.builder(tempfail)?).main_cf(&local);
    let postfix = builder.start().await?;
    let text = mailbox.deliver(&postfix, &corp(&postfix)?, &letter("1")).await?;
    let line = tempfail.last()?;
    let isp = proper(postfix.address(), "203.0.113.25", "mail.isp.example")?;
    let send = |to: &str| test_support::smtp::Mail::from("").to(to).message(report(&text).as_bytes());
    let log = postfix.log().from_here();
    isp.send(&send("fbl@local.example")).await?;
    log.wait_for("status=sent (delivered to command").await?;
    assert_eq!(tempfail.weights(&line)?.0, 2.0);
    let heard = tempfail.state().heard_of(&[policy_core::identity::Key::address([198, 51, 100, 1].into())]);
    assert_eq!(heard[0].source, policy_core::feedback::Source::Complaint);
    // What is of no use goes back to nobody: it may be in the name of somebody who has not sent it.
    let log = postfix.log().from_here();
    let useless = report(&text).replace("Feedback-Type: abuse", "Feedback-Type: auth-failure");
    isp.send(
        &test_support::smtp::Mail::from("joe@isp.example")
            .to("fbl@local.example")
            .message(useless.as_bytes()),
    )
    .await?;
    let dropped = log.wait_for("fbl@local.example>, relay=local").await?;
    assert!(dropped.contains("status=sent (delivered to command"), "{dropped}");
    let log = postfix.log().from_here();
    isp.send(&send("away@local.example")).await?;
    let kept = log.wait_for("away@local.example>, relay=local").await?;
    assert!(kept.contains("status=deferred"), "{kept}");
    Ok(())
}

async fn the_blocks_of_the_document_are_the_files_of_the_package() -> TestResult {
    let conf = include_str!("../../packaging/dovecot/90-tempfail.conf");
    assert_eq!(format!("{}\n", pasted(DOCUMENT, "dovecot")?), conf);
    let headers = include_str!("../../packaging/rspamd/milter_headers.conf");
    assert_eq!(format!("{}\n", pasted(DOCUMENT, "rspamd")?), headers);
    Ok(())
}

async fn rspamds_verdict_is_read_and_a_forged_one_is_removed() -> TestResult {
    let headers = pasted(DOCUMENT, "rspamd")?;
    let rspamd = Rspamd::start(&[("milter_headers.conf", headers)]).await?;
    let lines = pasted(DOCUMENT, "rspamd: postconf")?;
    let lines = lines.replace("11332", &rspamd.milter().port().to_string());
    a_filters_verdict_is_read_and_a_forged_one_is_removed(&lines, Rspamd::SPAM).await
}

async fn spamassassins_verdict_is_read_and_a_forged_one_is_removed() -> TestResult {
    let spamassassin = SpamAssassin::start().await?;
    let lines = pasted(DOCUMENT, "spamassassin: postconf")?;
    let lines = lines.replace("10783", &spamassassin.milter().port().to_string());
    a_filters_verdict_is_read_and_a_forged_one_is_removed(&lines, SpamAssassin::SPAM).await
}

/// With the lines of the document: a good message, then spam with a verdict that its sender wrote.
async fn a_filters_verdict_is_read_and_a_forged_one_is_removed(lines: &str, spam: &str) -> TestResult {
    let tempfail = Tempfail::start(pasted(DOCUMENT, "filter: tempfail")?).await?;
    let mailbox = Mailbox::new()?;
    let lines = lines.replace("10422", &tempfail.milter().port().to_string());
    let postfix = mailbox.delivered_to(Postfix::builder().shell(&lines)).start().await?;
    let client = corp(&postfix)?;
    let good = letter("1").header("To", "good@dest.example");
    let text = mailbox.deliver(&postfix, &client, &good).await?;
    assert!(text.contains("X-Spam-Status: No, score="), "{text}");
    let line = tempfail.last()?;
    tempfail.until("a good verdict", |t| t.weights(&line).is_ok_and(|w| w == (0.0, 1.25))).await?;
    // rspamd counts a verdict of another filter before it, which it finds in this field.
    let flagged = letter("2").header("To", "good@dest.example").header("X-Spam-Flag", "YES");
    let forged = flagged.header("X-Spam-Status", "No, score=-99");
    let spam = forged.body(spam);
    let text = mailbox.deliver(&postfix, &client, &spam).await?;
    assert!(text.contains("X-Spam-Status: Yes, score=") && !text.contains("score=-99"), "{text}");
    tempfail.until("a bad verdict", |t| t.weights(&line).is_ok_and(|w| w == (1.0, 1.25))).await?;
    Ok(())
}
