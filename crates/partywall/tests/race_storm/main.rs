//! Hundreds of processes create, adopt, join, close, remove and are killed, at once and on few names, with every pattern:
//! one owner of a channel at any time, everybody ends with success or with an error that says why, nothing is left.
//!
//! The program starts itself again, once for each thing that a process does. `PARTYWALL_SEED` repeats the choices that a
//! run made (not the schedule of the kernel); `PARTYWALL_SWEEP=full` runs thousands, `PARTYWALL_SWEEP=5` two hundred and fifty.
//!
//! Only Linux tells a process by `/proc` which file it has mapped, and its parent that it has stopped: elsewhere owners prove to
//! be the only ones by what the channel says, and no remover is stopped in the middle.

#[cfg(target_os = "linux")]
mod alone;
#[path = "../common/mod.rs"]
mod common;
#[cfg(not(target_os = "linux"))]
mod told;

use std::env;
use std::path::PathBuf;
use std::process::{Child, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use alone::Witness;
use common::{Place, Random, system};
use partywall::ring::Alone;
use partywall::{
    LockError, ManageError, Namespace, OpenError, RecvError, SendError, broadcast, fault, frames,
    guarded, inspect, manage, mpsc, ring, snapshot,
};
#[cfg(not(target_os = "linux"))]
use told::Witness;

const ROLE: &str = "PARTYWALL_STORM_ROLE";
const FAULT: &str = "PARTYWALL_FAULT";
const PATTERNS: [&str; 6] = ["ring", "snapshot", "broadcast", "frames", "mpsc", "guarded"];

/// So many live at a time; fewer where each takes Wine's server for all it does, and many at once cannot even be started.
const AT_ONCE: usize = if cfg!(windows) { 12 } else { 40 };
/// Nothing that is asked for here waits longer than milliseconds: on the slowest machine, this is a hang.
const HANG: Duration = Duration::from_secs(100);

fn main() -> ExitCode {
    if let Ok(role) = env::var(ROLE) {
        Actor::of(&role).act();
        return ExitCode::SUCCESS;
    }
    storm();
    #[cfg(target_os = "linux")]
    alone::a_forced_remover_that_was_stopped_anywhere_takes_no_other_channel_apart();
    #[cfg(target_os = "linux")]
    alone::a_maker_that_was_stopped_anywhere_changes_nothing_of_what_another_made();
    let passed = if cfg!(target_os = "linux") { 3 } else { 1 };
    println!("{passed} passed, 0 failed");
    ExitCode::SUCCESS
}

/// What became of them.
#[derive(Debug, Default)]
struct Tally {
    ended: u32,
    killed: u32,
}

fn storm() {
    let processes = match env::var("PARTYWALL_SWEEP") {
        Ok(sweep) if sweep == "full" => 12_000,
        Ok(sweep) => 50 * sweep.parse::<u32>().expect("`full` or a number"),
        Err(_) => 2000,
    };
    let place = Place::new();
    let witnesses = system::directory();
    let mut random = Random::from_environment();
    let mut alive: Vec<(Child, Instant, String)> = Vec::new();
    let mut tally = Tally::default();
    for number in 0..processes {
        let (pattern, channel) = match random.below(8) {
            // All patterns at one name.
            0..2 => (PATTERNS[random.below(6) as usize], "all"),
            // A pattern at a name of its own.
            _ => {
                let pattern = PATTERNS[random.below(6) as usize];
                (pattern, pattern)
            }
        };
        let act = ["own", "own", "own", "own", "join", "join", "join", "remove"]
            .get(random.below(9) as usize)
            .unwrap_or(&"clean");
        let role = format!(
            "{} {} {pattern} {channel} {act} {}",
            place.path().display(),
            witnesses.path().display(),
            random.below(u64::MAX),
        );
        let mut command = system::this_program();
        command.env(ROLE, &role).env_remove(FAULT);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if random.below(3) == 0 {
            // Before a store or a system call of its own.
            command.env(FAULT, format!("kill:{}", 1 + random.below(90)));
        }
        let child = loop {
            match command.spawn() {
                // Wine cannot start a process at times when it is busy.
                Err(_) if cfg!(windows) && !alive.is_empty() => reap(&mut alive, &mut tally),
                child => break child.unwrap(),
            }
        };
        alive.push((child, Instant::now(), role));
        if random.below(12) == 0 {
            // Anywhere else.
            let one = random.below(alive.len() as u64) as usize;
            system::kill(&alive[one].0);
        }
        while alive.len() >= AT_ONCE || (number + 1 == processes && !alive.is_empty()) {
            reap(&mut alive, &mut tally);
        }
    }
    let proven = witnesses.path().read_dir().unwrap();
    let channels = proven
        .filter(|file| file.as_ref().unwrap().path().extension().is_none())
        .count() as u32;
    println!("{processes} processes, {tally:?}, {channels} channels");
    assert!(tally.ended > processes / 3 && tally.killed > processes / 20);
    assert!(channels > processes / 20, "nothing was owned");
    sweep_up(&place);
}

/// Takes out who has ended, and judges how.
fn reap(alive: &mut Vec<(Child, Instant, String)>, tally: &mut Tally) {
    alive.retain_mut(|(child, started, role)| {
        let Some(status) = child.try_wait().unwrap() else {
            assert!(started.elapsed() < HANG, "it hangs: {role}");
            return true;
        };
        match status {
            _ if status.success() => tally.ended += 1,
            _ if system::was_killed(status) => tally.killed += 1,
            _ => panic!("{status}: {role}"),
        }
        false
    });
    std::thread::yield_now();
}

/// What the dead have left goes, at the latest by force, and nothing of it is left.
fn sweep_up(place: &Place) {
    for name in place.files() {
        // Seats that durable consumers would come back to.
        let _ = manage::forget(&place.namespace, &name, "durable");
    }
    for row in manage::clean(&place.namespace).unwrap() {
        assert!(row.removed || row.reason.contains("stay"), "{row:?}");
    }
    for name in place.files() {
        manage::remove(&place.namespace, &name, true).unwrap();
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

/// One process of the storm.
struct Actor {
    namespace: Namespace,
    witnesses: PathBuf,
    pattern: String,
    channel: String,
    act: String,
    random: Random,
}

impl Actor {
    fn of(role: &str) -> Self {
        let words: Vec<&str> = role.split(' ').collect();
        Actor {
            namespace: Namespace::open(words[0]).unwrap(),
            witnesses: words[1].into(),
            pattern: words[2].to_owned(),
            channel: words[3].to_owned(),
            act: words[4].to_owned(),
            random: Random::from_seed(words[5].parse().unwrap()),
        }
    }

    fn act(&mut self) {
        fault::arm();
        match &self.act[..] {
            "own" => self.own(),
            "join" => self.join(),
            "make" => match ring::ProducerOptions::new()
                .namespace(self.namespace.clone())
                .heartbeat(false)
                .open(&self.channel)
            {
                Ok(producer) => producer.abandon(),
                Err(error) => opened(&error),
            },
            "rm" => drop(manage::remove(&self.namespace, &self.channel, true).unwrap()),
            "remove" => {
                let force = self.random.below(2) == 0;
                match manage::remove(&self.namespace, &self.channel, force) {
                    Ok(_)
                    | Err(
                        ManageError::InUse { .. } | ManageError::Open(OpenError::Missing { .. }),
                    ) => {}
                    Err(error) => panic!("remove: {error}"),
                }
            }
            _ => {
                for row in manage::clean(&self.namespace).unwrap() {
                    let known = row.removed
                        || row.reason.contains("stay")
                        || row.reason.contains("kept for");
                    assert!(known, "clean: {row:?}");
                }
                inspect::list(&self.namespace).unwrap();
            }
        }
    }

    /// Opens the channel as its owner, proves to be the only one, does something, and ends that in one of the ways.
    fn own(&mut self) {
        let (name, namespace) = (self.channel.clone(), self.namespace.clone());
        let keep = self.random.below(8) == 0;
        let end = self.random.below(3);
        // Opening, then what it does, then its ends.
        macro_rules! own {
            ($options:expr, |$owner:ident| $use:expr) => {
                match $options.namespace(namespace).heartbeat(false).open(&name) {
                    Err(error) => opened(&error),
                    Ok(mut $owner) => {
                        let witness = Witness::of(self);
                        for _ in 0..1 + self.random.below(20) {
                            $use;
                        }
                        drop(witness);
                        match end {
                            0 => $owner.abandon(),
                            1 => $owner.close().told(),
                            _ => drop($owner),
                        }
                    }
                }
            };
        }
        let moment = Duration::from_millis(1);
        match &self.pattern[..] {
            "ring" => own!(
                ring::ProducerOptions::new()
                    .capacity(4096)
                    .keep_when_closed(keep)
                    .alone(Alone::Discard),
                |owner| sent(owner.send_timeout(b"a record", moment).map(drop))
            ),
            "snapshot" => own!(
                snapshot::WriterOptions::new()
                    .value_size(64)
                    .keep_when_closed(keep),
                |owner| sent(owner.put(b"a record").map(drop))
            ),
            "broadcast" => own!(
                broadcast::SenderOptions::new().value_size(64),
                |owner| sent(owner.send(b"a record").map(drop))
            ),
            "frames" => own!(frames::PublisherOptions::new().frame_size(64), |owner| {
                // Not all of its handles are exclusive.
                let owner = &mut owner;
                sent(owner.publish_copy(b"a record").map(drop));
            }),
            "mpsc" => own!(mpsc::ReceiverOptions::new().lane_capacity(4096), |owner| {
                received(owner.recv_timeout(moment).map(|event| match event {
                    mpsc::Event::Record(record) => record.to_vec(),
                    mpsc::Event::Lied(_, lie) => panic!("receive: {lie}"),
                    _ => b"a record".to_vec(),
                }))
            }),
            // Nobody owns one for long: who holds its lock does.
            _ => self.lock(),
        }
    }

    /// Comes to a channel as a peer, and takes or gives one thing at least.
    fn join(&mut self) {
        let (name, namespace) = (self.channel.clone(), self.namespace.clone());
        let wait = Some(Duration::from_millis(self.random.below(30)));
        let moment = Duration::from_millis(3);
        macro_rules! join {
            ($options:expr, |$peer:ident| $use:expr) => {
                match $options
                    .namespace(namespace)
                    .heartbeat(false)
                    .attach_timeout(wait)
                    .attach(&name)
                {
                    Err(error) => opened(&error),
                    Ok(mut $peer) => {
                        for _ in 0..3 {
                            $use;
                        }
                    }
                }
            };
        }
        match &self.pattern[..] {
            "ring" => {
                let options = ring::ConsumerOptions::new();
                let options = match self.random.below(4) {
                    0 => options.durable("durable"),
                    _ => options,
                };
                join!(options, |peer| received(
                    peer.recv_timeout(moment).map(|record| record.to_vec())
                ));
            }
            "snapshot" => join!(snapshot::ReaderOptions::new(), |peer| received(
                peer.changed_timeout(moment).map(|value| value.to_vec())
            )),
            "broadcast" => join!(broadcast::ReceiverOptions::new(), |peer| received(
                peer.recv_timeout(moment).map(|value| value.to_vec())
            )),
            "frames" => join!(frames::SubscriberOptions::new(), |peer| received(
                peer.recv_timeout(moment).map(|frame| frame.to_vec())
            )),
            "mpsc" => join!(mpsc::SenderOptions::new(), |peer| sent(
                peer.send_timeout(b"a record", moment).map(drop)
            )),
            _ => self.lock(),
        }
    }

    fn lock(&mut self) {
        let options = guarded::RecordOptions::new()
            .namespace(self.namespace.clone())
            .heartbeat(false)
            .value_size(64);
        let mut record = match options.open(&self.channel) {
            Ok(record) => record,
            Err(error) => return opened(&error),
        };
        for _ in 0..3 {
            match record.lock_timeout(Duration::from_millis(3)) {
                Ok(lock) => {
                    let witness = Witness::of(self);
                    let mut guard = lock.consistent();
                    *guard.value_mut() = b"a record".to_vec();
                    sent(guard.commit().map(drop));
                    drop(witness);
                }
                Err(
                    LockError::Busy { .. }
                    | LockError::TimedOut { .. }
                    | LockError::Deleted { .. }
                    | LockError::NotRecoverable { .. },
                ) => {}
                Err(error) => panic!("lock: {error}"),
            }
            received(
                record
                    .get()
                    .map(|value| value.map_or(b"a record".to_vec(), |value| value.to_vec())),
            );
        }
    }
}

/// What may come of opening a channel that others make and remove at the same time.
fn opened(error: &OpenError) {
    let expected = matches!(
        error,
        OpenError::AlreadyOwned { .. }
            | OpenError::Missing { .. }
            | OpenError::TimedOut { .. }
            | OpenError::NoFreeSeat { .. }
            | OpenError::ConsumerInUse { .. }
            | OpenError::WrongPattern { .. }
    );
    assert!(expected, "open: {error}");
}

fn sent(told: Result<(), SendError>) {
    match told {
        Ok(())
        | Err(
            SendError::Full { .. }
            | SendError::TimedOut { .. }
            | SendError::NoConsumer { .. }
            | SendError::Closed { .. }
            | SendError::Evicted { .. }
            | SendError::Superseded { .. }
            | SendError::NotMoved { .. }
            | SendError::Deleted { .. },
        ) => {}
        Err(error) => panic!("send: {error}"),
    }
}

fn received(told: Result<Vec<u8>, RecvError>) {
    match told {
        Ok(record) => assert_eq!(record, b"a record"),
        Err(
            RecvError::Closed { .. }
            | RecvError::OwnerDied { .. }
            | RecvError::TimedOut { .. }
            | RecvError::Overrun { .. }
            | RecvError::Contended { .. }
            | RecvError::Evicted { .. }
            | RecvError::Deleted { .. }
            | RecvError::NotMoved { .. }
            | RecvError::Superseded { .. },
        ) => {}
        Err(error) => panic!("receive: {error}"),
    }
}

/// What may come of closing.
trait Told {
    fn told(self);
}

impl Told for Result<(), SendError> {
    fn told(self) {
        sent(self);
    }
}

impl Told for Result<(), RecvError> {
    fn told(self) {
        received(self.map(|()| b"a record".to_vec()));
    }
}
