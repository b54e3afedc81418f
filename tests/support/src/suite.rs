//! The runner of tests that need more than every machine has.
//!
//! It speaks like `cargo test`'s own and takes the same options. What it adds: a test whose needs the
//! machine does not meet is reported as ignored, with the reason, and named again at the end. With
//! `TEMPFAIL_REQUIRE_SERVERS` set, as `tests/run` does, such a test fails. Every test has a deadline.

use crate::{Need, diagnostics};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Two workers beside the thread of the test, as on the smallest machine the tests are meant for.
const WORKERS: usize = 2;
const TEST_DEADLINE: Duration = Duration::from_secs(300);

/// What a test returns: any error that can be shown fails it.
pub type TestResult = Result<(), Failed>;

/// Tests with needs, gathered to be run.
#[derive(Debug, Default)]
pub struct Suite {
    trials: Vec<Trial>,
    /// Name and reason of each test this machine cannot run.
    left_out: Vec<(String, String)>,
}

/// Adds the named `async fn`s of this module to a [`Suite`], with what they all need.
///
/// ```
/// use test_support::{Need, Suite, TestResult, server_tests};
///
/// async fn greets() -> TestResult {
///     Ok(())
/// }
///
/// let suite = server_tests!(Suite::new(), [Need::Postfix], greets);
/// ```
#[macro_export]
macro_rules! server_tests {
    ($suite:expr, $needs:expr, $($test:ident),+ $(,)?) => {
        $suite$(.test(concat!(module_path!(), "::", stringify!($test)), &$needs, $test))+
    };
}

impl Suite {
    /// No tests yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a test that needs `needs`.
    pub fn test<F>(mut self, name: &str, needs: &[Need], body: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = TestResult>,
    {
        let missing = needs.iter().find_map(|&need| need.missing().map(|reason| (need, reason)));
        let trial = match missing {
            None => Trial::test(name, || run(body)),
            Some((need, reason)) if need.is_promised() && servers_are_required() => {
                Trial::test(name, move || Err(reason.into()))
            }
            Some((_, reason)) => {
                self.left_out.push((name.to_owned(), reason.clone()));
                Trial::ignorable_test(name, move || Ok(Completion::ignored_with(reason)))
            }
        };
        self.trials.push(trial);
        self
    }

    /// Runs what the command line asks for, and says what was left out.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert_with(threads);
        let chosen = |trial: &&Trial| !arguments.is_filtered_out(trial);
        let names: Vec<String> =
            self.trials.iter().filter(chosen).map(|trial| trial.name().to_owned()).collect();
        let conclusion = libtest_mimic::run(&arguments, self.trials);
        if !arguments.list {
            let left_out: Vec<_> = self.left_out.iter().filter(|(name, _)| names.contains(name)).collect();
            print!("{}", closing_lines(&left_out, names.len()));
        }
        conclusion.exit_code()
    }
}

/// Twice as many tests at once as there are processors, since they mostly wait for their servers.
fn threads() -> usize {
    2 * std::thread::available_parallelism().map_or(1, usize::from)
}

fn servers_are_required() -> bool {
    std::env::var_os("TEMPFAIL_REQUIRE_SERVERS").is_some_and(|value| !value.is_empty())
}

/// Names each test that was left out, and why; empty when none was.
fn closing_lines(left_out: &[&(String, String)], chosen: usize) -> String {
    if left_out.is_empty() {
        return String::new();
    }
    let lines = left_out.iter().map(|(name, reason)| format!("left out: {name}: {reason}\n"));
    format!("{}left out: {} of {chosen} tests\n\n", lines.collect::<String>(), left_out.len())
}

/// Runs one test in a runtime of its own. If it fails, the logs of its servers are part of the report.
fn run<F>(body: impl FnOnce() -> F) -> TestResult
where
    F: Future<Output = TestResult>,
{
    diagnostics::take();
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let ended =
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { timeout(TEST_DEADLINE, body()).await })));
    match ended {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(failed))) => Err(with_logs(failed.message().unwrap_or("failed"))),
        Ok(Err(_)) => Err(with_logs(&format!("not done within {TEST_DEADLINE:?}"))),
        Err(panic) => {
            // The panic itself has been printed already, by the standard library.
            eprintln!("{}", diagnostics::take().join("\n"));
            resume_unwind(panic)
        }
    }
}

fn with_logs(message: &str) -> Failed {
    format!("{message}\n{}", diagnostics::take().join("\n")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_named_with_its_reason_and_counted() {
        let left_out = ("a::b".to_owned(), "no Postfix on this machine".to_owned());
        assert_eq!(
            closing_lines(&[&left_out], 3),
            "left out: a::b: no Postfix on this machine\nleft out: 1 of 3 tests\n\n"
        );
        assert_eq!(closing_lines(&[], 3), "");
    }

    #[test]
    fn a_failed_test_shows_what_its_servers_logged() {
        let failed = run(|| async {
            diagnostics::leave("the log of a server".to_owned());
            Err("wrong reply".into())
        });
        assert_eq!(failed.unwrap_err().message(), Some("wrong reply\nthe log of a server"));
    }

    #[test]
    fn logs_of_an_earlier_test_are_not_shown() {
        diagnostics::leave("old".to_owned());
        assert_eq!(run(|| async { Err("new".into()) }).unwrap_err().message(), Some("new\n"));
    }
}
