//! `tempfail setup` and `tempfail doctor` beside real mail servers: the lines are put in force as they are printed,
//! and each wrong configuration is seen.

use crate::program::Program;
use crate::set_up::{mail, proper, sendmail_lines};
use crate::tempfail::Failure;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use test_support::{Need, Postfix, Rbldnsd, Sendmail, Suite, TestResult, server_tests};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_tempfail");
const PATHS: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/bin";

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Postfix],
        what_setup_prints_works_keeps_what_was_there_and_is_undone,
        each_wrong_configuration_of_postfix_is_seen,
        a_socket_that_postfix_cannot_reach_is_seen,
        each_trouble_of_the_daemon_is_seen,
    );
    let suite = server_tests!(suite, [Need::Rbldnsd], a_dead_dns_and_a_list_that_lists_everybody_are_seen);
    server_tests!(suite, [Need::Sendmail], a_sendmail_that_stops_mail_is_seen)
}

/// A daemon with an admin interface, whose configuration has the real ports.
struct Served {
    program: Program,
    admin: String,
    state: tempfile::TempDir,
}

impl Served {
    async fn start(toml: &str) -> Result<Self, Failure> {
        let state = tempfile::tempdir()?;
        let kept = format!("state.directory = \"{}\"\n", state.path().join("s").display());
        let kept = if toml.contains("state.directory") { String::new() } else { kept };
        let toml = format!("admin.listen = [\"127.0.0.1:0\"]\n{kept}{toml}");
        let program = Program::start(&toml).await?;
        let admin = program.address("admin").await?.to_string();
        program.write(&toml)?;
        Ok(Self { program, admin, state })
    }

    fn config(&self) -> PathBuf {
        self.program.file()
    }

    fn head(&self) -> PathBuf {
        self.state.path().join("s/head")
    }

    /// The codes of the doctor's findings, and what it says; its status has to fit.
    async fn doctor(&self, etc: Option<&Path>, more: &[&str]) -> Result<(Vec<String>, String), Failure> {
        doctor(&self.config(), &self.admin, etc, more).await
    }
}

async fn doctor(
    config: &Path,
    admin: &str,
    etc: Option<&Path>,
    more: &[&str],
) -> Result<(Vec<String>, String), Failure> {
    let mut command = Command::new(BINARY);
    command.arg("doctor").arg("--config").arg(config).args(["--admin", admin]).args(more).env("PATH", PATHS);
    match etc {
        Some(etc) => command.env("MAIL_CONFIG", etc),
        None => command.env("MAIL_CONFIG", "/nonexistent"),
    };
    let output = command.output().await?;
    let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
    let code = |line: &str| line.split_once(": ").map(|(code, _)| code.to_owned());
    let codes: Vec<String> = text.lines().filter_map(code).filter(|code| !code.contains(' ')).collect();
    assert_eq!(output.status.code(), Some(i32::from(!codes.is_empty())), "{text}");
    Ok((codes, text))
}

fn etc(postfix: &Postfix) -> PathBuf {
    postfix.directory().join("etc")
}

async fn what_setup_prints_works_keeps_what_was_there_and_is_undone() -> TestResult {
    let served = Served::start("").await?;
    let before = "postconf -e 'smtpd_milters = { inet:127.0.0.1:1, connect_timeout=1s, default_action=accept }' \
                  'smtpd_recipient_restrictions = reject_unauth_destination, permit'";
    let run = |what: &str| {
        let config = served.config();
        format!("{BINARY} setup {what} --config {} | grep -v '^postfix reload$' | sh -eu", config.display())
    };
    for way in ["milter", "policy", "both"] {
        let (seen, logged) = (served.program.decisions().len(), served.program.logged());
        let postfix = Postfix::builder().shell(before).shell(&run(way)).start().await?;
        let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
        let outcome = client.send(&mail("news@corp.example")).await?;
        assert!(outcome.is_accepted(), "{way}: {outcome}");
        served.program.has_decided(seen + 1).await?;
        // An operator finds it by the id in Postfix's log.
        let line = served.program.wait_for(logged, ", queue_id=").await?;
        let queue_id =
            line.split(", ").find_map(|field| field.strip_prefix("queue_id=")).ok_or("no queue id")?;
        postfix.log().wait_for(&format!("{queue_id}: client=")).await?;
        let (codes, text) = served.doctor(Some(&etc(&postfix)), &[]).await?;
        assert!(codes.is_empty() && text.starts_with("nothing is wrong"), "{way}: {text}");
    }
    let unset = "postconf -X smtpd_data_restrictions";
    let undone =
        [before, &run("policy"), &run("both"), &run("policy --undo"), &run("both --undo")].join("\n");
    let postfix = Postfix::builder().shell(&undone).start().await?;
    let once = Postfix::builder().shell(before).shell(unset).start().await?;
    let lists = |postfix: &Postfix| -> Result<Vec<String>, Failure> {
        let main_cf = std::fs::read_to_string(etc(postfix).join("main.cf"))?;
        let lines = main_cf.lines().filter(|line| line.contains("smtpd_") && line.contains('='));
        let mut lines: Vec<String> =
            lines.filter(|line| !line.contains("relay")).map(str::to_owned).collect();
        lines.sort_unstable();
        Ok(lines)
    };
    assert_eq!(lists(&postfix)?, lists(&once)?);
    let (codes, text) = served.doctor(Some(&etc(&postfix)), &[]).await?;
    assert_eq!(codes, ["not-configured"], "{text}");
    Ok(())
}

async fn each_wrong_configuration_of_postfix_is_seen() -> TestResult {
    let served = Served::start("").await?;
    let (policy, milter) = (served.program.policy, served.program.milter);
    let ours = format!("{{ inet:{milter}, command_timeout=10s, default_action=accept }}");
    let service = |options: &str| {
        format!(
            "postconf -e 'smtpd_recipient_restrictions = reject_unauth_destination, \
             check_policy_service {{ inet:{policy}{options} }}'"
        )
    };
    // Of the service behind postscreen.
    let own = |milters: &str| {
        format!("postconf -M 'smtpd/pass=smtpd pass - - n - - smtpd -o {{ smtpd_milters = {milters} }}'")
    };
    let late = "postconf -e 'smtpd_recipient_restrictions = permit_mynetworks, \
                check_policy_service { inet:PORT, timeout=5s, default_action=DUNNO }' \
                smtpd_relay_before_recipient_restrictions=no";
    for (commands, expected) in [
        ("true".to_owned(), &["not-configured"][..]),
        (format!("postconf -e 'smtpd_milters = inet:{milter}'"), &["default-action", "timeout"]),
        (format!("postconf -e 'smtpd_milters = {ours}, inet:127.0.0.1:1'"), &["not-last"]),
        (service(""), &["default-action", "timeout"]),
        (own(&ours), &[]),
        (own(&format!("inet:{milter}")), &["default-action", "timeout"]),
        (format!("postconf -e 'smtpd_milters = {ours}'; {}", own("")), &["outdone"]),
        (service(", timeout=5s, default_action=REJECT"), &["default-action"]),
        (service(", default_action=DUNNO"), &["timeout"]),
        (late.replace("PORT", &policy.to_string()), &["order"]),
        (service("").replace("smtpd_recipient_", "smtpd_relay_"), &["default-action", "timeout"]),
        (
            format!(
                "postconf -e 'smtpd_restriction_classes = ask' 'ask = check_policy_service inet:{policy}' \
                 'smtpd_client_restrictions = check_client_access inline:{{192.0.2.7=ask}}'"
            ),
            &["default-action", "timeout"],
        ),
        (
            format!("postconf -e 'smtpd_milters = {ours}' default_process_limit=2000"),
            &["connections", "connections"],
        ),
    ] {
        let postfix = Postfix::builder().shell(&commands).start().await?;
        let (codes, text) = served.doctor(Some(&etc(&postfix)), &[]).await?;
        let (asked, of_postfix): (Vec<_>, Vec<_>) = codes.into_iter().partition(|code| code == "never-asked");
        assert_eq!(
            (asked.len(), of_postfix),
            (1, expected.iter().map(|s| s.to_string()).collect()),
            "{text}"
        );
    }
    Ok(())
}

async fn a_socket_that_postfix_cannot_reach_is_seen() -> TestResult {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("m.sock");
    let lines = |path: &str, chroot: &str| {
        format!(
            "postconf -e 'smtpd_milters = {{ unix:{path}, command_timeout=10s, default_action=accept }}'\n\
             postconf -F '*/inet/chroot={chroot}'"
        )
    };
    let config = |path: &Path| format!("policy.listen = []\nmilter.listen = [\"unix:{}\"]\n", path.display());
    let file = dir.path().join("t.toml");
    std::fs::write(&file, config(&socket))?;
    let nobody = "127.0.0.1:1";
    for (chroot, expected) in [("y", "chroot"), ("n", "socket")] {
        let postfix = Postfix::builder().shell(&lines(&socket.display().to_string(), chroot)).start().await?;
        let (codes, text) = doctor(&file, nobody, Some(&etc(&postfix)), &[]).await?;
        assert_eq!(codes, ["unreachable", expected], "{text}");
    }
    // Inside of the chroot, but for root alone.
    let postfix = Postfix::builder().shell(&lines("tempfail/m.sock", "y")).start().await?;
    let inside = postfix.directory().join("spool/tempfail");
    std::fs::create_dir(&inside)?;
    let _listener = std::os::unix::net::UnixListener::bind(inside.join("m.sock"))?;
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
    };
    set(&inside, 0o755)?;
    std::fs::write(&file, config(&inside.join("m.sock")))?;
    for (mode, expected) in [(0o600, &["unreachable", "socket"][..]), (0o666, &["unreachable"])] {
        set(&inside.join("m.sock"), mode)?;
        let (codes, text) = doctor(&file, nobody, Some(&etc(&postfix)), &[]).await?;
        assert_eq!(codes, expected, "{mode:o}: {text}");
    }
    Ok(())
}

async fn each_trouble_of_the_daemon_is_seen() -> TestResult {
    let age = |path: &Path, seconds: i64| -> Result<(), Failure> {
        let by = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        let at = if seconds < 0 { now + by } else { now - by };
        Ok(std::fs::File::options().append(true).open(path)?.set_modified(at)?)
    };
    let served = Served::start("").await?;
    assert_eq!(served.doctor(None, &[]).await?.0, ["never-asked"]);
    age(&served.head(), 31 * 86_400)?;
    assert_eq!(served.doctor(None, &[]).await?.0, ["never-asked", "observing-long"]);
    age(&served.head(), -86_400)?;
    assert_eq!(served.doctor(None, &[]).await?.0, ["never-asked", "clock"]);
    for (toml, expected) in [
        ("mode = \"enforce\"", "enforcing-early"),
        ("mode = \"off\"", "off"),
        ("state.directory = \"\"", "not-kept"),
        ("state.directory = \"/dev/null/nowhere\"", "not-written"),
    ] {
        let served = Served::start(toml).await?;
        let (codes, text) = served.doctor(None, &[]).await?;
        assert_eq!(codes, ["never-asked", expected], "{text}");
    }
    // Everybody comes through one address, as behind a proxy.
    let commands = format!(
        "{BINARY} setup both --config {} | grep -v '^postfix reload$' | sh -eu",
        served.config().display()
    );
    let postfix = Postfix::builder().shell(&commands).start().await?;
    for _ in 0..30 {
        let client = proper(postfix.address(), "198.51.100.1", "mail.corp.example")?;
        client.send(&mail("news@corp.example")).await?;
    }
    let (codes, text) = served.doctor(Some(&etc(&postfix)), &[]).await?;
    assert_eq!(codes, ["one-client", "clock"], "{text}");
    Ok(())
}

async fn a_dead_dns_and_a_list_that_lists_everybody_are_seen() -> TestResult {
    let asking = |server: SocketAddr| {
        format!(
            "[signals]\nwithin = \"300ms\"\n[dns]\nservers = [\"{server}\"]\ntimeout = \"100ms\"\nretries = 0\n"
        )
    };
    let dns = Rbldnsd::start(&[("list.test", "ip4set", ":127.0.0.2:listed\n127.0.0.0/8\n")]).await?;
    let list = "[[list]]\nzone = \"list.test\"\npreset = \"generic\"\n";
    let served = Served::start(&(asking(dns.address()) + list)).await?;
    served.program.wait_for(0, "the list is switched off until its test points are in order").await?;
    let (codes, text) = served.doctor(None, &[]).await?;
    assert_eq!(codes, ["never-asked", "list"], "{text}");
    // A server that hears everything and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0")?;
    let served = Served::start(&asking(silent.local_addr()?)).await?;
    for n in 1..=12 {
        let answer = served.program.ask(&format!("198.51.100.{n}"), n)?;
        assert!(answer.starts_with("action=DUNNO"), "{answer}");
    }
    served.program.wait_for(0, "the DNS does not answer: lookups are suspended").await?;
    let (codes, text) = served.doctor(None, &[]).await?;
    assert_eq!(codes, ["dns"], "{text}");
    Ok(())
}

async fn a_sendmail_that_stops_mail_is_seen() -> TestResult {
    let served = Served::start("").await?;
    let lines = sendmail_lines(served.program.milter)?;
    for (lines, expected) in [
        (lines.clone(), &[][..]),
        (lines.replace("F=,", "F=T,"), &["default-action"]),
        (lines.replace(", T=C:10s;S:10s;R:10s;E:60s", ""), &["timeout"]),
        (String::new(), &["not-configured"]),
    ] {
        let sendmail = Sendmail::builder().mc(&lines).start().await?;
        let cf = sendmail.directory().join("etc/private.cf").display().to_string();
        let (codes, text) = served.doctor(None, &["--sendmail-cf", &cf]).await?;
        assert_eq!(codes[..1], ["never-asked"], "{text}");
        assert_eq!(codes[1..], *expected, "{text}");
    }
    Ok(())
}
