//! The two configuration files of a private Postfix, and the reading of pasted `main.cf` lines.

use super::installation::Installation;
use std::fmt::Write;
use std::path::Path;

/// One SMTP service.
#[derive(Clone, Debug)]
pub(super) struct Smtpd {
    pub(super) name: String,
    pub(super) port: u16,
    options: Vec<String>,
}

impl Smtpd {
    /// A service whose port is chosen at the start.
    pub(super) fn new(name: &str, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self { name: name.to_owned(), port: 0, options }
    }
}

/// What every private Postfix has in `main.cf`. Mail that is not for `dest.example` never leaves, and
/// no limit of Postfix's own comes before what a test wants to see.
pub(super) fn main_cf(root: &Path, installation: &Installation) -> String {
    let (root, commands) = (root.display(), installation.commands.display());
    let (daemons, meta) = (&installation.daemons, &installation.meta);
    format!(
        "compatibility_level = 3.6
config_directory = {root}/etc
queue_directory = {root}/spool
data_directory = {root}/data
daemon_directory = {daemons}
command_directory = {commands}
meta_directory = {meta}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/log/mail.log
maillog_file_prefixes = {root}
multi_instance_enable = no
inet_interfaces = loopback-only
inet_protocols = all
smtp_host_lookup = native
disable_dns_lookups = yes
myhostname = mx.test.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = dest.example
virtual_mailbox_maps = inline:{{ good@dest.example=x good2@dest.example=x good3@dest.example=x \
postmaster@dest.example=x }}
virtual_transport = discard:
default_transport = error:no mail leaves this server
relay_transport = error:no mail leaves this server
mynetworks = 127.255.255.255/32
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.0/8, [::1]/128
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
notify_classes =
"
    )
}

/// The SMTP services, and the daemons behind them that a private instance can need.
pub(super) fn master_cf(services: &[Smtpd]) -> String {
    let mut text = String::new();
    for service in services {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "127.0.0.1:{} inet n - n - - smtpd", service.port);
        for option in &service.options {
            let _ = writeln!(text, "  -o {{ {option} }}");
        }
    }
    text + DAEMONS
}

const DAEMONS: &str = "\
cleanup    unix       n - n -     0 cleanup
qmgr       unix       n - n 300   1 qmgr
rewrite    unix       - - n -     - trivial-rewrite
bounce     unix       - - n -     0 bounce
defer      unix       - - n -     0 bounce
trace      unix       - - n -     0 bounce
verify     unix       - - n -     1 verify
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -     - proxymap
proxywrite unix       - - n -     1 proxymap
showq      unix       n - n -     - showq
error      unix       - - n -     - error
retry      unix       - - n -     - error
discard    unix       - - n -     - discard
lmtp       unix       - - n -     - lmtp
local      unix       - n n -     - local
virtual    unix       - n n -     - virtual
anvil      unix       - - n -     1 anvil
tlsmgr     unix       - - n 1000? 1 tlsmgr
postlog    unix-dgram n - n -     1 postlogd
";

/// The logical lines of `main.cf` text by the rules of postconf(5): a line that starts with white space
/// continues the one before, and comments and empty lines count for nothing, even in between.
pub(super) fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(content);
            }
            _ => lines.push(content.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasted_lines_join_as_postfix_joins_them() {
        let pasted =
            "# why\nsmtpd_recipient_restrictions =\n    permit_mynetworks,\n# inside\n\n\treject\nx = #y\n";
        assert_eq!(
            logical_lines(pasted),
            ["smtpd_recipient_restrictions = permit_mynetworks, reject", "x = #y"]
        );
    }

    #[test]
    fn options_of_a_service_keep_their_spaces_and_commas() {
        let mut service = Smtpd::new("x", &["smtpd_milters = { inet:127.0.0.1:1, default_action=accept }"]);
        service.port = 2500;
        let text = master_cf(&[service]);
        assert!(text.starts_with(
            "127.0.0.1:2500 inet n - n - - smtpd\n  \
             -o { smtpd_milters = { inet:127.0.0.1:1, default_action=accept } }\n"
        ));
    }
}
