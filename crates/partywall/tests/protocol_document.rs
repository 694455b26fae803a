//! `PROTOCOL.md` and the code say the same: each byte table of one against the other, both ways.

mod common;

use std::collections::BTreeMap;

use common::system;
use partywall::layout::{self, Block, Writer};
use partywall::record::{Scalar, Schema};
use partywall::ring::{Alone, ConsumerOptions, ProducerOptions};
use partywall::{EvictionReason, Namespace, SLICE};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../PROTOCOL.md");

/// What a table says of a field, but for its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    offset: u64,
    width: u64,
    writer: String,
}

fn document() -> String {
    std::fs::read_to_string(DOCUMENT).expect("PROTOCOL.md lies at the root of the repository")
}

/// The cells of a table's line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

/// The lines between a heading of the third level and the next heading.
fn section<'a>(document: &'a str, title: &str) -> Vec<&'a str> {
    let heading = format!("### {title}");
    let mut lines = document.lines().skip_while(|line| *line != heading);
    assert!(
        lines.next().is_some(),
        "PROTOCOL.md has no section {title:?}"
    );
    lines.take_while(|line| !line.starts_with('#')).collect()
}

/// The table of fields in a block's section.
fn fields(document: &str, title: &str) -> BTreeMap<String, Row> {
    let mut fields = BTreeMap::new();
    let mut rows = section(document, title).into_iter().filter_map(cells);
    let header = rows.next().expect("a table");
    assert_eq!(
        header,
        ["field", "offset", "width", "writer", "meaning"],
        "{title}"
    );
    for row in rows.skip(1) {
        let [name, offset, width, writer, meaning] = row[..] else {
            panic!("{title}: not five cells: {row:?}");
        };
        assert!(!meaning.is_empty(), "{title}: {name} has no meaning");
        let number = |cell: &str| cell.parse().unwrap_or_else(|_| panic!("{title}: {name}"));
        let row = Row {
            offset: number(offset),
            width: number(width),
            writer: writer.to_owned(),
        };
        assert!(
            fields.insert(name.to_owned(), row).is_none(),
            "{title}: {name} twice"
        );
    }
    fields
}

fn fields_of_code(block: &Block) -> BTreeMap<String, Row> {
    let row = |field: &layout::Field| Row {
        offset: field.offset,
        width: field.width,
        writer: match field.writer {
            Writer::Owner => "owner".to_owned(),
            Writer::Seat => "seat".to_owned(),
        },
    };
    block
        .fields
        .iter()
        .map(|field| (field.name.to_lowercase(), row(field)))
        .collect()
}

#[test]
fn every_field_stands_where_the_document_says() {
    let document = document();
    for block in layout::abi() {
        assert_eq!(
            fields(&document, block.title),
            fields_of_code(block),
            "left PROTOCOL.md, right the code: {}",
            block.title
        );
        let size = format!("{} bytes", block.size);
        assert!(
            section(&document, block.title).join(" ").contains(&size),
            "{}: the document does not say {size}",
            block.title
        );
    }
}

#[test]
fn every_table_of_fields_is_of_a_block_of_the_code() {
    let document = document();
    let titles: Vec<&str> = layout::abi().iter().map(|block| block.title).collect();
    let mut title = "";
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            title = heading;
        }
        if line.starts_with("| field | offset |") {
            assert!(titles.contains(&title), "the code has no block {title:?}");
        }
    }
}

/// The second cells of a section's table, by the first.
fn pairs(document: &str, title: &str) -> BTreeMap<String, String> {
    let rows = section(document, title).into_iter().filter_map(cells);
    rows.skip(2)
        .map(|row| (row[0].to_owned(), row[1].to_owned()))
        .collect()
}

#[test]
fn the_document_has_the_codes_numbers() {
    let document = document();
    let sizes = pairs(&document, "sizes");
    assert_eq!(sizes["seats"], format!("1 to {}", layout::MAX_SEATS));
    assert_eq!(
        sizes["longest sleep between two looks"],
        format!("{} ms", SLICE.as_millis())
    );
    let size_of = |title: &str| {
        let found = layout::abi()
            .into_iter()
            .find(|block| block.title.starts_with(title));
        found.expect("a block of the code").size
    };
    assert_eq!(
        sizes["header / verdict / seat"],
        format!(
            "{} / {} / {} bytes",
            size_of("segment header"),
            size_of("verdict"),
            size_of("seat")
        )
    );
    let title = format!(
        "# The Partywall protocol, ABI version {}",
        layout::ABI_VERSION
    );
    assert_eq!(document.lines().next(), Some(title.as_str()));
    let verdict = section(&document, "5.6 Verdict word (8 bytes)").join(" ");
    let reasons = format!(
        "why: {} dead, {} lied",
        EvictionReason::Dead as u8,
        EvictionReason::Lied as u8
    );
    assert!(verdict.contains(&reasons), "{verdict}");
}

/// The rows of the table that follows a heading of any level: number and name.
fn numbers(document: &str, heading: &str) -> Vec<(u64, String)> {
    let behind = document.split_once(heading).expect(heading).1;
    let rows = behind
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    let rows = rows.filter_map(cells).skip(2);
    rows.map(|row| (row[0].parse().expect(heading), row[1].to_owned()))
        .collect()
}

#[test]
fn the_kinds_are_those_of_the_command_line() {
    let source = include_str!("../../partywall-cli/src/kinds.rs");
    let constants: Vec<(u64, String)> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub(crate) const "))
        .map(|line| {
            let (name, value) = line.split_once(": u16 = ").expect(line);
            let value = value.trim_end_matches(';').parse().expect(line);
            (value, name.to_owned())
        })
        .collect();
    assert!(!constants.is_empty());
    let documented = numbers(&document(), "## 14. Kinds of `partywall send` and `recv`");
    assert_eq!(documented, constants, "left PROTOCOL.md, right kinds.rs");
}

#[test]
fn the_last_errors_are_those_of_the_code() {
    let source = include_str!("../src/layout/last_error.rs");
    let names: Vec<(u64, String)> = source
        .lines()
        .filter_map(|line| {
            let (number, name) = line.trim().split_once(" => \"")?;
            Some((number.parse().ok()?, name.strip_suffix("\",")?.to_owned()))
        })
        .collect();
    assert!(!names.is_empty());
    let documented = numbers(&document(), "### 5.7 Last errors");
    assert_eq!(documented, names, "left PROTOCOL.md, right last_error.rs");
}

/// The constants of a module of the registry of frames: name and value as they stand there.
fn registry(module: &str) -> Vec<(String, String)> {
    let source = include_str!("../src/layout/frames.rs");
    let start = format!("pub mod {module} {{");
    let body = source.split_once(&start).expect("the module").1;
    let body = body.split_once("\n}").expect("its end").0;
    body.lines()
        .filter_map(|line| line.trim().strip_prefix("pub const "))
        .filter(|line| !line.starts_with("fn "))
        .map(|line| {
            let (name, rest) = line.split_once(": ").expect(line);
            let value = rest.split_once(" = ").expect(line).1;
            (name.to_owned(), value.trim_end_matches(';').to_owned())
        })
        .collect()
}

#[test]
fn contents_and_formats_are_those_of_the_code() {
    let document = document();
    let rows = section(&document, "20.2 Contents and formats");
    let rows: Vec<&str> = rows.into_iter().filter(|line| line.contains('|')).collect();
    let second = rows
        .iter()
        .position(|line| line.starts_with("| format |"))
        .expect("two tables");
    let table = |rows: &[&str], value: fn(&str) -> String| -> Vec<(String, String)> {
        rows.iter()
            .skip(2)
            .map(|line| {
                let mut cells = line.split(" | ");
                let first = cells.next().unwrap().trim_start_matches("| ");
                (cells.next().unwrap().to_owned(), value(first))
            })
            .collect()
    };
    assert_eq!(
        table(&rows[..second], str::to_owned),
        registry("content"),
        "left PROTOCOL.md, right layout/frames.rs"
    );
    assert_eq!(
        table(&rows[second..], |code| format!(
            "code(*b\"{}\")",
            code.trim_matches('`')
        )),
        registry("format"),
        "left PROTOCOL.md, right layout/frames.rs"
    );
}

fn word(bytes: &[u8], at: u64) -> u64 {
    let at = at as usize;
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Reads a channel's files by the numbers of the document alone.
#[test]
fn a_channels_files_are_as_the_document_says() {
    let document = document();
    let header = fields(&document, "segment header");
    let root = fields(&document, "root");
    let owner = fields(&document, "owner side");

    let directory = system::directory();
    let namespace = Namespace::open(directory.path()).unwrap();
    let mut producer = ProducerOptions::new()
        .namespace(namespace)
        .capacity(4096)
        .seats(3)
        .alone(Alone::Discard)
        .open("c")
        .unwrap();
    assert_eq!(producer.max_record() as u64, 4096 / 2 - 8);
    producer.send_kind(7, b"hello").unwrap();
    producer.send(&[]).unwrap();

    let read = |name: &str| std::fs::read(directory.path().join("c").join(name)).unwrap();
    let (root_page, owner_side, peer_side) = (read("root"), read("1.owner"), read("1.peers"));
    assert_eq!(read("lock").len(), 0);
    for (bytes, side, size) in [
        (&root_page, 3, 4096),
        (&owner_side, 1, 4096 + 4096),
        (&peer_side, 2, 4096),
    ] {
        assert_eq!(bytes.len(), size);
        assert_eq!(&bytes[..8], b"PRTYWALL");
        assert_eq!(
            word(bytes, header["total_size"].offset),
            size as u64,
            "side {side}"
        );
        assert_eq!(
            word(bytes, 8),
            1 << 32 | 256 << 16 | u64::from(layout::ABI_VERSION),
            "abi_version, header_size, state"
        );
        assert_eq!(word(bytes, 16) >> 32, side << 16 | 1, "pattern, side");
        let instance = header["instance"].offset;
        assert_eq!(word(bytes, instance), word(&root_page, instance));
    }
    assert_eq!(word(&root_page, root["current"].offset), 1);
    assert_eq!(word(&root_page, root["oldest"].offset), 1);
    assert_eq!(word(&owner_side, header["owner_epoch"].offset), 1);
    assert_eq!(word(&owner_side, header["payload_offset"].offset), 4096);
    assert_eq!(word(&peer_side, header["payload_offset"].offset), 512);
    assert_eq!(word(&peer_side, header["payload_size"].offset), 3 * 512);

    let write_seq = word(&owner_side, owner["write_seq"].offset);
    assert_eq!(write_seq & !7, 24);
    let records = format!("write_records_{}", write_seq & 1);
    assert_eq!(word(&owner_side, owner[&records].offset), 2);
    assert_eq!(word(&owner_side, 4096), 1 << 48 | 7 << 32 | 5);
    assert_eq!(&owner_side[4104..4109], b"hello");
    assert_eq!(word(&owner_side, 4096 + 16), 1 << 48);
    assert_eq!(word(&owner_side, 4096 + 24), 0);
}

/// State words, seat words and generations, as a channel goes through them.
#[test]
fn a_channels_words_go_as_the_document_says() {
    let document = document();
    let header = fields(&document, "segment header");
    let root = fields(&document, "root");
    let seat = fields(&document, "seat (peer side)");

    let directory = system::directory();
    let namespace = Namespace::open(directory.path()).unwrap();
    let options = ProducerOptions::new()
        .namespace(namespace.clone())
        .capacity(4096)
        .keep_when_closed(true);
    let consumers = ConsumerOptions::new().namespace(namespace);
    let read = |name: &str| std::fs::read(directory.path().join("c").join(name)).unwrap();
    let seat_word = |number: u64| {
        let at = 512 + 512 * number + seat["state"].offset;
        word(&read("1.peers"), at)
    };

    let mut producer = options.open("c").unwrap();
    let first = consumers.attach("c").unwrap();
    assert_eq!(seat_word(0), 1 << 16 | 2, "epoch 1, ACTIVE");
    first.detach();
    assert_eq!(seat_word(0), 1 << 16, "epoch 1, FREE");
    let mut durable = consumers.clone().durable("archive").attach("c").unwrap();
    assert_eq!(
        seat_word(0),
        2 << 16 | 0x100 | 2,
        "epoch 2, durable, ACTIVE"
    );
    producer.send(b"hello").unwrap();
    assert_eq!(&durable.recv().unwrap()[..], b"hello");
    durable.detach();
    assert_eq!(
        seat_word(0),
        2 << 16 | 0x100 | 3,
        "epoch 2, durable, ABSENT"
    );
    let peer_side = read("1.peers");
    assert_eq!(word(&peer_side, 512 + seat["name_len"].offset), 7);
    let name_at = 512 + seat["name"].offset as usize;
    assert_eq!(&peer_side[name_at..name_at + 7], b"archive");
    let read_seq = word(&peer_side, 512 + seat["read_seq"].offset);
    assert_eq!(read_seq & !7, 16);
    let records = format!("read_records_{}", read_seq & 1);
    assert_eq!(word(&peer_side, 512 + seat[&records].offset), 1);

    producer.close().unwrap();
    let state = word(&read("1.owner"), 8) >> 32;
    assert_eq!(state, 0x103, "CLOSED");
    assert_eq!(word(&read("1.owner"), 16) & 0xffff_ffff, 1, "KEEP");

    // A new stream is a new generation, which begins where the old one ended.
    let _producer = options.open("c").unwrap();
    assert_eq!(word(&read("root"), root["current"].offset), 2);
    assert_eq!(
        word(&read("root"), root["oldest"].offset),
        1,
        "the durable consumer is still there"
    );
    let next = read("2.owner");
    assert_eq!(word(&next, header["generation"].offset), 2);
    assert_eq!(word(&next, header["base_seq"].offset), 16);
    assert_eq!(word(&next, header["base_records"].offset), 1);
    // It moves on: the seat of the same number there, then FREE here.
    let durable = consumers.durable("archive").attach("c").unwrap();
    assert!(durable.resumed());
    assert_eq!(seat_word(0) & 0xffff, 0, "FREE");
    let there = word(&read("2.peers"), 512 + seat["state"].offset);
    assert_eq!(there, 1 << 16 | 0x100 | 2, "epoch 1, durable, ACTIVE");
}

/// The example of a schema: its size, its hash, its record.
#[test]
fn the_example_of_a_schema_is_what_the_document_says() {
    let document = document();
    let example = document.split_once("### 22.4 An example").expect("22.4").1;
    let mut blocks = example.split("```text\n").skip(1);
    let mut block = || {
        blocks
            .next()
            .expect("a block")
            .split("```")
            .next()
            .expect("its end")
    };
    let (text, dump) = (block(), block());
    let schema = Schema::parse(text.as_bytes()).expect("the example is a schema");
    assert_eq!(schema.to_text(), text);
    let told = format!(
        "It has {} bytes and the hash `{:#018x}`",
        text.len(),
        schema.hash()
    );
    assert!(example.contains(&told), "{told}");
    let bytes: Vec<u8> = dump
        .lines()
        .flat_map(|line| line.split(' ').skip(1))
        .map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal"))
        .collect();
    assert_eq!(
        schema.view(&bytes).expect("a record").to_string(),
        "time=7 bids=[{price=1.25 size=3} {price=1.0 size=4}] flags=[[1 2] [3 7]]"
    );
}

/// The limits that the grammar states.
#[test]
fn the_limits_of_a_schema_are_those_of_the_document() {
    let numbers: Vec<&str> = Scalar::ALL.iter().map(|scalar| scalar.name()).collect();
    let document = document();
    let line = document
        .lines()
        .find(|line| line.starts_with("number    = "));
    let listed: Vec<&str> = line
        .expect("a rule")
        .split('"')
        .skip(1)
        .step_by(2)
        .collect();
    assert_eq!(listed, numbers);
}
