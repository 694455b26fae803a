//! The snapshot: the latest value of something, for any number of readers.
//!
//! One [`Writer`] puts values and never waits. A [`Reader`] gets the latest one, whole, whenever it likes, and
//! may miss any that came in between; it needs no seat, stores nothing in shared memory, and can wait for the next
//! ([`Reader::changed`]). When the writer dies its last value stays, and a successor goes on.
//!
//! *A value is safe to use once it was copied, if the mark of its slot was twice its sequence before and after.*
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::snapshot::{ReaderOptions, WriterOptions};
//!
//! let mut writer = WriterOptions::new().namespace(namespace.clone()).value_size(64).open("depth")?;
//! let mut reader = ReaderOptions::new().namespace(namespace).attach("depth")?; // another process
//!
//! assert!(reader.get()?.is_none());
//! writer.put(b"bid 99 ask 101")?;
//! let value = reader.get()?.expect("one was put");
//! assert_eq!(&value[..], b"bid 99 ask 101");
//! assert_eq!(value.sequence, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod options;
mod reader;
mod typed;
mod writer;

pub use crate::handle::slots::{Meta, Value};
pub use options::{ReaderOptions, WriterOptions};
pub use reader::Reader;
pub use typed::{TypedReader, TypedWriter};
pub use writer::Writer;
