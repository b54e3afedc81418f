use super::*;

fn as_written(value: &Value) -> Vec<u8> {
    let mut data = Data::default();
    data.write(value);
    data.bytes
}

#[test]
fn fields_are_written_as_the_format_has_them() {
    assert_eq!(as_written(&Value::text("en")), b"\x42en");
    assert_eq!(as_written(&Value::U32(64_500)), [0xc2, 0xfb, 0xf4]);
    assert_eq!(as_written(&Value::U16(0)), [0xa0]);
    assert_eq!(as_written(&Value::U64(1)), [0x01, 0x02, 0x01]);
    assert_eq!(as_written(&Value::Boolean(true)), [0x01, 0x07]);
    assert_eq!(as_written(&Value::Array(vec![Value::U16(7)])), [0x01, 0x04, 0xa1, 0x07]);
    assert_eq!(as_written(&Value::map([("a", Value::text("b"))])), b"\xe1\x41a\x41b");
    assert_eq!(as_written(&Value::Double(1.0_f64.to_bits()))[..3], [0x68, 0x3f, 0xf0]);
}

#[test]
fn long_texts_have_their_length_in_the_next_octets() {
    let beginning = |length: usize| as_written(&Value::Text("x".repeat(length)))[..5].to_vec();
    assert_eq!(beginning(28), b"\x5cxxxx");
    assert_eq!(beginning(29), b"\x5d\x00xxx");
    assert_eq!(beginning(284), b"\x5d\xffxxx");
    assert_eq!(beginning(285), b"\x5e\x00\x00xx");
    assert_eq!(beginning(65_821), b"\x5f\x00\x00\x00x");
}

#[test]
fn what_is_there_already_is_pointed_to() {
    let twice = Value::Array(vec![Value::text("one"), Value::text("one")]);
    assert_eq!(as_written(&twice), b"\x02\x04\x43one\x20\x02");
    let mut data = Data::default();
    for (at, expected) in [
        (2047, vec![0x27, 0xff]),
        (2048, vec![0x28, 0, 0]),
        (526_335, vec![0x2f, 0xff, 0xff]),
        (526_336, vec![0x30, 0, 0, 0]),
        (134_744_064, vec![0x38, 0x08, 0x08, 0x08, 0x00]),
    ] {
        data.bytes.clear();
        data.point(at);
        assert_eq!(data.bytes, expected, "{at}");
    }
}

#[test]
fn records_of_each_size_are_laid_out_as_the_format_has_them() {
    let tree = Tree { nodes: vec![[Record::Empty, Record::Data(0x0102_0304)]] };
    assert_eq!(tree.to_bytes(32), [0, 0, 0, 1, 0x01, 0x02, 0x03, 0x15]);
    assert_eq!(tree.to_bytes(28), [0, 0, 1, 0x01, 0x02, 0x03, 0x15]);
    assert_eq!(tree.to_bytes(24), [0, 0, 1, 0x02, 0x03, 0x15]);
}

#[test]
fn the_most_specific_network_is_left_whole() {
    let mut tree = Tree::default();
    tree.insert(0, 1, Record::Data(1));
    tree.insert(1 << 126, 2, Record::Data(2));
    assert_eq!(tree.nodes, [[Record::Node(1), Record::Empty], [Record::Data(1), Record::Data(2)]]);
    tree.insert(0, 0, Record::Data(3));
    assert_eq!(tree.nodes[0], [Record::Data(3); 2]);
}
