//! Unix sockets inside the queue directory, for an smtpd that is confined to it, as the document tells.

use crate::set_up::{SetUp, mail, refusal, stranger};
use crate::tempfail::{Failure, Tempfail, configuration};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use test_support::{Need, Postfix, Suite, TestResult, server_tests};

/// Debian's own way: smtpd sees the queue directory as the root of the file system.
const CHROOT: &str = "postconf -F '*/inet/chroot=y'";

pub(crate) fn tests(suite: Suite) -> Suite {
    server_tests!(
        suite,
        [Need::Postfix],
        a_socket_in_the_queue_directory_is_found_by_its_relative_name,
        a_socket_that_postfix_may_not_use_lets_mail_in,
        a_socket_outside_the_queue_directory_does_not_exist_for_a_confined_smtpd,
    )
}

/// A Postfix in a chroot that asks at unix sockets, by the lines of the document.
async fn postfix(policy: &str, milter: &str) -> Result<Postfix, Failure> {
    let nowhere = ([127, 0, 0, 1], 1).into();
    let commands = SetUp::Both.commands(nowhere, nowhere)?;
    // The policy service's line and the milter's, each with its own socket.
    let lines: Vec<String> = commands
        .lines()
        .zip([policy, milter])
        .map(|(line, socket)| line.replace("inet:127.0.0.1:1,", &format!("unix:{socket},")))
        .collect();
    Ok(Postfix::builder().shell(CHROOT).shell(&lines.join("\n")).start().await?)
}

/// A daemon with its two sockets in `directory`.
async fn daemon(directory: &Path, access: &str) -> Result<Tempfail, Failure> {
    if !directory.exists() {
        std::fs::create_dir(directory)?;
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755))?;
    }
    let section =
        |name: &str| format!("[{name}]\nlisten = [\"unix:{}/{name}.sock\"]\n{access}\n", directory.display());
    let wary = "mode = \"enforce\"\nfirst_contact.suspicious = 0.8";
    let toml = format!("{wary}\n{}{}", section("policy"), section("milter"));
    Tempfail::start_as_configured(configuration(&toml)?).await
}

fn inside(postfix: &Postfix) -> PathBuf {
    postfix.directory().join("spool/tempfail")
}

async fn a_socket_in_the_queue_directory_is_found_by_its_relative_name() -> TestResult {
    let postfix = postfix("tempfail/policy.sock", "tempfail/milter.sock").await?;
    let access = "socket_mode = \"0660\"\nsocket_group = \"postfix\"";
    let tempfail = daemon(&inside(&postfix), access).await?;
    let owner = std::fs::metadata(inside(&postfix).join("policy.sock"))?;
    assert_eq!(owner.permissions().mode() & 0o777, 0o660);
    assert_ne!(owner.gid(), 0, "the group is Postfix's");
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(refusal(&outcome).contains("(first-contact "), "{outcome}");
    tempfail.last()?.must_say(&[("protocol", "policy")])?;
    let asked_by_milter =
        |tempfail: &Tempfail| tempfail.questions().iter().any(|line| line["protocol"] == "milter");
    tempfail.until("a question of the milter", asked_by_milter).await?;
    let path = inside(&postfix).join("policy.sock");
    drop(tempfail);
    let gone = async {
        while path.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await?;
    Ok(())
}

async fn a_socket_that_postfix_may_not_use_lets_mail_in() -> TestResult {
    let postfix = postfix("tempfail/policy.sock", "tempfail/milter.sock").await?;
    let tempfail = daemon(&inside(&postfix), "socket_mode = \"0600\"").await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    postfix.log().wait_for("connect to tempfail/policy.sock: Permission denied").await?;
    postfix.log().wait_for("connect to Milter service unix:tempfail/milter.sock: Permission denied").await?;
    assert!(tempfail.questions().is_empty());
    Ok(())
}

async fn a_socket_outside_the_queue_directory_does_not_exist_for_a_confined_smtpd() -> TestResult {
    let outside = tempfile::tempdir()?;
    std::fs::set_permissions(outside.path(), PermissionsExt::from_mode(0o755))?;
    let socket = |name| outside.path().join(name).display().to_string();
    let tempfail = daemon(outside.path(), "socket_mode = \"0666\"").await?;
    let postfix = postfix(&socket("policy.sock"), &socket("milter.sock")).await?;
    let outcome = stranger(postfix.address(), "192.0.2.7")?.send(&mail("a@src.example")).await?;
    assert!(outcome.is_accepted(), "{outcome}");
    postfix.log().wait_for("policy.sock: No such file or directory").await?;
    assert!(tempfail.questions().is_empty());
    Ok(())
}
