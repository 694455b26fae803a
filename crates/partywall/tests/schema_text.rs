//! The text of a schema as anybody may have written it: whatever it is, the answer is a schema that writes itself in the
//! same way, or an error with a line.

use partywall::record::{Element, Scalar, Schema};
use proptest::prelude::*;

const BOOK: &str = "\
partywall schema 1
record Level 16
field price 0 f64 EUR
field size 8 u32
field _padding 12 u8[4]
record Book 48
field time 0 u64 ns
field bids 8 Level[2]
field flags 40 u16[2][2] µ m/s
";

fn problem(text: &str) -> (usize, &'static str) {
    let error = Schema::parse(text.as_bytes()).expect_err(text);
    assert!(error.to_string().contains(error.problem));
    (error.line, error.problem)
}

#[test]
fn a_text_is_read_and_written_alike() {
    let book = Schema::parse(BOOK.as_bytes()).unwrap();
    assert_eq!(book.to_text(), BOOK);
    assert_eq!(book.name(), "Book");
    assert_eq!(book.size(), 48);
    let [level, _] = book.records() else {
        panic!("{book:?}");
    };
    assert_eq!(
        (level.name(), level.size(), level.align()),
        ("Level", 16, 8)
    );
    let [time, bids, flags] = book.record().fields() else {
        panic!("{book:?}");
    };
    assert_eq!(time.element(), Element::Scalar(Scalar::U64));
    assert_eq!((bids.element(), bids.count()), (Element::Record(0), 2));
    assert_eq!(flags.dimensions(), [2, 2]);
    assert_eq!(flags.unit(), Some("µ m/s"));
    assert!(level.fields()[2].is_padding());
}

#[test]
fn the_hash_is_fnv_1a_of_the_text() {
    let schema = Schema::parse(b"partywall schema 1\nrecord R 1\nfield a 0 u8\n").unwrap();
    // By another implementation of it, in Python.
    assert_eq!(schema.hash(), 0xd10a_9631_de68_b869);
    let other = Schema::parse(b"partywall schema 1\nrecord R 1\nfield b 0 u8\n").unwrap();
    assert_ne!(schema.hash(), other.hash());
}

#[test]
fn what_is_no_schema_is_told_with_its_line() {
    for (text, line, told) in [
        ("", 0, "its last line does not end"),
        ("partywall schema 1", 0, "its last line does not end"),
        ("partywall schema 1\n", 0, "no record"),
        (
            "partywall schema 2\nrecord R 1\nfield a 0 u8\n",
            1,
            "the one version",
        ),
        (
            "partywall schema 1\nfield a 0 u8\n",
            2,
            "a field without a record",
        ),
        (
            "partywall schema 1\nrecord R 1\n",
            2,
            "a record without fields",
        ),
        (
            "partywall schema 1\nrecord R 1\n\nfield a 0 u8\n",
            3,
            "neither a record nor a field",
        ),
        ("partywall schema 1\nrecord R\n", 2, "a name and a size"),
        (
            "partywall schema 1\nrecord R 01\nfield a 0 u8\n",
            2,
            "without leading zeros",
        ),
        (
            "partywall schema 1\nrecord R +1\nfield a 0 u8\n",
            2,
            "a number is decimal",
        ),
        (
            "partywall schema 1\nrecord R \nfield a 0 u8\n",
            2,
            "a number is decimal",
        ),
        (
            "partywall schema 1\nrecord R 99999999999999999999999\n",
            2,
            "a number is decimal",
        ),
        (
            "partywall schema 1\nrecord 1R 1\nfield a 0 u8\n",
            2,
            "does not begin with a digit",
        ),
        (
            "partywall schema 1\nrecord u8 1\nfield a 0 u8\n",
            2,
            "the name of another type",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0\n",
            3,
            "a field has a name",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8 \n",
            3,
            "a unit has",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8\r\n",
            3,
            "an unknown type",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 bool\n",
            3,
            "an unknown type",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 R\n",
            3,
            "an unknown type",
        ),
        (
            "partywall schema 1\nrecord R 2\nfield a 0 u8\nfield a 1 u8\n",
            4,
            "there already",
        ),
        (
            "partywall schema 1\nrecord R 2\nfield a 1 u8\n",
            3,
            "not where the field before ends",
        ),
        (
            "partywall schema 1\nrecord R 8\nfield a 0 u8\nfield b 1 u32\n",
            4,
            "no multiple",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u16\n",
            3,
            "it leaves its record",
        ),
        (
            "partywall schema 1\nrecord R 2\nfield a 0 u8\n",
            3,
            "does not end where the record does",
        ),
        (
            "partywall schema 1\nrecord R 3\nfield a 0 u16\nfield b 2 u8\n",
            4,
            "no multiple",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8[0]\n",
            3,
            "no elements",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8[1\n",
            3,
            "without its ]",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8[1]x\n",
            3,
            "behind the ]",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8[1][1][1][1][1][1][1][1][1]\n",
            3,
            "8 dimensions",
        ),
        (
            "partywall schema 1\nrecord R 1\nfield a 0 u8[1073741824][1073741824][1073741824]\n",
            3,
            "it leaves its record",
        ),
        (
            "partywall schema 1\nrecord A 1\nfield a 0 u8\nrecord B 1\nfield b 0 u8\n",
            0,
            "in no other",
        ),
    ] {
        let (found_line, found) = problem(text);
        assert_eq!(found_line, line, "{text:?}: {found}");
        assert!(found.contains(told), "{text:?}: {found}");
    }
    let error = Schema::parse(b"partywall schema 1\nrecord R 1\nfield \xff 0 u8\n").unwrap_err();
    assert_eq!((error.line, error.problem), (0, "not UTF-8"));
    let long = "x".repeat(65537);
    assert_eq!(problem(&long), (0, "longer than 64 KiB"));
    let mut deep = "partywall schema 1\nrecord R0 1\nfield a 0 u8\n".to_owned();
    for depth in 1..17 {
        let inner = depth - 1;
        deep.push_str(&format!("record R{depth} 1\nfield a 0 R{inner}\n"));
        let parsed = Schema::parse(deep.as_bytes());
        assert_eq!(parsed.is_ok(), depth < 16, "{depth}: {parsed:?}");
    }
}

/// Names, numbers and types as they might be, and as they might not.
fn line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "_p", "R", "S", "u8", "", "x y", "1"]);
    let number = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "4",
        "8",
        "16",
        "24",
        "007",
        "-1",
        "4294967296",
        "1073741824",
        "",
    ]);
    let ty = prop::sample::select(vec![
        "u8",
        "u16",
        "u32",
        "u64",
        "i8",
        "f32",
        "f64",
        "R",
        "S",
        "u8[4]",
        "u16[2][2]",
        "R[2]",
        "u8[",
        "u8[]",
        "u8[0]",
        "[4]",
        "u8[1073741824][1073741824]",
    ]);
    let unit = prop::sample::select(vec!["", " mV", " ", " °C", "  V", " \u{7}"]);
    let record =
        (name.clone(), number.clone()).prop_map(|(name, size)| format!("record {name} {size}"));
    let field = (name, number, ty, unit)
        .prop_map(|(name, offset, ty, unit)| format!("field {name} {offset} {ty}{unit}"));
    prop_oneof![4 => field, 2 => record, 1 => ".{0,20}"]
}

proptest! {
    /// Nothing panics, and what is accepted is written as it was read.
    #[test]
    fn lines_of_any_kind_are_a_schema_or_an_error(lines in prop::collection::vec(line(), 0..8)) {
        let mut text = "partywall schema 1\n".to_owned();
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
        if let Ok(schema) = Schema::parse(text.as_bytes()) {
            prop_assert_eq!(schema.to_text(), text);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_a_schema_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Schema::parse(&bytes).is_err());
    }

    /// A true schema with some bytes exchanged; and what still is one shows any bytes of its length.
    #[test]
    fn a_schema_that_was_scribbled_over_is_a_schema_or_an_error(
        scribbles in prop::collection::vec((0..BOOK.len(), any::<u8>()), 1..4),
        fill in any::<u8>(),
    ) {
        let mut text = BOOK.as_bytes().to_vec();
        for (at, byte) in scribbles {
            text[at] = byte;
        }
        if let Ok(schema) = Schema::parse(&text) {
            prop_assert_eq!(schema.to_text().into_bytes(), text);
            let bytes = vec![fill; schema.size()];
            prop_assert!(schema.view(&bytes).is_ok());
            let shown = schema.view(&bytes).unwrap().to_string();
            let mut fields = schema.record().fields().iter();
            let all = fields.all(|field| field.is_padding() || shown.contains(field.name()));
            prop_assert!(all, "{}", shown);
            // And it can be compared with the true one.
            let _ = Schema::parse(BOOK.as_bytes()).unwrap().difference(&schema);
        }
    }
}

proptest! {
    /// Records of random numbers, laid out by hand.
    #[test]
    fn what_is_laid_out_by_the_table_is_accepted_and_shown(
        fields in prop::collection::vec((0..10_usize, 1..4_usize), 1..12),
    ) {
        let mut lines = String::new();
        let (mut end, mut align, mut pads) = (0_usize, 1, 0);
        let mut pad = |lines: &mut String, end: &mut usize, to: usize| {
            let missing = end.next_multiple_of(to) - *end;
            if missing > 0 {
                lines.push_str(&format!("field _{pads} {end} u8[{missing}]\n"));
                pads += 1;
                *end += missing;
            }
        };
        for (number, &(scalar, count)) in fields.iter().enumerate() {
            let scalar = Scalar::ALL[scalar];
            pad(&mut lines, &mut end, scalar.size());
            lines.push_str(&format!("field f{number} {end} {}[{count}]\n", scalar.name()));
            end += scalar.size() * count;
            align = align.max(scalar.size());
        }
        pad(&mut lines, &mut end, align);
        let text = format!("partywall schema 1\nrecord R {end}\n{lines}");
        let schema = Schema::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(schema.to_text(), text);
        prop_assert_eq!(schema.record().align(), align);
        let bytes = vec![0; end];
        let shown = schema.view(&bytes).unwrap().to_string();
        prop_assert_eq!(shown.matches('=').count(), fields.len());
    }
}
