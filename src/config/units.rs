//! Numbers with units, as people write them: `290s`, `256MiB`, `30/h`, `200MB/h`.
//!
//! A number without its unit is not read: whether `wait = 5` means seconds or minutes is not for the program
//! to guess.

use std::time::Duration;

/// No time in a configuration is longer: ten years.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// What a duration looks like.
pub(super) const DURATION: &str = r#"a duration such as "500ms", "290s", "5m" or "1h 30m""#;
/// What a size looks like.
pub(super) const SIZE: &str = r#"a size such as "500kB", "200MB" or "256MiB""#;
/// What a count by the hour looks like.
pub(super) const COUNT_PER_HOUR: &str = r#"a number by the hour such as "30/h""#;
/// What a size by the hour looks like.
pub(super) const SIZE_PER_HOUR: &str = r#"a size by the hour such as "200MB/h""#;

/// Reads a duration, at most ten years.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|&duration| duration <= LONGEST)
}

/// Reads a size in octets. kB, MB and GB are powers of 1000; KiB, MiB and GiB powers of 1024.
pub(super) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit())?);
    let factor: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        // A fraction; exact for every size that fits a machine (2^53).
        Err(_) => number
            .parse::<f64>()
            .ok()
            .map(|number| number * factor as f64)
            .filter(|n| *n < 9e15)
            .map(|n| n as u64),
    }
}

/// A size as it can be written, rounded down.
pub(super) fn in_mebibytes(octets: u64) -> String {
    match octets >> 20 {
        mebibytes if mebibytes % 1024 == 0 => format!("{}GiB", mebibytes / 1024),
        mebibytes => format!("{mebibytes}MiB"),
    }
}

/// A duration as it can be written. Of several days only their number: nobody counts in months of 30.44 days.
pub(super) fn in_time(duration: &Duration) -> String {
    const DAY: u64 = 86_400;
    match duration.as_secs() {
        secs if secs >= 2 * DAY && secs % DAY == 0 => format!("{} days", secs / DAY),
        _ => humantime::format_duration(*duration).to_string(),
    }
}

fn per_hour(text: &str) -> Option<&str> {
    let (amount, unit) = text.split_once('/')?;
    matches!(unit.trim(), "h" | "hour").then(|| amount.trim())
}

/// Reads a whole number by the hour.
pub(super) fn count_per_hour(text: &str) -> Option<f64> {
    per_hour(text)?.parse::<u32>().ok().map(f64::from)
}

/// Reads a size by the hour, in octets.
pub(super) fn size_per_hour(text: &str) -> Option<f64> {
    size(per_hour(text)?).map(|octets| octets as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_an_end() {
        assert_eq!(duration("290s"), Some(Duration::from_secs(290)));
        assert_eq!(duration("5m"), Some(Duration::from_secs(300)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("3650days"), Some(LONGEST));
        for bad in ["", "290", "-1s", "3651days", "5 moons", "99999999999999999999s", "s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_can_be_written() {
        for (secs, shown) in [(290, "4m 50s"), (86_400, "1day"), (14 * 86_400, "14 days")] {
            let written = Duration::from_secs(secs);
            assert_eq!((in_time(&written).as_str(), duration(shown)), (shown, Some(written)));
        }
        assert_eq!(in_time(&LONGEST), "3650 days");
    }

    #[test]
    fn sizes_tell_powers_of_1000_from_powers_of_1024() {
        assert_eq!(size("256MiB"), Some(256 << 20));
        assert_eq!(size("200MB"), Some(200_000_000));
        assert_eq!(size("1.5 GiB"), Some(3 << 29));
        assert_eq!(size("0B"), Some(0));
        for bad in
            ["", "256", "MiB", "-1MB", "1 mb", "1.2.3MB", "99999999999GiB", "99999999999.5GiB", "1e3MB"]
        {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn rates_are_by_the_hour() {
        assert_eq!(count_per_hour("30/h"), Some(30.0));
        assert_eq!(count_per_hour("30 / hour"), Some(30.0));
        assert_eq!(size_per_hour("200MB/h"), Some(200e6));
        for bad in ["30", "30/m", "30/", "/h", "1.5/h", "-3/h"] {
            assert_eq!(count_per_hour(bad), None, "{bad}");
        }
        assert_eq!(size_per_hour("200/h"), None);
    }
}
