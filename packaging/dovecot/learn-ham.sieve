# A message was taken out of Junk: it is good. Runs in Dovecot's IMAPSieve; see docs/feedback.md.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment", "variables"];

if environment :matches "imap.user" "*" {
    set "user" "${1}";
}
pipe :copy "tempfail-learn" ["ham", "${user}"];
