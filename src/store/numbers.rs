//! Numbers of a line that no state could have written: they are refused with their field, not taken for old.
//!
//! Known limit: the sums `good` and `bad` may be below nothing in an honest export, where more was taken back than was
//! given, and count as nothing then. So of those only what is no number, or too large, is refused.

use policy_core::evidence::{MOST, MOST_STORED};
use serde_json::Value;

/// Looks at what weighs evidence. An error names the field, as `identity.slow.good`.
pub(super) fn check(line: &[u8]) -> Result<(), String> {
    let value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    check_at(String::new(), "", &value)
}

fn check_at(path: String, name: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            check_at(path, name, value)
        }),
        // A key beside its record, or a place for each source: no name tells more than the one before.
        Value::Array(values) => values.iter().try_for_each(|value| check_at(path.clone(), name, value)),
        Value::Number(number) => match wrong(&path, name, number.as_f64().unwrap_or(f64::NAN)) {
            Some(what) => Err(format!("{path}: {number} {what}")),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn wrong(path: &str, name: &str, number: f64) -> Option<&'static str> {
    let may_be_negative = match name {
        "good" | "bad" => true,
        "today" | "busiest" | "weight" => false,
        _ => return None,
    };
    // A sum of the fast memory is stored against a landmark, since which it has grown.
    let most = if path.contains(".fast.") { MOST_STORED } else { MOST };
    // They are kept with half as many digits.
    let number = number as f32;
    if !(-most..=most).contains(&number) {
        Some("is too large")
    } else if number < 0.0 && !may_be_negative {
        Some("is below nothing")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_state_could_have_written_is_named() {
        let identity = |slow: &str, today: &str| {
            check(format!(r#"{{"identity":["01",{{"slow":{{"good":{slow}}},"today":{today}}}]}}"#).as_bytes())
        };
        assert_eq!(identity("1.5", "0"), Ok(()));
        assert_eq!(identity("-0.25", "0"), Ok(()), "more was taken back than was given");
        assert_eq!(identity("1e300", "0").unwrap_err(), "identity.slow.good: 1e+300 is too large");
        assert_eq!(identity("-1e39", "0").unwrap_err(), "identity.slow.good: -1e+39 is too large");
        assert_eq!(identity("3e38", "0").unwrap_err(), "identity.slow.good: 3e+38 is too large");
        assert_eq!(identity("1", "2e9").unwrap_err(), "identity.today: 2000000000.0 is too large");
        let fast = |sum: &str| {
            check(format!(r#"{{"identity":["01",{{"fast":{{"good":1.0,"bad":{sum}}}}}]}}"#).as_bytes())
        };
        assert_eq!(fast("1e27"), Ok(()), "a million, sixteen days after its landmark");
        assert_eq!(fast("3e38").unwrap_err(), "identity.fast.bad: 3e+38 is too large");
        assert_eq!(identity("1", "-2.5").unwrap_err(), "identity.today: -2.5 is below nothing");
        let message = br#"{"message":["01",{"last":9,"words":[null,{"weight":-1.0}]}]}"#;
        assert_eq!(check(message).unwrap_err(), "message.words.weight: -1.0 is below nothing");
    }
}
