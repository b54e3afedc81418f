# A message was put into Junk: it is spam. Runs in Dovecot's IMAPSieve; see docs/feedback.md.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];

if environment :matches "imap.user" "*" {
    set "user" "${1}";
}
pipe :copy "tempfail-learn" ["spam", "${user}"];
