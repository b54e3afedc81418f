//! A message carries what is needed to learn of it later: through the real mail servers, as it is delivered.

use crate::set_up::{SetUp, mail, proper, sendmail_lines};
use crate::tempfail::{Failure, Tempfail};
use policy_core::feedback::{Effect, Source};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfail::feedback::{About, FoundBy, Label, Refused, Request, Told, take};
use tempfile::TempDir;
use test_support::smtp::{Mail, Visit};
use test_support::{Need, Postfix, PostfixBuilder, Sendmail, Suite, TestResult, server_tests};

const OUTSIDE: &str = "[exempt]\nown_networks = []\n";

pub(crate) fn tests(suite: Suite) -> Suite {
    let suite = server_tests!(
        suite,
        [Need::Postfix],
        postfix_delivers_a_mark_by_which_a_person_corrects_the_filter,
        a_mark_in_an_arriving_message_is_of_no_use,
        without_the_milter_postfixs_received_line_tells_whose_it_was,
        no_mark_is_added_when_the_operator_wants_none_or_the_client_is_our_own,
    );
    server_tests!(suite, [Need::Sendmail], sendmail_carries_a_mark_too)
}

/// Where a private Postfix delivers `good@dest.example`.
pub(crate) struct Mailbox(TempDir);

impl Mailbox {
    pub(crate) fn new() -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777))?;
        Ok(Self(directory))
    }

    /// A Postfix that delivers there.
    pub(crate) fn delivered_to(&self, builder: PostfixBuilder) -> PostfixBuilder {
        let base = self.0.path().display();
        builder.main_cf(&format!(
            "virtual_transport = virtual\nvirtual_mailbox_base = {base}\nvirtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\n\
             virtual_mailbox_maps = inline:{{ good@dest.example=good/ good2@dest.example=good2/ }}\n"
        ))
    }

    /// Sends a message, and gives it back as it was delivered.
    pub(crate) async fn deliver(
        &self,
        postfix: &Postfix,
        client: &Visit,
        mail: &Mail,
    ) -> Result<String, Failure> {
        let log = postfix.log().from_here();
        let sent = client.send(mail).await?;
        assert!(sent.is_accepted(), "{sent}");
        log.wait_for("status=sent").await?;
        let mut files = std::fs::read_dir(self.0.path().join("good/new"))?;
        let path = files.next().ok_or("nothing was delivered")??.path();
        let text = std::fs::read(&path)?;
        std::fs::remove_file(path)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

pub(crate) fn letter(id: &str) -> Mail {
    mail("news@corp.example")
        .header("Message-ID", &format!("<{id}@corp.example>"))
        .header("Date", "Tue, 14 Nov 2023 22:13:20 +0000")
        .header("From", "News <news@corp.example>")
}

async fn says(tempfail: &Tempfail, text: &str, verdict: Label) -> Result<Told, Refused> {
    let request = Request {
        source: Source::Person,
        reporter: Some("anna".to_owned()),
        verdict: Some(verdict),
        about: About::Message(text.to_owned()),
    };
    take(tempfail.engine(), tempfail.store(), &request).await
}

fn corp(postfix: &Postfix) -> Result<Visit, Failure> {
    proper(postfix.address(), "198.51.100.1", "mail.corp.example")
}

async fn postfix_delivers_a_mark_by_which_a_person_corrects_the_filter() -> TestResult {
    for mode in ["mode = \"observe\"", "mode = \"enforce\""] {
        let filter = "[filter]\nheaders = [{ name = \"X-Spam-Status\", reading = \"yes-no\", forgeries = \"removed\" }]";
        let tempfail = Tempfail::start(&format!("{mode}\n{filter}")).await?;
        let mailbox = Mailbox::new()?;
        let postfix = mailbox.delivered_to(SetUp::Milter.builder(&tempfail)?).start().await?;
        let spam = letter("1").header("X-Spam-Status", "Yes, score=9");
        let text = mailbox.deliver(&postfix, &corp(&postfix)?, &spam).await?;
        assert!(text.contains("\nX-Tempfail: v1; id=") || text.starts_with("X-Tempfail: v1; id="), "{text}");
        assert!(text.lines().take_while(|line| !line.is_empty()).all(|line| line.len() <= 100), "{text}");
        let line = tempfail.last()?;
        tempfail
            .until("the filter's verdict", |tempfail| tempfail.weights(&line).is_ok_and(|w| w == (1.0, 0.0)))
            .await?;
        let told = says(&tempfail, &text, Label::Ham).await?;
        assert_eq!((told.effect, told.found_by), (Effect::Corrected, FoundBy::Mark));
        assert_eq!(told.id.as_deref(), line.get("id"), "it is the decision that the log tells of");
        assert_eq!(tempfail.weights(&line)?, (0.0, 1.25));
        assert_eq!(says(&tempfail, &text, Label::Ham).await?.effect, Effect::Known);
    }
    Ok(())
}

async fn a_mark_in_an_arriving_message_is_of_no_use() -> TestResult {
    let tempfail = Tempfail::start("").await?;
    let mailbox = Mailbox::new()?;
    let postfix = mailbox.delivered_to(SetUp::Milter.builder(&tempfail)?).start().await?;
    let good = mailbox.deliver(&postfix, &corp(&postfix)?, &letter("1")).await?;
    let mark = good.split_once("X-Tempfail: ").ok_or("no mark")?.1;
    let mark = mark.split("\nReceived:").next().ok_or("no line")?.to_owned();
    // A spammer who was a recipient of it puts it into his own mail.
    let spammer = proper(postfix.address(), "203.0.113.9", "mail.spam.example")?;
    let spam = mailbox.deliver(&postfix, &spammer, &letter("2").header("X-Tempfail", &mark)).await?;
    assert_eq!(spam.matches("X-Tempfail: v1").count(), 2, "{spam}");
    let told = says(&tempfail, &spam, Label::Spam).await?;
    assert_eq!(told.client.map(|client| client.to_string()).as_deref(), Some("203.0.113.9"));
    // Where ours is not, what he copied counts for nothing.
    let ours = spam.find("X-Tempfail: ").ok_or("no mark")?;
    let copied = spam.rfind("X-Tempfail: ").ok_or("no mark")?;
    let without = format!("{}X-Was: {}{}", &spam[..ours], &spam[ours + 12..copied], &spam[copied..]);
    let told = says(&tempfail, &without, Label::Ham).await?;
    assert_eq!(told.found_by, FoundBy::Decision, "only Postfix's own line is left");
    assert_eq!(told.client.map(|client| client.to_string()).as_deref(), Some("203.0.113.9"));
    Ok(())
}

async fn without_the_milter_postfixs_received_line_tells_whose_it_was() -> TestResult {
    let tempfail = Tempfail::start("").await?;
    let mailbox = Mailbox::new()?;
    let postfix = mailbox.delivered_to(SetUp::Policy.builder(&tempfail)?).start().await?;
    let text = mailbox.deliver(&postfix, &corp(&postfix)?, &letter("1")).await?;
    assert!(!text.contains("X-Tempfail"), "{text}");
    let told = says(&tempfail, &text, Label::Spam).await?;
    assert_eq!((told.effect, told.found_by), (Effect::Counted, FoundBy::Decision));
    assert_eq!(tempfail.weights(&tempfail.last()?)?.0, 2.0);
    // One that has not seen it takes Postfix's word.
    let another = Tempfail::start("").await?;
    let told = says(&another, &text, Label::Spam).await?;
    assert_eq!((told.effect, told.found_by), (Effect::Counted, FoundBy::Received));
    assert_eq!(told.client.map(|client| client.to_string()).as_deref(), Some("198.51.100.1"));
    Ok(())
}

async fn no_mark_is_added_when_the_operator_wants_none_or_the_client_is_our_own() -> TestResult {
    for none in ["[feedback]\nheader = false", "[exempt]\nown_networks = [\"198.51.100.0/24\"]"] {
        let tempfail = Tempfail::start(none).await?;
        let mailbox = Mailbox::new()?;
        let postfix = mailbox.delivered_to(SetUp::Milter.builder(&tempfail)?).start().await?;
        let text = mailbox.deliver(&postfix, &corp(&postfix)?, &letter("1")).await?;
        assert!(!text.contains("X-Tempfail"), "{none}: {text}");
    }
    Ok(())
}

async fn sendmail_carries_a_mark_too() -> TestResult {
    let tempfail = Tempfail::start(OUTSIDE).await?;
    let sendmail = Sendmail::builder().mc(&sendmail_lines(tempfail.milter())?).start().await?;
    let client = Visit::to(sendmail.address()).from_source([127, 3, 4, 5]).helo("mail.corp.example");
    let sent = client.send(&letter("1")).await?;
    assert!(sent.is_accepted(), "{sent}");
    let text = queued(&sendmail.directory().join("queue"))?;
    assert!(text.contains("X-Tempfail: v1; id="), "{text}");
    let told = says(&tempfail, &text, Label::Spam).await?;
    assert_eq!((told.effect, told.found_by), (Effect::Counted, FoundBy::Mark), "{text}");
    assert_eq!(tempfail.weights(&tempfail.last()?)?.0, 2.0);
    Ok(())
}

/// The header of the one message in Sendmail's queue: lines `H?flags?Name: value`, folded ones with white space.
fn queued(queue: &Path) -> Result<String, Failure> {
    let files = std::fs::read_dir(queue)?.filter_map(Result::ok).map(|entry| entry.path());
    let control =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("qf"));
    let path = files.into_iter().find(control).ok_or("nothing is queued")?;
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    let mut header = String::new();
    let mut inside = false;
    for line in text.lines() {
        let field = line.strip_prefix("H?").and_then(|rest| rest.split_once('?')).map(|(_, field)| field);
        inside = field.is_some() || inside && line.starts_with([' ', '\t']);
        if inside {
            header.push_str(field.unwrap_or(line));
            header.push_str("\r\n");
        }
    }
    Ok(header + "\r\n")
}
