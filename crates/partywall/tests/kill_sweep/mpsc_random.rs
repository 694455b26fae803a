//! Senders of an mpsc channel are killed and stopped at random, and its receivers are killed one after the other.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use partywall::mpsc::{Receiver, SenderId};

use crate::Located;
use crate::account::{Account, End, encode, told};
use crate::mpsc::{LaneWorld, receiver_options, sender_options};
use crate::random::{Random, start};
use crate::system;
use crate::victim::{Stage, say};
use crate::world::{CHANNEL, Payload};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// A victim: sizes and ways of sending change from record to record.
pub(crate) fn send_to_one_without_end(stage: &Stage) -> ! {
    let options = sender_options(&stage.namespace).block_timeout(None);
    let mut sender = options.attach(CHANNEL).unwrap();
    loop {
        let number = sender.records();
        let len = 8 + (number * 131 % 900) as usize;
        if number % 3 > 0 {
            sender.send(&Payload::bytes(number, len)).unwrap();
            continue;
        }
        let mut batch = sender.batch();
        for number in number..number + 3 {
            batch.push(&Payload::bytes(number, len)).unwrap();
        }
        batch.commit();
    }
}

/// A victim: says each event before it asks for the next.
pub(crate) fn collect_without_end(stage: &Stage) -> ! {
    let options = receiver_options(&stage.namespace).seats(8);
    let mut receiver = options.open(CHANNEL).unwrap();
    loop {
        say("got", encode(&told(receiver.recv().unwrap())));
    }
}

fn world() -> (LaneWorld, Receiver) {
    let world = LaneWorld::empty();
    let receiver = receiver_options(world.namespace())
        .seats(8)
        .open(CHANNEL)
        .unwrap();
    (world, receiver)
}

/// Eight senders; one at a time is killed and replaced, or stopped and continued, while the others must not stall.
pub(crate) fn kill_and_stop_senders(full: bool) {
    let mut random = Random::new("senders to one receiver");
    let (world, mut receiver) = world();
    let begin = || start("send_to_one_without_end", world.path());
    let mut senders: Vec<Child> = (0..8).map(|_| begin()).collect();
    let mut account = Account::default();
    let mut receive = |enough: &dyn Fn(&Account) -> bool| {
        let end = Instant::now() + LONG;
        while !enough(&account) {
            for _ in 0..100 {
                if let Some(event) = receiver.try_recv().unwrap() {
                    account.take(&told(event));
                }
            }
            assert!(Instant::now() < end, "somebody stalls: {account:?}");
        }
        account.senders.clone()
    };
    let open = |account: &Account| {
        let senders = account.senders.iter();
        senders.filter(|(_, sent)| sent.end == End::Open).count()
    };
    let (mut killed, rounds) = (0, if full { 60 } else { 9 });
    for round in 0..rounds {
        let before: BTreeMap<SenderId, _> = receive(&|account| open(account) == 8);
        let chosen = random.below(8) as usize;
        // At least three are killed.
        let kills = round % 3 == 0 || random.below(2) == 0;
        if kills {
            senders[chosen].kill().unwrap();
            senders[chosen].wait().unwrap();
            killed += 1;
        } else {
            system::stop(&senders[chosen]);
        }
        // All others advance, whoever is dead or stands still; and the dead one's end is told.
        receive(&|account| {
            let ahead = before.iter().filter(|(sender, before)| {
                before.end == End::Open && account.senders[sender].records > before.records + 20
            });
            ahead.count() >= 7 && (!kills || open(account) == 7)
        });
        if kills {
            senders[chosen] = begin();
        } else {
            system::go_on(&senders[chosen]);
        }
    }
    receive(&|account| open(account) == 8);
    for sender in &mut senders {
        assert!(sender.try_wait().unwrap().is_none(), "a sender has failed");
        sender.kill().unwrap();
        sender.wait().unwrap();
    }
    let told = receive(&|account| open(account) == 0);
    assert_eq!(told.len(), 8 + killed);
    assert!(told.values().all(|sent| sent.end == End::Died));
    receiver.close().unwrap();
    world.nothing_is_left();
}

/// Eight senders; one receiver after the other is killed: nothing is lost, and nobody notices but by waiting.
pub(crate) fn kill_receivers(full: bool) {
    let mut random = Random::new("receivers of many senders");
    let (world, receiver) = world();
    receiver.abandon();
    let mut senders: Vec<Child> = (0..8)
        .map(|_| start("send_to_one_without_end", world.path()))
        .collect();
    let mut account = Account::default();
    for _ in 0..if full { 60 } else { 8 } {
        let mut victim = system::this_program()
            .env("PARTYWALL_SWEEP_ROLE", "collect_without_end")
            .env("PARTYWALL_SWEEP_PLACE", world.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        account.successor();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut take = |line: String| {
            let event = line.strip_prefix("got ").unwrap();
            account.take_encoded(event.parse().unwrap());
        };
        // It gets to receive something, however long it takes to run at all.
        for _ in 0..10 + random.below(3000) {
            take(lines.next().unwrap().unwrap());
        }
        let moment = random.moment() / 10;
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(moment);
                victim.kill().unwrap();
                victim.wait().unwrap();
            });
            for line in lines {
                take(line.unwrap());
            }
        });
    }
    for sender in &mut senders {
        assert!(sender.try_wait().unwrap().is_none(), "a sender has failed");
        sender.kill().unwrap();
        sender.wait().unwrap();
    }
    account.successor();
    let mut last = receiver_options(world.namespace())
        .seats(8)
        .open(CHANNEL)
        .unwrap();
    let end = Instant::now() + LONG;
    while account.senders.len() < 8 || account.senders.values().any(|sent| sent.end == End::Open) {
        if let Some(event) = last.try_recv().unwrap() {
            account.take(&told(event));
        }
        assert!(Instant::now() < end, "{account:?}");
    }
    last.acknowledge();
    let received: u64 = account.senders.values().map(|sent| sent.records).sum();
    assert_eq!(
        last.received(),
        received,
        "counted once, received again or not"
    );
    last.close().unwrap();
    world.nothing_is_left();
}
