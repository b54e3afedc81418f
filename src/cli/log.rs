//! `tempfail log`.

use super::output::{EX_UNAVAILABLE, complain};
use super::remote::Daemon;
use crate::admin::client::ClientError;
use crate::admin::log::Wanted;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Go on with what is decided from now on, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// Lines of the past, at most: 100, or 10 with --follow.
    #[arg(long, short = 'n', value_name = "LINES")]
    lines: Option<usize>,
    /// Only of this sender: a mailbox, or a domain and all below it.
    #[arg(long, value_name = "ADDRESS|DOMAIN")]
    sender: Option<String>,
    /// Only to this recipient: a whole address.
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Only of this client: an address, a network, or a host name and all below it.
    #[arg(long, value_name = "ADDRESS|NETWORK|NAME")]
    client: Option<String>,
    #[command(flatten)]
    daemon: Daemon,
    /// One JSON object a line, for programs.
    #[arg(long)]
    json: bool,
}

/// Shows decisions as they come. The status is 1 when there was none to show.
pub(super) fn run(args: &Args) -> ExitCode {
    let wanted = Wanted {
        follow: args.follow,
        n: args.lines,
        sender: args.sender.clone(),
        recipient: args.recipient.clone(),
        client: args.client.clone(),
        text: !args.json,
    };
    args.daemon.talk(async |client| {
        let shown = show(client.stream("/v1/log", &wanted).await?).await?;
        Ok(match shown {
            // Who follows is told to stop, or the daemon has stopped.
            _ if args.follow => ExitCode::from(EX_UNAVAILABLE),
            0 => {
                complain(
                    &"none of the latest decisions is such (ten thousand at the most, since the start); the daemon's own log \
                      has those before",
                );
                ExitCode::FAILURE
            }
            _ => ExitCode::SUCCESS,
        })
    })
}

/// Copies to standard output what comes, as it comes, but for empty lines; how many octets.
async fn show(mut body: Incoming) -> Result<usize, ClientError> {
    let (mut shown, mut last) = (0, b'\n');
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
        let octets = without_empty_lines(&frame.into_data().unwrap_or_default(), &mut last);
        let mut out = std::io::stdout().lock();
        if out.write_all(&octets).and_then(|()| out.flush()).is_err() {
            // Nobody reads any more.
            return Ok(shown);
        }
        shown += octets.len();
    }
    Ok(shown)
}

/// With these the daemon finds out who still reads. `last` is the octet before.
fn without_empty_lines(octets: &[u8], last: &mut u8) -> Vec<u8> {
    let is_kept = |octet: &u8| (*octet, std::mem::replace(last, *octet)) != (b'\n', b'\n');
    octets.iter().copied().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_are_left_out_however_the_text_is_cut() {
        let text = b"\n\none\n\ntwo\nthree\n\n\n";
        for size in 1..=text.len() {
            let mut last = b'\n';
            let shown: Vec<u8> =
                text.chunks(size).flat_map(|piece| without_empty_lines(piece, &mut last)).collect();
            assert_eq!(shown, b"one\ntwo\nthree\n", "{size}");
        }
    }
}
