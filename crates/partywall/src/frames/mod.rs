//! Frames: large buffers in a pool, written and read where they lie, held and given back in any order.
//!
//! The [`Publisher`] borrows a slot of the pool ([`Publisher::loan`]), writes into it, and publishes it. A
//! [`Subscriber`] gets a [`Frame`], which holds that memory for as long as it lives: several at once, in any order, in
//! any thread. A *reliable* subscriber gets every frame, and the publisher waits for it as its [`Overflow`] says; a
//! *lossy* one gets what is still there, and is told exactly how many it missed
//! ([`RecvError::Overrun`](crate::RecvError::Overrun)).
//!
//! *A frame is safe to read from the moment that its descriptor's mark is twice its sequence and its slot is pinned and
//! still has that sequence.*
//!
//! The pool has room for whatever the subscribers may hold: `seats × held + history + loans` slots or more, or the
//! channel is not made. So a subscriber that holds frames, or is killed with frames in hand, never stops the publisher;
//! a reliable one that does not come for its frames does, until it is found dead.
//!
//! ```
//! # let place = tempfile::tempdir_in("/dev/shm").unwrap();
//! # let namespace = partywall::Namespace::open(place.path()).unwrap();
//! use partywall::frames::{PublisherOptions, SubscriberOptions, format};
//!
//! let options = PublisherOptions::new().namespace(namespace.clone()).frame_size(640 * 480 * 3);
//! let publisher = options.open("cam0")?;
//! let mut subscriber = SubscriberOptions::new().namespace(namespace).attach("cam0")?; // another process
//!
//! let mut loan = publisher.loan(640 * 480 * 3)?;
//! loan.write_at(0, &[200; 640 * 3]); // the first row
//! loan.set_image(640, 480, 640 * 3, format::RGB);
//! loan.publish()?;
//!
//! let frame = subscriber.recv()?;
//! assert_eq!((frame.sequence(), frame.about().width), (1, 640));
//! let mut row = [0; 640 * 3];
//! frame.read_at(0, &mut row);
//! assert_eq!(row, [200; 640 * 3]);
//! drop(frame); // the publisher may have its memory again
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod frame;
mod in_place;
mod loan;
mod options;
mod publisher;
mod role;
mod subscriber;
mod typed;

pub use crate::layout::frames::{About, content, format};
pub use crate::ring::Overflow;
pub use frame::Frame;
pub use in_place::{InPlaceFrame, InPlaceLoan, InPlacePublisher, InPlaceSubscriber};
pub use loan::Loan;
pub use options::{PublisherOptions, SubscriberOptions};
pub use publisher::Publisher;
pub use subscriber::Subscriber;
pub use typed::{TypedPublisher, TypedSubscriber};
