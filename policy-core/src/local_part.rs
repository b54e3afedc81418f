//! What stays of a sender's local part from one message to the next.
//!
//! Mailers write a stamp, a counter or the recipient into it. A mailbox that is another one with each message would
//! never be known, and one that nobody answers for could be as many as it likes.
//!
//! Taken off are, in this order:
//!
//! - the hash and the day of the Sender Rewriting Scheme, which forwarders write: `SRS0=hash=day=domain=user`, and
//!   `SRS1=hash=forwarder==hash=day=domain=user` of the second forwarder. What stays names the correspondent;
//! - the tag of Bounce Address Tag Validation, `prvs=tag=user` (draft-levine-smtp-batv), and those of its kin:
//!   `btv1==tag==user`, `msprvs1=tag=user`;
//! - a subaddress, `user+detail` (RFC 5233);
//! - the recipient in a variable envelope return path, `list-return-27-user=domain`, with the counter before it.
//!
//! Known limit: a name that is nothing but a stamp, as some bulk mailers write, stays one for each message.

/// What stays of a local part, folded to lower case.
pub(crate) fn lasting(local_part: &str) -> &str {
    if let Some(correspondent) = rewritten(local_part) {
        return before(correspondent, &['+']);
    }
    let own = before(tagged(local_part).unwrap_or(local_part), &['+']);
    if own.contains('=') { before(own, &['-']) } else { own }
}

/// `domain=user` of a rewritten sender.
fn rewritten(local_part: &str) -> Option<&str> {
    let once = |text| behind_separator(text).and_then(behind_hash_and_day);
    match local_part.strip_prefix("srs1") {
        Some(twice) => {
            let (_hash, rest) = behind_separator(twice)?.split_once('=')?;
            let (_forwarder, first) = rest.split_once('=')?;
            once(first)
        }
        None => once(local_part.strip_prefix("srs0")?),
    }
}

fn behind_separator(text: &str) -> Option<&str> {
    text.strip_prefix(['=', '+', '-'])
}

fn behind_hash_and_day(text: &str) -> Option<&str> {
    let (_hash, rest) = text.split_once('=')?;
    let (_day, correspondent) = rest.split_once('=')?;
    let (domain, user) = correspondent.split_once('=')?;
    (!domain.is_empty() && !user.is_empty()).then_some(correspondent)
}

/// What stands behind a tag.
fn tagged(local_part: &str) -> Option<&str> {
    let behind =
        |prefix, end| local_part.strip_prefix(prefix)?.split_once(end).map(|(_, user): (_, &str)| user);
    let user = behind("prvs=", "=").or_else(|| behind("btv1==", "==")).or_else(|| behind("msprvs1=", "="));
    user.filter(|user| !user.is_empty())
}

/// What stands before any of these, unless that is nothing.
fn before<'a>(text: &'a str, ends: &[char]) -> &'a str {
    text.split_once(ends).map(|(head, _)| head).filter(|head| !head.is_empty()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correspondent_stays_the_same_behind_its_forwarder() {
        for rewritten in
            ["srs0=hh1a=tt=src.example=alice", "srs0+x9/z=y2=src.example=alice", "srs0-a=b=src.example=alice"]
        {
            assert_eq!(lasting(rewritten), "src.example=alice");
        }
        for twice in [
            "srs1=q7p=first.example==hh1a=tt=src.example=alice",
            "srs1+q=first.example=-h=t=src.example=alice",
        ] {
            assert_eq!(lasting(twice), "src.example=alice");
        }
    }

    #[test]
    fn tags_details_and_recipients_are_taken_off() {
        for (written, stays) in [
            ("prvs=0123456abc=alice", "alice"),
            ("btv1==05801e8ff0a==alice", "alice"),
            ("msprvs1=19abc=bounces-7", "bounces-7"),
            ("alice+shop", "alice"),
            ("bounces+27-bob=dest.example", "bounces"),
            ("bob+caf_=bob=dest.example", "bob"),
            ("prvs=0123456abc=list-return-27-jean-luc=dest.example", "list"),
            ("owner-list-bob=dest.example", "owner"),
        ] {
            assert_eq!(lasting(written), stays, "{written}");
        }
    }

    #[test]
    fn whatever_looks_like_it_and_is_not_stays_whole() {
        for whole in [
            "",
            "alice",
            "jean-luc",
            "12345",
            "+27821234567",
            "=",
            "a=b",
            "srs0",
            "srs0=",
            "srs0=a=b",
            "srs0=a=b=c",
            "srs0=a=b==c",
            "srs1=a=b",
            "srs10=a=b=c=d",
            "prvs=",
            "prvs=a",
            "prvs=a=",
            "btv1==a",
            "-a=b",
        ] {
            assert_eq!(lasting(whole), whole);
        }
    }
}
