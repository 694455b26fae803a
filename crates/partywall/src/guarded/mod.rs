//! The guarded record: one record that several processes write in turn, and anybody reads.
//!
//! A [`Record`] is locked, read, edited aside and committed by one store: it is old or new, and never torn,
//! wherever its holder dies. The lock is the kernel's, which gives it back when the holder dies; who locks next is
//! told so ([`Lock::OwnerDied`]) and has the last good value before it. Readers ([`Record::get`], or a
//! [`Reader`]) lock nothing.
//!
//! *The record is safe to read from the moment that it was copied, if the mark of its slot was twice its sequence
//! before and after.*
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::guarded::{Lock, RecordOptions};
//!
//! let mut record = RecordOptions::new().namespace(namespace).open("config")?;
//! let mut guard = match record.lock()? {
//!     Lock::Clean(guard) => guard,
//!     // Somebody was killed while it had the lock. What stands here was committed before: look whether it will do.
//!     Lock::OwnerDied(mut guard) => {
//!         guard.mark_consistent();
//!         guard
//!     }
//! };
//! guard.value_mut().extend_from_slice(b"exposure = 12");
//! guard.commit()?;
//! drop(guard); // unlocks
//!
//! assert_eq!(&record.get()?.expect("one was committed")[..], b"exposure = 12");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod guard;
mod options;
mod record;
mod typed;

pub use crate::handle::slots::{Meta, Value};
pub use crate::snapshot::{Reader, ReaderOptions};
pub use guard::{Consistent, Guard, Lock};
pub use options::RecordOptions;
pub use record::Record;
pub use typed::{TypedGuard, TypedRecord};
