//! One owner of a channel at any time, proven by what `/proc` says; and a remover that is stopped in the middle.

use std::fs::{File, OpenOptions, read_to_string};
use std::io::{Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use partywall::ring::Alone;
use partywall::{ManageError, OpenError, SendError, manage};
use rustix::fs::{FlockOperation, flock};

use crate::common::{Place, Random, system};
use crate::{Actor, FAULT, HANG, ROLE};

pub(crate) struct Witness(File);

impl Witness {
    /// The proof that nobody else owns what this process owns: a lock on a file of that very channel, which is told
    /// from its successors of the same name by its root, as this process has it mapped.
    pub(crate) fn of(actor: &Actor) -> Self {
        let maps = read_to_string("/proc/self/maps").unwrap();
        let root = format!("{}/root", actor.channel);
        let line = maps.lines().find(|line| {
            let line = line.trim_end_matches(" (deleted)");
            line.ends_with(&root) && line.contains(actor.namespace.path().to_str().unwrap())
        });
        let inode = line
            .and_then(|line| line.split_whitespace().nth(4))
            .expect("it is mapped");
        Witness::take(&actor.witnesses.join(inode))
    }

    fn take(path: &Path) -> Self {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .unwrap();
        let begun = Instant::now();
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            // A process that is killed lets go of its files one after the other, and of the channel first perhaps.
            let mut text = [0; 20];
            let len = file.read_at(&mut text, 0).unwrap();
            let other = String::from_utf8_lossy(&text[..len]).trim().to_owned();
            assert!(
                is_ending(&other),
                "two owners at once: {other}, {}",
                std::process::id()
            );
            assert!(begun.elapsed() < HANG);
        }
        file.rewind().unwrap();
        // Of one length, so that it is read whole.
        write!(file, "{:20}", std::process::id()).unwrap();
        Witness(file)
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.write_at(&[b' '; 20], 0).unwrap();
    }
}

/// Whether there is no such process any more, or the kernel is just taking it down.
fn is_ending(process: &str) -> bool {
    const PF_EXITING: u64 = 4;
    let Ok(stat) = read_to_string(format!("/proc/{process}/stat")) else {
        return true;
    };
    // Behind the name, which may hold anything: state, five numbers, flags.
    let flags = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(6));
    flags.is_none_or(|flags| flags.parse::<u64>().unwrap() & PF_EXITING != 0)
}

/// It found a channel with a live owner, and stops. Meanwhile the owner leaves, and another makes the channel anew: when the
/// remover goes on, that one stays whole, or goes whole and its owner is told.
pub(crate) fn a_forced_remover_that_was_stopped_anywhere_takes_no_other_channel_apart() {
    let mut met = [0; 3];
    for point in 1.. {
        let place = Place::new();
        let open = || {
            place
                .producer()
                .heartbeat(false)
                .alone(Alone::Discard)
                .open("c")
        };
        let first = open().unwrap();
        let role = format!("{} - ring c rm 1", place.path().display());
        let mut remover = system::this_program();
        remover.env(ROLE, role).env(FAULT, format!("stop:{point}"));
        let mut remover = remover.stdin(Stdio::null()).spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&remover);
        if !stopped(pid) {
            break;
        }
        drop(first);
        let second = open();
        system::go_on(&remover);
        assert!(remover.wait().unwrap().success(), "point {point}");
        let third = match second {
            Err(OpenError::AlreadyOwned { .. }) => {
                met[0] += 1;
                open().unwrap()
            }
            Err(error) => panic!("point {point}: {error}"),
            Ok(mut second) => match open() {
                Err(OpenError::AlreadyOwned { .. }) => {
                    met[1] += 1;
                    second
                }
                Err(error) => panic!("point {point}: {error}"),
                Ok(third) => {
                    met[2] += 1;
                    // It looks for that once in a while.
                    let begun = Instant::now();
                    let told = std::iter::repeat_with(|| second.send(&[1; 100]).err())
                        .find(|told| told.is_some() || begun.elapsed() > Duration::from_secs(5))
                        .flatten();
                    let fine = matches!(told, Some(SendError::Deleted { .. }));
                    assert!(fine, "point {point}: {told:?}");
                    third
                }
            },
        };
        let mut third = third;
        let mut consumer = place.consumer().heartbeat(false).attach("c").unwrap();
        third.send(b"a record").unwrap();
        assert_eq!(&consumer.recv().unwrap()[..], b"a record");
        drop(consumer);
        third.close().unwrap();
        assert_eq!(place.files(), Vec::<String>::new(), "point {point}");
    }
    println!("waited for the remover, stayed, went: {met:?}");
    assert!(met[0] > 5 && met[2] > 0, "{met:?}");
}

/// Its maker stands still in the middle of it, the channel is removed by force, and another makes it anew: when the first one goes
/// on, it changes nothing there, and gets in afterwards, or is told whose the channel is.
/// Each stop takes a second, for which force waits: unless all are asked for, one in seven, others each time.
pub(crate) fn a_maker_that_was_stopped_anywhere_changes_nothing_of_what_another_made() {
    let full = std::env::var("PARTYWALL_SWEEP").is_ok_and(|sweep| sweep == "full");
    let step = if full { 1 } else { 7 };
    let first = 1 + Random::from_environment().below(step);
    let mut waited = 0;
    for point in (first..).step_by(step as usize) {
        let place = Place::new();
        let role = format!("{} - ring c make 1", place.path().display());
        let mut maker = system::this_program();
        maker.env(ROLE, role).env(FAULT, format!("stop:{point}"));
        let mut maker = maker.stdin(Stdio::null()).spawn().unwrap();
        if !stopped(rustix::process::Pid::from_child(&maker)) {
            assert!(maker.wait().unwrap().success());
            break;
        }
        let begun = Instant::now();
        match manage::remove(&place.namespace, "c", true) {
            Ok(_) | Err(ManageError::Open(OpenError::Missing { .. })) => {}
            Err(error) => panic!("point {point}: {error}"),
        }
        // It had the lock on the files, so it was waited for.
        waited += u32::from(begun.elapsed() > Duration::from_millis(900));
        let options = place.producer().heartbeat(false).alone(Alone::Discard);
        let mut producer = options.open("c").unwrap();
        system::go_on(&maker);
        assert!(maker.wait().unwrap().success(), "point {point}");
        let mut consumer = place.consumer().heartbeat(false).attach("c").unwrap();
        producer.send(b"a record").unwrap();
        assert_eq!(&consumer.recv().unwrap()[..], b"a record", "point {point}");
        drop(consumer);
        producer.close().unwrap();
        assert_eq!(place.files(), Vec::<String>::new(), "point {point}");
    }
    println!("waited for the maker {waited} times");
    assert!(waited > 5, "{waited}");
}

/// Whether a child of ours has stopped; if not it has ended.
fn stopped(pid: rustix::process::Pid) -> bool {
    let options = rustix::process::WaitIdOptions::STOPPED
        | rustix::process::WaitIdOptions::EXITED
        | rustix::process::WaitIdOptions::NOWAIT;
    let what = rustix::process::waitid(rustix::process::WaitId::Pid(pid), options);
    what.unwrap().unwrap().stopped()
}
