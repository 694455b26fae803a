//! Records whose bytes say what they are: typed handles, and schemas that every program can read.
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::record::Record;
//! use partywall::ring::{ConsumerOptions, ProducerOptions};
//!
//! #[derive(Record, Clone, Copy, Debug, PartialEq)]
//! #[repr(C)]
//! struct Quote {
//!     #[record(unit = "EUR")]
//!     price: f64,
//!     size: u32,
//!     _padding: [u8; 4],
//! }
//!
//! let mut producer = ProducerOptions::new().namespace(namespace.clone()).open_typed::<Quote>("quotes")?;
//! let mut consumer = ConsumerOptions::new().namespace(namespace).attach_typed::<Quote>("quotes")?;
//!
//! let quote = Quote { price: 1.25, size: 3, _padding: [0; 4] };
//! producer.send(&quote)?;
//! assert_eq!(consumer.recv()?, quote);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What can be in a record
//! `u8` to `u64`, `i8` to `i64`, `f32`, `f64`, arrays of these, and other records. Each lies at a multiple of its own
//! width (of its widest number), and every byte belongs to a field: padding is written out, in fields whose name begins
//! with `_`, which schemas compare and printers show no more than others' padding. Whatever else is in a struct is
//! refused at compile time, with the reason and what to use instead. So a record has the same bytes in every program, on
//! every machine that has this memory, and any bytes of its length are a record.
//!
//! # The schema
//! Names, types, offsets and units are written into the channel as a text (`PROTOCOL.md`, section 22). Whoever opens the
//! channel typed compares it with its own, and is told [which field differs](Difference). Whoever does not can read it:
//! `partywall schema NAME` writes it as a declaration in Rust, C, C#, Python or JSON.

mod difference;
mod schema;
mod text;
mod typed;
mod view;

pub use difference::{Change, Difference};
pub use partywall_derive::Record;
pub use schema::{Element, FieldSchema, RecordSchema, Schema};
pub use text::SchemaError;
pub(crate) use text::hash;
pub(crate) use typed::sealed;
pub use typed::{
    ReceiveBytes, SendBytes, Typed, WrongLength, bytes_of, from_bytes, mut_from_bytes,
    ref_from_bytes, zeroed,
};
pub use view::{ArrayView, FieldView, Number, RecordView, ValueView};

pub use crate::layout::typed::Scalar;
pub use crate::memory::plain::Record;

/// What the derive's code refers to.
#[doc(hidden)]
pub mod derive {
    pub use crate::layout::typed::{FieldLayout, RecordLayout, TypeLayout, check, check_field};
    pub use crate::memory::plain::{Field, Record};
}
