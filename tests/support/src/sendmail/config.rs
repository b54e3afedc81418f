//! The `sendmail.mc` of a private Sendmail.

use crate::ports;
use std::path::Path;

/// The known recipients; their mail is not even queued for delivery to anywhere.
pub(super) const ALIASES: &str = "\
postmaster: /dev/null
MAILER-DAEMON: /dev/null
good: /dev/null
good2: /dev/null
good3: /dev/null
";

/// The macro file for m4. `cf` is the directory of Sendmail's own macros, `pasted` what the operator adds;
/// it comes where Sendmail wants it, after the features and before the mailers.
pub(super) fn mc(cf: &Path, root: &Path, port: u16, pasted: &str) -> String {
    let (cf, root) = (cf.display(), root.display());
    let v6 = match ports::has_ipv6_loopback() {
        true => format!("DAEMON_OPTIONS(`Name=MTA6, Family=inet6, Addr=::1, Port={port}')dnl"),
        false => "dnl no IPv6 here".to_owned(),
    };
    format!(
        "divert(-1)
define(`_CF_DIR_', `{cf}/')
divert(0)dnl
include(`{cf}/m4/cf.m4')dnl
VERSIONID(`private test')
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx.test.example')dnl
define(`confSERVICE_SWITCH_FILE', `{root}/etc/service.switch')dnl
define(`ALIAS_FILE', `{root}/etc/aliases')dnl
define(`QUEUE_DIR', `{root}/queue')dnl
define(`STATUS_FILE', `')dnl
define(`HELP_FILE', `')dnl
define(`confPID_FILE', `{root}/pid')dnl
define(`confCW_FILE', `-o /nonexistent')dnl
define(`confTO_IDENT', `0s')dnl
define(`confDELIVERY_MODE', `queueonly')dnl
define(`confBIND_OPTS', `')dnl
define(`confBAD_RCPT_THROTTLE', `0')dnl
define(`confDONT_BLAME_SENDMAIL', `AssumeSafeChown,MapInUnsafeDirPath,FileDeliveryToSymlink,\
RunProgramInUnsafeDirPath')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`nouucp', `reject')dnl
DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr=127.0.0.1, Port={port}')dnl
{v6}
{pasted}
LOCAL_DOMAIN(`dest.example')dnl
MAILER(`local')dnl
MAILER(`smtp')dnl
"
    )
}
