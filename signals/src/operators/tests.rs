use super::*;
use tempfile::TempDir;
use test_support::{MaxMind, Value};

mod any;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn operator(number: u32, country: &str) -> Option<Operator> {
    Some(Operator { number, country: country.as_bytes().try_into().ok() })
}

fn numbers() -> MaxMind {
    MaxMind::new("GeoLite2-ASN")
        .network([192, 0, 2, 0], 24, &Value::asn(64_500, "Example Networks"))
        .network([192, 0, 2, 128], 25, &Value::asn(4_200_000_000, "Example Hosting"))
        .network([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, &Value::asn(64_501, "Example Six"))
}

fn countries() -> MaxMind {
    MaxMind::new("GeoLite2-Country").network([192, 0, 2, 0], 24, &Value::country("DE", "FR")).network(
        [198, 51, 100, 0],
        24,
        &registered("US"),
    )
}

/// As of a network whose use no one knows.
fn registered(code: &str) -> Value {
    Value::map([("registered_country", Value::map([("iso_code", Value::text(code))]))])
}

fn written(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn opened(bytes: &[u8]) -> Result<Operators, OperatorsError> {
    let directory = TempDir::new().unwrap();
    Operators::open(&[written(&directory, "a.mmdb", bytes)])
}

fn refusal(bytes: &[u8]) -> String {
    let text = opened(bytes).unwrap_err().to_string();
    assert!(text.contains("a.mmdb"), "{text}");
    text
}

#[test]
fn numbers_and_countries_come_together_in_any_order() {
    let directory = TempDir::new().unwrap();
    let mut paths = [
        written(&directory, "asn", &numbers().to_bytes()),
        written(&directory, "country", &countries().to_bytes()),
    ];
    for _ in 0..2 {
        let operators = Operators::open(&paths).unwrap();
        assert_eq!(operators.of(address("192.0.2.1")), operator(64_500, "DE"));
        assert_eq!(operators.of(address("192.0.2.200")), operator(4_200_000_000, "DE"));
        assert_eq!(operators.of(address("198.51.100.7")), operator(0, "US"));
        assert_eq!(operators.of(address("2001:db8::25")), operator(64_501, ""));
        assert_eq!(operators.of(address("203.0.113.1")), None);
        assert_eq!(operators.of(address("2001:db9::25")), None);
        assert_eq!(operators.failures(), 0);
        paths.reverse();
    }
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let operators = opened(&numbers().to_bytes()).unwrap();
    assert_eq!(operators.of(address("::ffff:192.0.2.1")), operator(64_500, ""));
}

#[test]
fn every_size_of_record_and_family_of_tree_is_read() {
    for bits in [24, 28, 32] {
        let operators = opened(&numbers().record_bits(bits).to_bytes()).unwrap();
        assert_eq!(operators.of(address("192.0.2.200")), operator(4_200_000_000, ""));
        assert_eq!(operators.of(address("2001:db8::25")), operator(64_501, ""));
        let operators = opened(&numbers().record_bits(bits).ipv4_only().to_bytes()).unwrap();
        assert_eq!(operators.of(address("192.0.2.1")), operator(64_500, ""));
        assert_eq!(operators.of(address("2001:db8::25")), None);
        assert_eq!(operators.failures(), 0);
    }
}

#[test]
fn the_first_file_is_believed() {
    let directory = TempDir::new().unwrap();
    let other = MaxMind::new("other").network([192, 0, 0, 0], 8, &Value::asn(1, "Other"));
    let paths =
        [written(&directory, "a", &numbers().to_bytes()), written(&directory, "b", &other.to_bytes())];
    let operators = Operators::open(&paths).unwrap();
    assert_eq!(operators.of(address("192.0.2.1")), operator(64_500, ""));
    assert_eq!(operators.of(address("192.9.9.9")), operator(1, ""));
}

#[test]
fn no_file_knows_nothing() {
    assert_eq!(Operators::open(&[]).unwrap().of(address("192.0.2.1")), None);
}

#[test]
fn a_country_is_two_capital_letters_or_unknown() {
    let of = |code: &str| {
        let file = countries().network([203, 0, 113, 0], 24, &registered(code));
        opened(&file.to_bytes()).unwrap().of(address("203.0.113.1"))
    };
    assert_eq!(of("nl"), operator(0, "NL"));
    for code in ["", "N", "NLD", "4Z", "é"] {
        assert_eq!(of(code), None, "{code}");
    }
}

#[test]
fn number_zero_is_unknown() {
    let file = numbers().network([203, 0, 113, 0], 24, &Value::asn(0, "Nobody"));
    assert_eq!(opened(&file.to_bytes()).unwrap().of(address("203.0.113.1")), None);
}

#[test]
fn the_age_is_told_of_each_file() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "asn", &numbers().built(1_000).to_bytes());
    let operators = Operators::open(std::slice::from_ref(&path)).unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let kind = "GeoLite2-ASN".to_owned();
    assert_eq!(operators.built(), [Built { path, kind, at, gives_number: true, gives_country: false }]);
    assert_eq!(operators.built()[0].age(at + Duration::from_secs(60)), Duration::from_secs(60));
    assert_eq!(operators.built()[0].age(SystemTime::UNIX_EPOCH), Duration::ZERO);
}

#[test]
fn what_a_file_calls_itself_is_printable_and_short() {
    let file = MaxMind::new(&"\u{1b}[2 \u{e9}".repeat(50));
    let file = file.network([192, 0, 2, 0], 24, &Value::asn(1, ""));
    let operators = opened(&file.to_bytes()).unwrap();
    assert_eq!(operators.built()[0].kind.len(), 64);
    assert!(operators.built()[0].kind.starts_with("?[2 ??"));
}

#[test]
fn a_file_replaced_or_overwritten_on_disk_does_not_disturb() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "asn", &numbers().to_bytes());
    let operators = Operators::open(std::slice::from_ref(&path)).unwrap();
    std::fs::write(&path, b"overwritten in place").unwrap();
    assert_eq!(operators.of(address("192.0.2.1")), operator(64_500, ""));
    let next = written(&directory, "next", &countries().to_bytes());
    std::fs::rename(next, &path).unwrap();
    assert_eq!(operators.of(address("192.0.2.1")), operator(64_500, ""));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(operators.of(address("192.0.2.200")), operator(4_200_000_000, ""));
    assert_eq!(operators.failures(), 0);
}

#[test]
fn what_is_no_readable_file_is_named() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("absent.mmdb");
    let text = Operators::open(&[missing]).unwrap_err().to_string();
    assert!(text.contains("absent.mmdb") && text.contains("No such file"), "{text}");
    let text = Operators::open(&[directory.path().to_owned()]).unwrap_err().to_string();
    assert!(text.ends_with("is not a regular file"), "{text}");
    let text = Operators::open(&["/dev/zero".into()]).unwrap_err().to_string();
    assert_eq!(text, "\"/dev/zero\" is not a regular file");
    assert!(matches!(Operators::open(&vec!["a".into(); 5]), Err(OperatorsError::TooMany(5))));
}

#[test]
fn a_file_beyond_the_bound_is_not_read() {
    let directory = TempDir::new().unwrap();
    let path = written(&directory, "big.mmdb", b"");
    // All hole: it takes no space.
    File::options().write(true).open(&path).unwrap().set_len(MAX_OCTETS + 1).unwrap();
    let text = Operators::open(&[path]).unwrap_err().to_string();
    assert!(text.ends_with("big.mmdb\" is larger than 536870912 octets"), "{text}");
}

#[test]
fn what_is_no_maxmind_file_is_refused() {
    for bytes in [&b""[..], b"Network,ASN\n192.0.2.0/24,64500\n", &[0; 300_000]] {
        assert!(refusal(bytes).ends_with("is not a MaxMind-format file, or is cut short"));
    }
}

#[test]
fn a_file_without_either_field_is_refused() {
    let city = Value::map([("city", Value::map([("iso_code", Value::text("DE"))]))]);
    let file = MaxMind::new("Anonymous-IP").network([192, 0, 2, 0], 24, &city);
    assert!(refusal(&file.to_bytes()).contains("(Anonymous-IP) has neither autonomous_system_number"));
    assert!(refusal(&MaxMind::new("empty").to_bytes()).contains("(empty) has neither"));
}

#[test]
fn fields_of_another_type_are_refused() {
    let text = Value::map([("autonomous_system_number", Value::text("AS64500"))]);
    let file = numbers().network([192, 0, 2, 0], 30, &text);
    assert!(refusal(&file.to_bytes()).ends_with("an autonomous system's number is none"));
    let long = Value::map([("autonomous_system_number", Value::U64(1 << 40))]);
    let file = numbers().network([192, 0, 2, 0], 30, &long);
    assert!(refusal(&file.to_bytes()).ends_with("more than 32 bits"));
    let number = Value::map([("country", Value::map([("iso_code", Value::U16(276))]))]);
    let file = countries().network([192, 0, 2, 0], 30, &number);
    assert!(refusal(&file.to_bytes()).ends_with("a country's code is not text"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = countries().to_bytes();
    for end in 0..bytes.len() {
        let text = refusal(&bytes[..end]);
        assert!(text.contains("cut short") || text.contains("metadata"), "{end}: {text}");
    }
}

#[test]
fn a_file_torn_in_the_middle_is_refused() {
    let bytes = numbers().to_bytes();
    for at in [6, bytes.len() / 2] {
        let torn = [&bytes[..at], &bytes[at + 5..]].concat();
        assert!(refusal(&torn).contains("is damaged: "));
    }
}

/// A file of one node whose both sides lead to `data`.
fn with_data(data: &[u8]) -> Vec<u8> {
    let whole = MaxMind::new("GeoLite2-ASN").ipv4_only().network([0, 0, 0, 0], 0, &Value::U16(0)).to_bytes();
    let metadata = database::metadata(&whole).unwrap();
    [&whole[..6 + 16], data, &whole[metadata..]].concat()
}

#[test]
fn pointers_that_lead_in_a_circle_or_out_are_refused() {
    // To itself; to a pointer to a pointer; past the end.
    for data in [&[0x20, 0][..], &[0x20, 2, 0x20, 4, 0x20, 0], &[0x27, 0xff]] {
        assert!(refusal(&with_data(data)).contains("is damaged: "), "{data:?}");
    }
    // A map whose value is itself, below a key that is looked for: no country, and no end if it were entered.
    let round = b"\xe1\x47country\x20\x00";
    assert!(refusal(&with_data(round)).contains("has neither"));
}

#[test]
fn sizes_that_lie_are_refused() {
    // A map of sixteen million pairs; maps in maps without end; arrays of arrays.
    let large = [&b"\xff\xff\xff\xff"[..], &b"\x41a\x40".repeat(20_000)].concat();
    assert!(refusal(&with_data(&large)).ends_with("records beyond any measure"));
    let deep = b"\xe1\x41a".repeat(100_000);
    assert!(refusal(&with_data(&deep)).ends_with("records beyond any measure"));
    let nested = [&b"\xe1\x41a"[..], &b"\x1d\x04\xff".repeat(100_000)].concat();
    assert!(refusal(&with_data(&nested)).ends_with("records beyond any measure"));
}

#[test]
fn a_tree_in_a_circle_is_unknown_and_counted() {
    let mut bytes = MaxMind::new("GeoLite2-ASN").ipv4_only().network([0, 0, 0, 0], 1, &Value::asn(1, ""));
    bytes = bytes.network([128, 0, 0, 0], 2, &Value::asn(2, ""));
    let mut bytes = bytes.to_bytes();
    // The second node's right side, empty so far, leads back to the second node.
    bytes[9..12].copy_from_slice(&[0, 0, 1]);
    let operators = opened(&bytes).unwrap();
    assert_eq!(operators.of(address("10.0.0.1")), operator(1, ""));
    assert_eq!(operators.of(address("160.0.0.1")), operator(2, ""));
    assert_eq!(operators.failures(), 0);
    assert_eq!(operators.of(address("255.255.255.255")), None);
    assert_eq!(operators.failures(), 1);
}
