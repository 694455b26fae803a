"""Schemas of Partywall channels in pure Python: section 22 of PROTOCOL.md, and nothing else.

    schema = parse(text)              what records are made of; raises SchemaError
    schema.decode(payload)            a record as a dict: numbers, lists, dicts
    fnv_1a(text)                      the hash that a segment's header has

Python 3.9 or later, standard library only.
"""

import re
import struct
import unicodedata

LONGEST = 65536
LARGEST = 1 << 30
DEEPEST = 16
MOST_DIMENSIONS = 8

# What each number is for the module struct; its width is what it is aligned to.
NUMBERS = {
    "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "f32": "f", "f64": "d",
}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,9})\Z")
_TYPE = re.compile(r"([A-Za-z0-9_]+)((?:\[[0-9]+\])*)\Z")


class SchemaError(ValueError):
    """The text is no schema, or the bytes no record."""


def fnv_1a(text):
    """Section 22.1."""
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return value or 1


class Record:
    """A record: the channel's, or one nested in it."""

    def __init__(self, name, size):
        self.name, self.size = name, size
        self.fields = []
        self.align = self.depth = 1
        self.end = 0
        self.used = False

    def decode(self, payload):
        if len(payload) != self.size:
            raise SchemaError(f"{len(payload)} bytes, and {self.name} has {self.size}")
        return {field.name: field.decode(payload) for field in self.fields if not field.padding}


class Field:
    """A field of a record. `element` is a letter of struct, or a Record."""

    def __init__(self, name, offset, element, dimensions, unit):
        self.name, self.offset, self.element, self.dimensions, self.unit = name, offset, element, dimensions, unit
        self.padding = name.startswith("_")
        if isinstance(element, Record):
            self.width, self.align = element.size, element.align
        else:
            self.width = self.align = struct.calcsize("<" + element)
        self.size = self.width
        for count in dimensions:
            self.size *= count

    def decode(self, payload):
        return self._elements(payload[self.offset : self.offset + self.size], self.dimensions)

    def _elements(self, payload, dimensions):
        if dimensions:
            each = len(payload) // dimensions[0]
            parts = range(0, len(payload), each)
            return [self._elements(payload[at : at + each], dimensions[1:]) for at in parts]
        if isinstance(self.element, Record):
            return self.element.decode(payload)
        return struct.unpack("<" + self.element, payload)[0]


def parse(text):
    """The channel's Record, of a schema's bytes."""
    if len(text) > LONGEST:
        raise SchemaError("longer than 64 KiB")
    try:
        text = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SchemaError("not UTF-8") from error
    if not text.endswith("\n"):
        raise SchemaError("its last line does not end")
    records, current = {}, None
    for number, line in enumerate(text[:-1].split("\n"), 1):
        try:
            if number == 1:
                _check(line == "partywall schema 1", "another version")
            elif line.startswith("record "):
                _close(current)
                current = _record(line.split(" ")[1:], records)
            elif line.startswith("field "):
                _check(current is not None, "a field without a record")
                _field(line.split(" ", 4)[1:], current, records)
            else:
                raise SchemaError("neither a record nor a field")
        except SchemaError as error:
            raise SchemaError(f"line {number}: {error}") from error
    _check(current is not None, "no record")
    _close(current)
    for record in records.values():
        _check(record.used or record is current, f"{record.name} is in no other")
    return current


def _check(condition, problem):
    if not condition:
        raise SchemaError(problem)


def _number(text):
    _check(_NUMBER.match(text) and int(text) <= LARGEST, f"{text!r} is no number")
    return int(text)


def _record(parts, records):
    _check(len(parts) == 2, "a record has a name and a size")
    name, size = parts
    _check(_NAME.match(name), f"{name!r} is no name")
    _check(name not in records and name not in NUMBERS, f"{name} is another type")
    records[name] = Record(name, _number(size))
    return records[name]


def _field(parts, record, records):
    _check(len(parts) in (3, 4), "a field has a name, an offset, a type, and perhaps a unit")
    name, offset, kind = parts[:3]
    unit = parts[3] if len(parts) == 4 else None
    _check(_NAME.match(name), f"{name!r} is no name")
    _check(all(field.name != name for field in record.fields), f"{name} is there already")
    if unit is not None:
        plain = all(unicodedata.category(letter) != "Cc" for letter in unit)
        _check(1 <= len(unit.encode()) <= 64 and plain and unit.strip() == unit, f"{unit!r} is no unit")
    match = _TYPE.match(kind)
    _check(match, f"{kind!r} is no type")
    dimensions = [_number(count) for count in re.findall(r"\d+", match[2])]
    _check(len(dimensions) <= MOST_DIMENSIONS and 0 not in dimensions, f"{kind} has impossible dimensions")
    element = NUMBERS.get(match[1]) or records.get(match[1])
    _check(element is not None and element is not record, f"{match[1]} is an unknown type")
    if isinstance(element, Record):
        element.used = True
        record.depth = max(record.depth, element.depth + 1)
    field = Field(name, _number(offset), element, dimensions, unit)
    _check(record.depth <= DEEPEST, "records nested too deep")
    _check(field.offset == record.end, f"{name} is not where the field before ends")
    _check(field.offset % field.align == 0, f"the offset of {name} is no multiple of its width")
    record.end += field.size
    _check(record.end <= record.size, f"{name} leaves its record")
    record.align = max(record.align, field.align)
    record.fields.append(field)


def _close(record):
    if record is not None:
        _check(record.fields, f"{record.name} has no fields")
        _check(record.end == record.size, f"the fields of {record.name} do not end where it does")
        _check(record.size % record.align == 0, f"the size of {record.name} is no multiple of its widest number")
