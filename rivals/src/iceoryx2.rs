//! iceoryx2: publish-subscribe without overwriting, buffers of 4096 and retry until delivered (frames: four); its
//! blackboard; for waking, its event beside the data.

use crate::words::{Words, bytes, unique, until, words};
use ::iceoryx2::port::listener::Listener;
use ::iceoryx2::port::notifier::Notifier;
use ::iceoryx2::port::publisher::Publisher;
use ::iceoryx2::port::reader::EntryHandle;
use ::iceoryx2::port::subscriber::Subscriber;
use ::iceoryx2::port::update_connections::UpdateConnections;
use ::iceoryx2::port::writer::EntryHandleMut;
use ::iceoryx2::prelude::*;
use ::iceoryx2::service::port_factory::{blackboard, event, publish_subscribe};
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::latest::{self, Getting, Latest, Putting};
use partywall_bench::transport::{self, How, Receiving, Sending, Transport};

pub const LISTED: &str = r#"{"name": "iceoryx2", "does": ["latency", "stream", "wake", "read idle", "read busy", "write busy"], "at_least": 64, "at_most": 64}
{"name": "iceoryx2 slices", "does": ["frames", "many frames"]}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    match seat.who.as_str() {
        "iceoryx2" => transport::party::<Values>(seat).or_else(|| latest::party::<Board>(seat)),
        "iceoryx2 slices" => transport::party::<Slices>(seat),
        _ => None,
    }
}

fn node() -> Outcome<Node<ipc::Service>> {
    set_log_level(LogLevel::Fatal);
    Ok(NodeBuilder::new().create::<ipc::Service>()?)
}

struct Values;

struct ValueOut {
    publisher: Publisher<ipc::Service, Words, ()>,
    notifier: Option<Notifier<ipc::Service>>,
    subscribers: usize,
    service: publish_subscribe::PortFactory<ipc::Service, Words, ()>,
    _node: Node<ipc::Service>,
}

struct ValueIn {
    subscriber: Subscriber<ipc::Service, Words, ()>,
    listener: Option<Listener<ipc::Service>>,
    _node: Node<ipc::Service>,
}

fn values(
    node: &Node<ipc::Service>,
    seat: &Seat,
    name: &str,
) -> Outcome<publish_subscribe::PortFactory<ipc::Service, Words, ()>> {
    Ok(node
        .service_builder(&unique(seat, name).as_str().try_into()?)
        .publish_subscribe::<Words>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(4096)
        .max_publishers(1)
        .max_subscribers(1)
        .open_or_create()?)
}

fn events(
    node: &Node<ipc::Service>,
    seat: &Seat,
    name: &str,
) -> Outcome<event::PortFactory<ipc::Service>> {
    let name = unique(seat, &format!("{name}-event"));
    Ok(node
        .service_builder(&name.as_str().try_into()?)
        .event()
        .open_or_create()?)
}

impl Sending for ValueOut {
    fn meet(&mut self) -> Outcome<()> {
        while self.service.dynamic_config().number_of_subscribers() < self.subscribers {
            std::thread::yield_now();
        }
        self.publisher.update_connections()?;
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let value = words(payload)?;
        let sample = self.publisher.loan_uninit()?;
        sample.write_payload(value).send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

impl Receiving for ValueIn {
    #[inline(always)]
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let sample = loop {
            match self.subscriber.receive()? {
                Some(sample) => break sample,
                None => match &self.listener {
                    Some(listener) => drop(listener.blocking_wait(|_| {})?),
                    None => std::hint::spin_loop(),
                },
            }
        };
        look(bytes(&sample))
    }
}

impl Transport for Values {
    type Sender = ValueOut;
    type Receiver = ValueIn;

    fn sender(seat: &Seat, name: &str, how: How) -> Outcome<ValueOut> {
        let node = node()?;
        let service = values(&node, seat, name)?;
        let publisher = service
            .publisher_builder()
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        let notifier = match how {
            How::Awake => None,
            How::Asleep => Some(events(&node, seat, name)?.notifier_builder().create()?),
        };
        Ok(ValueOut {
            publisher,
            notifier,
            subscribers: 1,
            service,
            _node: node,
        })
    }

    fn receiver(seat: &Seat, name: &str, how: How) -> Outcome<ValueIn> {
        let node = node()?;
        let subscriber = values(&node, seat, name)?.subscriber_builder().create()?;
        let listener = match how {
            How::Awake => None,
            How::Asleep => Some(events(&node, seat, name)?.listener_builder().create()?),
        };
        Ok(ValueIn {
            subscriber,
            listener,
            _node: node,
        })
    }
}

struct Slices;

struct SliceOut {
    publisher: Publisher<ipc::Service, [u8], ()>,
    subscribers: usize,
    service: publish_subscribe::PortFactory<ipc::Service, [u8], ()>,
    _node: Node<ipc::Service>,
}

struct SliceIn {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    _node: Node<ipc::Service>,
}

fn slices(
    node: &Node<ipc::Service>,
    seat: &Seat,
    name: &str,
) -> Outcome<publish_subscribe::PortFactory<ipc::Service, [u8], ()>> {
    Ok(node
        .service_builder(&unique(seat, name).as_str().try_into()?)
        .publish_subscribe::<[u8]>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(2)
        .subscriber_max_borrowed_samples(1)
        .max_publishers(1)
        .max_subscribers(seat.followers.max(1))
        .open_or_create()?)
}

impl Sending for SliceOut {
    fn meet(&mut self) -> Outcome<()> {
        while self.service.dynamic_config().number_of_subscribers() < self.subscribers {
            std::thread::yield_now();
        }
        self.publisher.update_connections()?;
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.send_filled(payload.len(), &mut Vec::new(), |frame| {
            frame.copy_from_slice(payload)
        })
    }

    fn send_filled(
        &mut self,
        len: usize,
        _: &mut Vec<u8>,
        fill: impl FnOnce(&mut [u8]),
    ) -> Outcome<()> {
        let mut sample = self.publisher.loan_slice_uninit(len)?;
        let room = sample.payload_mut();
        // SAFETY: every byte of shared memory has a value, and `fill` only writes.
        fill(unsafe { std::slice::from_raw_parts_mut(room.as_mut_ptr().cast(), room.len()) });
        // SAFETY: all of it was filled.
        unsafe { sample.assume_init() }.send()?;
        Ok(())
    }
}

impl Receiving for SliceIn {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let sample = until(|| self.subscriber.receive().transpose())?;
        look(&sample)
    }
}

impl Transport for Slices {
    type Sender = SliceOut;
    type Receiver = SliceIn;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<SliceOut> {
        let node = node()?;
        let service = slices(&node, seat, name)?;
        let publisher = service
            .publisher_builder()
            .initial_max_slice_len(seat.size)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        Ok(SliceOut {
            publisher,
            subscribers: seat.followers.max(1),
            service,
            _node: node,
        })
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<SliceIn> {
        let node = node()?;
        let subscriber = slices(&node, seat, name)?.subscriber_builder().create()?;
        Ok(SliceIn {
            subscriber,
            _node: node,
        })
    }
}

struct Board;

struct BoardOut {
    entry: EntryHandleMut<ipc::Service, u64, Words>,
    _service: blackboard::PortFactory<ipc::Service, u64>,
    _node: Node<ipc::Service>,
}

struct BoardIn {
    entry: EntryHandle<ipc::Service, u64, Words>,
    _service: blackboard::PortFactory<ipc::Service, u64>,
    _node: Node<ipc::Service>,
}

impl Putting for BoardOut {
    #[inline(always)]
    fn put(&mut self, value: &[u8]) -> Outcome<()> {
        self.entry.update_with_copy(words(value)?);
        Ok(())
    }
}

impl Getting for BoardIn {
    #[inline(always)]
    fn get(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        look(bytes(&self.entry.get()))
    }
}

const BOARD: &str = "board";

impl Latest for Board {
    type Writer = BoardOut;
    type Reader = BoardIn;

    fn writer(seat: &Seat) -> Outcome<BoardOut> {
        let node = node()?;
        let service = node
            .service_builder(&unique(seat, BOARD).as_str().try_into()?)
            .blackboard_creator::<u64>()
            .max_readers(seat.followers.max(1))
            .add::<Words>(0, Words::default())
            .create()?;
        let entry = service.writer_builder().create()?.entry::<Words>(&0)?;
        Ok(BoardOut {
            entry,
            _service: service,
            _node: node,
        })
    }

    fn reader(seat: &Seat) -> Outcome<BoardIn> {
        let node = node()?;
        let service = node
            .service_builder(&unique(seat, BOARD).as_str().try_into()?)
            .blackboard_opener::<u64>()
            .open()?;
        let entry = service.reader_builder().create()?.entry::<Words>(&0)?;
        Ok(BoardIn {
            entry,
            _service: service,
            _node: node,
        })
    }
}
