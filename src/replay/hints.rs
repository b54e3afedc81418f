//! What an operator can do about a reason, by its stable code.

/// A hint for the reason's code; the keys it names are those of the configuration.
pub(super) fn hint(reason: &str) -> &'static str {
    match reason {
        "first-contact" => {
            "a stranger waits once; [first_contact] sets how long and how suspicious, [exempt] clients spares it"
        }
        "reputation" => {
            "what came from there before was bad; see that its labels are right, or list it in [exempt] clients"
        }
        "rate-connections" | "rate-messages" | "rate-recipients" | "rate-bytes" => {
            "more than its quota, or its network's or domain's; raise [limits.cold], or list whom you trust in [exempt]"
        }
        "concurrency" => "too many sessions at a time; raise sessions in [limits]",
        "spike" => "far above its own busiest day; raise spike or growth in [limits] if that is its habit",
        "gateway" => {
            "the recipient's domain has a [[gateway]] with other networks; add this one if it is yours"
        }
        _ => "docs/log.md tells what each reason means",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy_core::verdict::Reason;

    #[test]
    fn reasons_to_defer_have_hints_of_their_own() {
        let unknown = hint("no such reason");
        for reason in [Reason::FirstContact, Reason::Reputation, Reason::Gateway] {
            assert_ne!(hint(reason.code()), unknown, "{}", reason.code());
        }
    }
}
