//! `docs/api.md`: every example in it is asked, and every route in its table is there.

use super::Administered;

const DOCUMENT: &str = include_str!("../../../docs/api.md");

#[test]
fn every_example_is_answered_as_written() {
    let daemon = Administered::start("");
    let mut asked = 0;
    for block in DOCUMENT.split("```").skip(1).step_by(2) {
        let lines: Vec<&str> = block.trim().lines().collect();
        let [request, answer] = lines[..] else { continue };
        let (method, path) = request.split_once(' ').unwrap();
        let (status, body) = answer.split_once(' ').unwrap();
        let answered = daemon.ask(method, path, "", "");
        assert_eq!(answered, (status.parse().unwrap(), body.to_owned()), "{request}");
        asked += 1;
    }
    assert!(asked >= 3, "only {asked} examples");
}

#[test]
fn every_route_is_there() {
    let daemon = Administered::start("");
    let authorized =
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", daemon.token());
    let rows = DOCUMENT.lines().filter(|line| line.starts_with("| `GET") || line.starts_with("| `POST"));
    let routes: Vec<&str> =
        rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(routes.len() >= 11, "{routes:?}");
    for route in routes {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        let (status, body) = daemon.ask(method, path, &authorized, "");
        assert!(!body.contains("there is nothing at") && status != 405, "{route}: {status} {body}");
    }
}

#[test]
fn every_number_is_told() {
    let daemon = Administered::start("");
    let (_, page) = daemon.ask("GET", "/metrics", "", "");
    let suffix = |kind: &str| match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let metrics: Vec<String> = types.map(|(name, kind)| format!("{name}{}", suffix(kind))).collect();
    assert!(metrics.len() >= 18, "{page}");
    let (_, status) = daemon.ask("GET", "/v1/status", "", "");
    let mut keys = Vec::new();
    all_keys(&serde_json::from_str(&status).unwrap(), &mut keys);
    let all = metrics.into_iter().chain(keys);
    let untold: Vec<String> = all.filter(|name| !DOCUMENT.contains(&format!("`{name}`"))).collect();
    assert_eq!(untold, [""; 0]);
}

#[test]
fn every_alert_is_about_a_number_that_is_there() {
    let daemon = Administered::start("");
    let (_, page) = daemon.ask("GET", "/metrics", "", "");
    let (_, rules) = DOCUMENT.split_once("```yaml\n").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names: Vec<&str> = words.filter(|word| word.starts_with("tempfail_")).collect();
    assert!(names.len() >= 8, "{names:?}");
    // Of what is looked up there are no numbers here, where nothing is.
    for name in names.into_iter().filter(|name| !name.starts_with("tempfail_dns_")) {
        assert!(page.lines().any(|line| line.split(['{', ' ']).next() == Some(name)), "{name}: {page}");
    }
}

fn all_keys(value: &serde_json::Value, keys: &mut Vec<String>) {
    for (key, below) in value.as_object().into_iter().flatten() {
        keys.push(key.clone());
        all_keys(below, keys);
    }
    value.as_array().into_iter().flatten().for_each(|below| all_keys(below, keys));
}
