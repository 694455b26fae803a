//! File systems that are full: of bytes, or of files. Each is a small one of a container's own.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use partywall::{
    GrowError, Namespace, OpenError, SendError, broadcast, frames, guarded, inspect, manage, mpsc,
    ring, snapshot,
};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::acts::say;
use crate::common::system;
use crate::stage::{Actor, Test, act, is_root, skip_unless};

pub(crate) const TESTS: &[Test] = &[
    (
        "a_full_file_system_is_an_error_with_numbers_and_leaves_nothing_half_made",
        a_full_file_system_is_an_error_with_numbers_and_leaves_nothing_half_made,
    ),
    (
        "a_sender_without_room_for_its_next_lane_stays_where_it_is_and_loses_nothing",
        a_sender_without_room_for_its_next_lane_stays_where_it_is_and_loses_nothing,
    ),
    (
        "a_file_system_without_room_for_files_says_so_and_nothing_is_left",
        a_file_system_without_room_for_files_says_so_and_nothing_is_left,
    ),
];

const POINT: &str = "/mnt";
const PAGE: u64 = 4096;

fn a_full_file_system_is_an_error_with_numbers_and_leaves_nothing_half_made() {
    alone_with("size=1m,mode=700", "run_out_of_bytes");
}

fn a_sender_without_room_for_its_next_lane_stays_where_it_is_and_loses_nothing() {
    alone_with("size=1m,mode=700", "grow_without_room_for_lanes");
}

fn a_file_system_without_room_for_files_says_so_and_nothing_is_left() {
    alone_with("size=4m,nr_inodes=40,mode=700", "run_out_of_files");
}

/// Does something where a file system like that is mounted, and nobody else sees it.
fn alone_with(options: &str, name: &str) {
    let tried = system::process("unshare")
        .args(["--mount", "true"])
        .status();
    let possible = tried.is_ok_and(|status| status.success());
    if !is_root() || !skip_unless(possible, "`unshare` cannot make mount namespaces here") {
        return;
    }
    let mut command = system::process("unshare");
    let script = "mount -t tmpfs -o \"$0\" tmpfs \"$1\" && exec \"$2\"";
    command.args(["--mount", "sh", "-c", script, options, POINT]);
    let program = act(name, &[]);
    command.arg(std::env::current_exe().unwrap());
    command.envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let said = Actor::start(command).finish();
    assert!(said.ends_with("lived with it\n"), "{said}");
}

/// Both ends of a channel.
trait Ends {
    /// Something goes from one end to the other.
    fn work(&mut self);
    /// To about four times its memory, live.
    fn grow(&mut self) -> Result<(), GrowError>;
}

type Open = fn(&Namespace) -> Result<Box<dyn Ends>, OpenError>;

const SOON: Option<Duration> = Some(Duration::from_secs(20));

macro_rules! ends {
    ($owner:ty, $peer:ty, |$o:ident, $p:ident| $work:expr, |$g:ident| $grow:expr) => {
        impl Ends for ($owner, $peer) {
            fn work(&mut self) {
                let ($o, $p) = (&mut self.0, &mut self.1);
                $work
            }
            fn grow(&mut self) -> Result<(), GrowError> {
                let $g = &mut self.0;
                $grow
            }
        }
    };
}

ends!(
    ring::Producer,
    ring::Consumer,
    |owner, peer| {
        owner.send(b"a record").unwrap();
        assert_eq!(&peer.recv().unwrap()[..], b"a record");
    },
    |owner| owner.grow(1 << 16)
);
ends!(
    snapshot::Writer,
    snapshot::Reader,
    |owner, peer| {
        owner.put(b"a record").unwrap();
        assert_eq!(&peer.get().unwrap().unwrap()[..], b"a record");
    },
    |owner| owner.grow(1 << 14, 0)
);
ends!(
    broadcast::Sender,
    broadcast::Receiver,
    |owner, peer| {
        owner.send(b"a record").unwrap();
        assert_eq!(&peer.recv().unwrap()[..], b"a record");
    },
    |owner| owner.grow(1 << 12, 0)
);
ends!(
    frames::Publisher,
    frames::Subscriber,
    |owner, peer| {
        owner.publish_copy(b"a record").unwrap();
        assert_eq!(peer.recv().unwrap().to_vec(), b"a record");
    },
    |owner| owner.grow(0, 1 << 13)
);
ends!(
    mpsc::Receiver,
    mpsc::Sender,
    |owner, peer| {
        peer.send(b"a record").unwrap();
        loop {
            if let Some(record) = owner.recv().unwrap().record() {
                return assert_eq!(&record[..], b"a record");
            }
        }
    },
    |owner| owner.grow(1 << 16)
);

/// A record is opened with larger values, and nobody there: it does not grow live.
impl Ends for guarded::Record {
    fn work(&mut self) {
        let mut guard = self.lock().unwrap().consistent();
        *guard.value_mut() = b"a record".to_vec();
        guard.commit().unwrap();
        drop(guard);
        assert_eq!(&self.get().unwrap().unwrap()[..], b"a record");
    }
    fn grow(&mut self) -> Result<(), GrowError> {
        Ok(())
    }
}

fn patterns() -> [(&'static str, Open); 6] {
    macro_rules! open {
        ($owner:expr, $peer:expr) => {
            |namespace: &Namespace| {
                let (owner, peer) = ($owner, $peer);
                let owner = owner
                    .namespace(namespace.clone())
                    .heartbeat(false)
                    .open("c")?;
                let peer = peer.namespace(namespace.clone()).heartbeat(false);
                let peer = peer.attach_timeout(SOON).attach("c")?;
                Ok(Box::new((owner, peer)))
            }
        };
    }
    [
        (
            "ring",
            open!(
                ring::ProducerOptions::new().capacity(1 << 14),
                ring::ConsumerOptions::new()
            ),
        ),
        (
            "snapshot",
            open!(
                snapshot::WriterOptions::new().value_size(1 << 12),
                snapshot::ReaderOptions::new()
            ),
        ),
        (
            "broadcast",
            open!(
                broadcast::SenderOptions::new()
                    .value_size(1 << 10)
                    .slots(16),
                broadcast::ReceiverOptions::new()
            ),
        ),
        (
            "frames",
            open!(
                frames::PublisherOptions::new().frame_size(1 << 11).seats(2),
                frames::SubscriberOptions::new()
            ),
        ),
        (
            "mpsc",
            open!(
                mpsc::ReceiverOptions::new().lane_capacity(1 << 14),
                mpsc::SenderOptions::new()
            ),
        ),
        ("guarded", |namespace| {
            let options = guarded::RecordOptions::new().value_size(1 << 13);
            let record = options
                .namespace(namespace.clone())
                .heartbeat(false)
                .open("c")?;
            Ok(Box::new(record))
        }),
    ]
}

/// Takes all memory of the file system but so many bytes.
fn leave_bytes(left: u64) {
    let ballast = File::create(ballast()).unwrap();
    let all = free_bytes();
    if all > left {
        fallocate(&ballast, FallocateFlags::empty(), 0, all - left).unwrap();
    }
}

fn ballast() -> std::path::PathBuf {
    Path::new(POINT).join("ballast")
}

fn free_bytes() -> u64 {
    let stat = statvfs(POINT).unwrap();
    stat.f_bavail * stat.f_frsize
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn run_out_of_bytes() {
    let place = Path::new(POINT).join("namespace");
    let namespace = Namespace::open(&place).unwrap();
    for (pattern, open) in patterns() {
        leave_bytes(u64::MAX);
        let ends = open(&namespace).unwrap();
        let needed = inspect::inspect(&namespace, "c").unwrap().bytes_reserved;
        drop(ends);
        let _ = manage::remove(&namespace, "c", true);
        let (mut refused, mut opened) = (0, 0);
        for left in (0..needed + 4 * PAGE).step_by(PAGE as usize) {
            leave_bytes(left);
            match open(&namespace) {
                Ok(mut ends) => {
                    // What was reserved is there for good: nothing more is needed.
                    leave_bytes(0);
                    ends.work();
                    opened += 1;
                    drop(ends);
                    let _ = manage::remove(&namespace, "c", true);
                }
                Err(OpenError::NoSpace { needed, free, .. }) => {
                    assert!(
                        needed > free && free <= left,
                        "{pattern} {left}: {needed} {free}"
                    );
                    refused += 1;
                }
                Err(error) => panic!("{pattern} {left}: {error}"),
            }
            assert_eq!(names(&place), Vec::<String>::new(), "{pattern} {left}");
        }
        assert!(refused > 2 && opened > 0, "{pattern} {refused} {opened}");
        leave_bytes(u64::MAX);
        let mut ends = open(&namespace).unwrap();
        let files = names(&place.join("c"));
        for left in (0..).step_by(PAGE as usize) {
            leave_bytes(left);
            match ends.grow() {
                Ok(()) => break,
                Err(GrowError::Open(OpenError::NoSpace { needed, free, .. })) => {
                    assert!(needed > free, "{pattern} {left}: {needed} {free}");
                }
                Err(error) => panic!("{pattern} {left}: {error}"),
            }
            assert_eq!(names(&place.join("c")), files, "{pattern} {left}");
            ends.work();
        }
        // A sender goes over when it has room for a lane there.
        leave_bytes(u64::MAX);
        ends.work();
        drop(ends);
        let _ = manage::remove(&namespace, "c", true);
    }
    say("lived with it");
}

/// The receiver's channel grows while there is room for its own side, and none for its senders' lanes.
pub(crate) fn grow_without_room_for_lanes() {
    let namespace = Namespace::open(Path::new(POINT).join("namespace")).unwrap();
    leave_bytes(u64::MAX);
    let receiver = mpsc::ReceiverOptions::new().lane_capacity(1 << 12);
    let mut receiver = receiver.namespace(namespace.clone()).open("c").unwrap();
    let options = mpsc::SenderOptions::new()
        .namespace(namespace)
        .attach_timeout(SOON);
    let mut sender = options.attach("c").unwrap();
    for number in 0..3_u8 {
        sender.send(&[number; 100]).unwrap();
    }
    receiver.grow(1 << 16).unwrap();
    for left in [0, 1 << 12, (1 << 16) - PAGE] {
        leave_bytes(left);
        let refused = sender.send(&[0xff; 100]).unwrap_err();
        let SendError::NotMoved { source, .. } = &refused else {
            panic!("{refused:?}")
        };
        assert!(
            matches!(**source, OpenError::NoSpace { needed, free, .. } if needed > free),
            "{refused}"
        );
        assert_eq!(sender.generation(), 1);
        // There is a seat for it, and no lane.
        let newcomer = options.attach("c");
        assert!(
            matches!(newcomer, Err(OpenError::NoSpace { .. })),
            "{newcomer:?}"
        );
    }
    let mut numbers = Vec::new();
    let receive = |receiver: &mut mpsc::Receiver, numbers: &mut Vec<u8>| {
        while let Ok(event) = receiver.recv_timeout(Duration::from_millis(1)) {
            match event {
                mpsc::Event::Record(record) => numbers.push(record[0]),
                mpsc::Event::Opened(_) => {}
                end => panic!("it is there: {end:?}"),
            }
        }
    };
    receive(&mut receiver, &mut numbers);
    assert_eq!(numbers, [0, 1, 2]);
    assert!(matches!(
        receiver.grow(1 << 17),
        Err(GrowError::Unfinished { .. })
    ));
    leave_bytes(u64::MAX);
    sender.send(&[3; 100]).unwrap();
    assert_eq!(sender.generation(), 2);
    receive(&mut receiver, &mut numbers);
    assert_eq!(numbers, [0, 1, 2, 3]);
    say("lived with it");
}

/// Takes all files of the file system but so many.
fn leave_files(left: u64) {
    let ballast = ballast();
    let _ = fs::remove_dir_all(&ballast);
    fs::create_dir(&ballast).unwrap();
    for number in 0.. {
        if statvfs(POINT).unwrap().f_favail <= left {
            return;
        }
        File::create(ballast.join(number.to_string())).unwrap();
    }
}

pub(crate) fn run_out_of_files() {
    let place = Path::new(POINT).join("namespace");
    let namespace = Namespace::open(&place).unwrap();
    for (pattern, open) in patterns() {
        let (mut refused, mut opened) = (0, 0);
        for left in 0..8 {
            leave_files(left);
            match open(&namespace) {
                Ok(mut ends) => {
                    ends.work();
                    opened += 1;
                    drop(ends);
                    let _ = manage::remove(&namespace, "c", true);
                }
                Err(OpenError::NoInodes { files, .. }) => {
                    assert_eq!(files, 40);
                    refused += 1;
                }
                Err(error) => panic!("{pattern} {left}: {error}"),
            }
            assert_eq!(names(&place), Vec::<String>::new(), "{pattern} {left}");
        }
        // A directory, a file of locks, a root, two sides.
        assert_eq!((refused, opened), (5, 3), "{pattern}");
    }
    say("lived with it");
}
