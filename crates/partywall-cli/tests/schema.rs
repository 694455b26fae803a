//! `schema` in every language, and fields as people and programs see them, on typed channels of real handles.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Place, system};
use partywall::Namespace;
use partywall::record::{Record, Schema, bytes_of};
use partywall::ring::{Alone, ProducerOptions, TypedProducer};
use serde_json::json;

#[derive(Record, Clone, Copy)]
#[repr(C)]
struct Level {
    #[record(unit = "EUR \"net\" \\")]
    price: f64,
    size: u32,
    _padding: [u8; 4],
}

/// Something of everything, with names that other languages would rather not have.
#[derive(Record, Clone, Copy)]
#[repr(C)]
struct Book {
    #[record(unit = "ns")]
    time: u64,
    r#type: i16,
    int: u16,
    class: f32,
    #[record(unit = "*/ // °C")]
    bids: [Level; 2],
    asks: [[Level; 1]; 3],
    matrix: [[i16; 3]; 2],
    symbol: [u8; 4],
    bytes: [i8; 2],
    #[record(name = "Book")]
    itself: [u8; 6],
    last: Level,
    wide: [i64; 1],
}

fn book() -> Book {
    let level = |price: f64, size: u32| Level {
        price,
        size,
        _padding: [0xee; 4],
    };
    Book {
        time: 1 << 63,
        r#type: -2,
        int: 7,
        class: 0.5,
        bids: [level(1.25, 3), level(1.0, 4)],
        asks: [[level(2.0, 5)], [level(f64::NAN, 6)], [level(-0.0, 7)]],
        matrix: [[1, 2, 3], [-4, -5, -6]],
        symbol: *b"ABCD",
        bytes: [-1, 1],
        itself: [1, 2, 3, 4, 5, 6],
        last: level(1e300, u32::MAX),
        wide: [i64::MIN],
    }
}

const TEXT: &str = "time=9223372036854775808 type=-2 int=7 class=0.5 \
bids=[{price=1.25 size=3} {price=1.0 size=4}] \
asks=[[{price=2.0 size=5}] [{price=NaN size=6}] [{price=-0.0 size=7}]] \
matrix=[[1 2 3] [-4 -5 -6]] symbol=[65 66 67 68] bytes=[-1 1] Book=[1 2 3 4 5 6] \
last={price=1e300 size=4294967295} wide=[-9223372036854775808]";

/// A channel that has a schema as long as the producer lives.
fn channel(place: &Place) -> TypedProducer<Book> {
    let namespace = Namespace::open(place.path()).unwrap();
    let options = ProducerOptions::new()
        .namespace(namespace)
        .capacity(1 << 16);
    options.alone(Alone::Wait).open_typed("books").unwrap()
}

fn output(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

fn declared(place: &Place, language: &str) -> String {
    output(place.command(&["schema", "books", "--as", language]))
}

/// Whether a tool is there. Where the tests must be complete, those that every system has must be.
fn has(tool: &str, required: bool) -> bool {
    let there = system::process(tool).arg("--version").output();
    if there.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(
        !required || std::env::var_os("CI").is_none(),
        "{tool} is needed to test what `partywall schema` writes"
    );
    println!("skipped: there is no {tool}");
    false
}

/// A place for generated programs.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Self {
        Workshop(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The book's bytes, for programs to read.
    fn bytes(&self) -> PathBuf {
        let path = self.path("book.bin");
        std::fs::write(&path, bytes_of(&book())).unwrap();
        path
    }
}

fn run(program: &str, arguments: &[&Path]) -> String {
    let mut command = system::process(program);
    command.args(arguments);
    output(command)
}

#[test]
fn the_text_is_the_one_in_the_channel() {
    let place = Place::new();
    let _producer = channel(&place);
    let text = output(place.command(&["schema", "books"]));
    assert_eq!(text, Schema::of::<Book>().to_text());
    let info = output(place.command(&["info", "books"]));
    assert!(info.contains("Book, 144 bytes each"), "{info}");
    assert_eq!(declared(&place, "text"), text);
}

#[test]
fn a_channel_of_bytes_and_one_that_is_not_there_are_told_apart() {
    let place = Place::new();
    let namespace = Namespace::open(place.path()).unwrap();
    let _producer = ProducerOptions::new()
        .namespace(namespace)
        .open("bytes")
        .unwrap();
    let refused = |channel: &str| {
        let output = place.command(&["schema", channel]).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, told) = refused("bytes");
    assert_eq!(code, Some(1));
    assert!(told.contains("no schema, its records are bytes"), "{told}");
    assert_eq!(refused("missing").0, Some(5));
}

/// The very text that `--as rust` writes, compiled by this test.
#[allow(
    non_snake_case,
    unreachable_pub,
    reason = "written for programs, not for this test"
)]
mod round_trip {
    include!("generated/books.rs");
}

#[test]
fn rust_that_is_written_is_the_same_record() {
    let place = Place::new();
    let _producer = channel(&place);
    let written = declared(&place, "rust");
    assert_eq!(
        written,
        include_str!("generated/books.rs"),
        "generated/books.rs is not what is written"
    );
    let again = Schema::of::<round_trip::Book>();
    assert_eq!(again.to_text(), Schema::of::<Book>().to_text());
    let book = partywall::record::from_bytes::<round_trip::Book>(bytes_of(&book())).unwrap();
    assert_eq!((book.type_, book.Book), (-2, [1, 2, 3, 4, 5, 6]));
}

#[test]
fn c_and_cpp_compile_and_find_every_field() {
    if !has("gcc", true) {
        return;
    }
    let place = Place::new();
    let _producer = channel(&place);
    let workshop = Workshop::new();
    workshop.file("books.h", &declared(&place, "c"));
    let source = workshop.file(
        "show.c",
        r#"
#include "books.h"
#include "books.h"
#include <stdio.h>

int main(int count, char **arguments) {
    Book book;
    FILE *file = count == 2 ? fopen(arguments[1], "rb") : NULL;
    if (file == NULL || fread(&book, sizeof book, 1, file) != 1) return 1;
    printf("%zu %zu %zu ", sizeof book, offsetof(Book, bids), offsetof(Book, wide));
    printf("%d %d %g %g %d %d %d %g %u\n", book.type, book.int_, book.class_, book.bids[1].price,
           book.asks[2][0].size, book.matrix[1][2], book.Book[5], book.last.price, book.last.size);
    return 0;
}
"#,
    );
    let bytes = workshop.bytes();
    let program = workshop.path("show");
    let strict = ["-Wall", "-Wextra", "-Werror", "-pedantic"];
    for (compiler, flags) in [
        ("gcc", &["-std=c11"][..]),
        ("g++", &["-std=c++17", "-x", "c++"]),
    ] {
        if !has(compiler, false) {
            continue;
        }
        let mut compile = system::process(compiler);
        compile
            .args(strict)
            .args(flags)
            .arg("-o")
            .arg(&program)
            .arg(&source);
        output(compile);
        let shown = output({
            let mut show = system::process(&program);
            show.arg(&bytes);
            show
        });
        assert_eq!(shown, "144 16 136 -2 7 0.5 1 7 -6 6 1e+300 4294967295\n");
    }
    // A 32-bit x86 compiler aligns 8 bytes to 4: the assertions hold there too.
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let mut narrow = system::process("gcc");
    narrow.args(strict).args([
        "-std=c11",
        "-m32",
        "-ffreestanding",
        "-fsyntax-only",
        "-x",
        "c",
    ]);
    narrow.arg(workshop.path("books.h"));
    output(narrow);
}

#[test]
fn python_runs_and_finds_every_field() {
    if !has("python3", true) {
        return;
    }
    let place = Place::new();
    let _producer = channel(&place);
    let workshop = Workshop::new();
    workshop.file("books.py", &declared(&place, "python"));
    let script = workshop.file(
        "show.py",
        r#"
import sys
sys.dont_write_bytecode = True
import books
payload = open(sys.argv[1], "rb").read()
book = books.Book.from_buffer_copy(payload)
print(len(payload), book.type, book.int, getattr(book, "class"), book.bids[1].price, book.asks[2][0].size)
print(book.matrix[1][2], bytes(book.symbol), book.Book[5], book.last.size, book.wide[0])
values = dict(zip(books.NAMES, books.STRUCT.unpack(payload)))
print(values["asks[2][0].size"], values["matrix[1][2]"], values["symbol"], values["wide[0]"], len(values))
print(hex(books.HASH))
try:
    import numpy
except ImportError:
    numpy = None
if numpy is not None:
    array = numpy.frombuffer(payload + payload, books.dtype())
    assert array["bids"]["price"].tolist() == [[1.25, 1.0]] * 2
    assert array["asks"].shape == (2, 3, 1)
    assert array["matrix"][1].tolist() == [[1, 2, 3], [-4, -5, -6]]
    assert array["wide"][0][0] == -2**63
"#,
    );
    let shown = run("python3", &[&script, &workshop.bytes()]);
    let hash = Schema::of::<Book>().hash();
    assert_eq!(
        shown,
        format!(
            "144 -2 7 0.5 1.0 7\n-6 b'ABCD' 6 4294967295 -9223372036854775808\n7 -6 b'ABCD' -9223372036854775808 27\n{hash:#x}\n"
        )
    );
}

#[test]
fn csharp_says_every_offset_and_compiles_where_it_can() {
    let place = Place::new();
    let _producer = channel(&place);
    let written = declared(&place, "csharp");
    for line in [
        "[StructLayout(LayoutKind.Explicit, Size = 16, Pack = 8)]",
        "    [FieldOffset(0)] public double price;  // \"EUR \\\"net\\\" \\\\\"",
        "    [FieldOffset(12)] public fixed byte _padding[4];",
        "    [FieldOffset(10)] public ushort int_;",
        "    [FieldOffset(96)] public fixed short matrix[6];",
        "    [FieldOffset(114)] public fixed byte Book_[6];",
        "    [FieldOffset(48)] private fixed byte asks__bytes[48];",
        "    public ref Level asks(int index)",
        "    [FieldOffset(136)] public fixed long wide[1];",
    ] {
        assert!(
            written.lines().any(|one| one == line),
            "{line}\nin\n{written}"
        );
    }
    if !has("mcs", false) || !has("mono", false) {
        return;
    }
    let workshop = Workshop::new();
    let declaration = workshop.file("books.cs", &written);
    let show = workshop.file(
        "show.cs",
        r#"
public static class Show {
    public static unsafe void Main(string[] arguments) {
        byte[] payload = System.IO.File.ReadAllBytes(arguments[0]);
        fixed (byte* first = payload) {
            Book* book = (Book*)first;
            System.Console.WriteLine("{0} {1} {2} {3} {4} {5} {6} {7}", sizeof(Book), book->type, book->int_,
                book->bids(1).price, book->asks(2).size, book->matrix[5], book->Book_[5], book->wide[0]);
        }
    }
}
"#,
    );
    let program = workshop.path("show.exe");
    let mut compile = system::process("mcs");
    compile
        .args(["-unsafe", "-warnaserror-", "-out:show.exe"])
        .arg(&declaration)
        .arg(&show);
    compile.current_dir(workshop.0.path());
    output(compile);
    let shown = run("mono", &[&program, &workshop.bytes()]);
    assert_eq!(shown, "144 -2 7 1 7 -6 6 -9223372036854775808\n");
}

#[test]
fn json_has_every_record_field_and_unit() {
    let place = Place::new();
    let _producer = channel(&place);
    let written: serde_json::Value = serde_json::from_str(&declared(&place, "json")).unwrap();
    assert_eq!(written["name"], "Book");
    assert_eq!(written["size"], 144);
    assert_eq!(
        written["hash"],
        format!("{:#018x}", Schema::of::<Book>().hash())
    );
    assert_eq!(
        written["records"][0]["fields"][0],
        json!({
            "name": "price", "offset": 0, "size": 8, "type": "f64", "dimensions": [],
            "unit": "EUR \"net\" \\", "padding": false,
        })
    );
    let asks = &written["records"][1]["fields"][5];
    assert_eq!(asks["dimensions"], json!([3, 1]));
    assert_eq!(
        (&asks["type"], &asks["size"]),
        (&json!("Level"), &json!(48))
    );
}

#[test]
fn recv_writes_fields_as_text_and_as_json() {
    let place = Place::new();
    let mut producer = channel(&place);
    let receive = |arguments: &[&str]| {
        let mut command = place.command(&["recv", "books"]);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let (text, json, raw) = (receive(&["--fields"]), receive(&["--json"]), receive(&[]));
    place.wait_until("all three are attached", || producer_has(&place, 3));
    producer.send(&book()).unwrap();
    drop(producer);
    let finish = |child: std::process::Child| {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    assert_eq!(
        String::from_utf8(finish(text)).unwrap(),
        format!("{TEXT}\n")
    );
    assert_eq!(finish(raw), bytes_of(&book()));
    let json = String::from_utf8(finish(json)).unwrap();
    // In the order of the record, which a map would lose.
    assert!(
        json.starts_with(
            "{\"position\":0,\"kind\":0,\"len\":144,\"fields\":{\"time\":9223372036854775808,\"type\":-2,"
        ),
        "{json}"
    );
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let fields = &json["fields"];
    assert_eq!(fields["bids"][0], json!({"price": 1.25, "size": 3}));
    assert_eq!(fields["asks"][1][0]["price"], json!(null), "not a number");
    assert_eq!(fields["matrix"], json!([[1, 2, 3], [-4, -5, -6]]));
}

fn producer_has(place: &Place, seats: usize) -> bool {
    let info = output(place.command(&["info", "books", "--json"]));
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    info["seats"]
        .as_array()
        .is_some_and(|found| found.len() == seats)
}

#[test]
fn snapshots_and_broadcasts_show_fields_by_themselves() {
    use partywall::{broadcast, snapshot};
    let place = Place::new();
    let namespace = Namespace::open(place.path()).unwrap();
    let writers = snapshot::WriterOptions::new().namespace(namespace.clone());
    let mut writer = writers.open_typed::<Level>("level").unwrap();
    writer.put(&book().last).unwrap();
    let text = output(place.command(&["get", "level"]));
    assert_eq!(text, "price=1e300 size=4294967295\n");
    let json = output(place.command(&["get", "level", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["fields"],
        json!({"price": 1e300, "size": 4_294_967_295_u32})
    );
    let raw = place.command(&["get", "level", "--raw"]).output().unwrap();
    assert_eq!(raw.stdout, bytes_of(&book().last));

    let senders = broadcast::SenderOptions::new().namespace(namespace);
    let mut sender = senders.open_typed::<Level>("levels").unwrap();
    sender.send(&book().bids[0]).unwrap();
    sender.send(&book().bids[1]).unwrap();
    let text = output(place.command(&["sub", "levels", "--from", "oldest", "--count", "2"]));
    assert_eq!(text, "price=1.25 size=3\nprice=1.0 size=4\n");
}

#[test]
fn bytes_that_are_no_record_and_channels_without_a_schema_are_told() {
    let place = Place::new();
    let namespace = Namespace::open(place.path()).unwrap();
    let options = ProducerOptions::new().namespace(namespace);
    let mut bytes = options.open("bytes").unwrap();
    let refused = place
        .command(&["recv", "bytes", "--fields"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let receiver = place
        .command(&["recv", "bytes", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    bytes.wait_for_consumer(None).unwrap();
    bytes.send(b"\xff").unwrap();
    bytes.close().unwrap();
    let output = receiver.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{\"position\":0,\"kind\":0,\"len\":1,\"hex\":\"ff\"}\n"
    );

    let mut producer = channel(&place).into_inner();
    let mut receiver = place.command(&["recv", "books", "--fields"]);
    let receiver = receiver
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    producer.wait_for_consumer(None).unwrap();
    producer.send(b"short").unwrap();
    let output = receiver.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("5 bytes, and the record has 144"), "{told}");
}
