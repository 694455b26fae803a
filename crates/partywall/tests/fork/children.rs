//! What forked children may do, and what they keep.
#![allow(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use crate::common::Place;
use partywall::ring::{ConsumerOptions, ProducerOptions};
use partywall::{Namespace, RecvError, SendError, inspect, mpsc};

/// Forks; the child does something and ends with its code, without running this process's destructors.
fn in_child(act: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the tests below are this process's only thread but for the harness's, which holds no lock that
    // the child needs; the child ends by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let code = act();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code.into()) }
        }
        pid => {
            assert!(pid > 0);
            pid
        }
    }
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of ours; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

fn children_get_an_error_and_harm_nobody() {
    let place = Place::new();
    let mut producer = place.producer().heartbeat(false).open("c").unwrap();
    let mut consumer = place.consumer().heartbeat(false).attach("c").unwrap();
    producer.send(b"before").unwrap();
    let child = in_child(|| {
        let sent = producer.send(b"from the child");
        let received = consumer.recv();
        let both = matches!(sent, Err(SendError::Forked { .. }))
            && matches!(received, Err(RecvError::Forked { .. }));
        // Dropping them here closes nothing and frees no seat.
        // SAFETY: the originals are never used again in this process.
        unsafe {
            drop(std::ptr::read(&raw const producer));
            drop(std::ptr::read(&raw const consumer));
        }
        // What the error advises: the child's own handles work.
        let mut producer = place.producer().open("d").unwrap();
        let mut consumer = place.consumer().attach("d").unwrap();
        producer.send(b"the child's own").unwrap();
        let works = &consumer.recv().unwrap()[..] == b"the child's own";
        producer.close().unwrap();
        drop(consumer);
        u8::from(!both || !works)
    });
    assert_eq!(wait(child), 0);
    producer.send(b"after").unwrap();
    assert_eq!(&consumer.recv().unwrap()[..], b"before");
    assert_eq!(&consumer.recv().unwrap()[..], b"after");
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(
        (info.state, info.owner),
        ("ready", inspect::Liveness::Alive)
    );
    assert_eq!(info.seats[0].holder, inspect::Liveness::Alive);
}

fn a_child_that_outlives_its_parent_does_not_keep_the_channel() {
    let place = Place::new();
    // The parent of the story is a child of ours: it opens, forks, and is killed.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let parent = in_child(|| {
        let producer = place.producer().heartbeat(false).open("c").unwrap();
        let grandchild = in_child(|| {
            loop {
                // Lives on until it is killed.
                // SAFETY: sleeps until a signal.
                unsafe { libc::pause() };
            }
        });
        let _ = rustix::io::write(&writer, &grandchild.to_le_bytes());
        let _ = std::mem::ManuallyDrop::new(producer);
        let pid = rustix::process::getpid();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        1
    });
    let mut bytes = [0; 4];
    assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 4);
    wait(parent);
    let adopted = place
        .producer()
        .open("c")
        .map(|producer| producer.adopted());
    let grandchild = rustix::process::Pid::from_raw(i32::from_le_bytes(bytes)).unwrap();
    rustix::process::kill_process(grandchild, rustix::process::Signal::KILL).unwrap();
    assert!(adopted.unwrap());
}

const THREADS: &str = "PARTYWALL_FORK_THREADS";

/// A program with threads at work, which starts other programs meanwhile, by fork and by what the library prefers.
fn work_and_start_programs(place: &str) {
    let namespace = Namespace::open(place).unwrap();
    let options = ProducerOptions::new()
        .namespace(namespace.clone())
        .capacity(4096);
    let mut producer = options.open("c").unwrap();
    let mut consumer = ConsumerOptions::new()
        .namespace(namespace.clone())
        .attach("c")
        .unwrap();
    std::thread::spawn(move || {
        for number in 0_u64.. {
            producer.send(&number.to_le_bytes()).unwrap();
        }
    });
    let collector = mpsc::ReceiverOptions::new().namespace(namespace.clone());
    let mut receiver = collector.lane_capacity(4096).open("m").unwrap();
    let mut sender = mpsc::SenderOptions::new()
        .namespace(namespace)
        .attach("m")
        .unwrap();
    std::thread::spawn(move || {
        for number in 0_u64.. {
            assert_eq!(consumer.recv().unwrap()[..], number.to_le_bytes());
            sender.send(&number.to_le_bytes()).unwrap();
        }
    });
    std::thread::spawn(move || {
        for number in 0_u64.. {
            let record = loop {
                if let Some(record) = receiver.recv().unwrap().record() {
                    break record;
                }
            };
            assert_eq!(record[..], number.to_le_bytes());
        }
    });
    let start = |program: &str, argument: &str, by_fork: bool| {
        let mut command = Command::new(program);
        command.arg(argument).stdout(Stdio::null());
        if by_fork {
            // SAFETY: it does nothing between fork and exec; that there is something makes the library fork.
            unsafe { command.pre_exec(|| Ok(())) };
        }
        command.spawn().unwrap()
    };
    for round in 0..60 {
        let status = start("true", "", round % 2 == 0).wait().unwrap();
        assert!(status.success());
    }
    for by_fork in [false, true] {
        println!("{}", start("sleep", "600", by_fork).id());
    }
    println!("working");
    loop {
        std::thread::park();
    }
}

/// The owner of two channels and the holder of two seats, with threads, is killed; the programs that it started live on.
fn programs_started_while_threads_send_keep_no_lock() {
    let place = Place::new();
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.env(THREADS, place.path()).stdout(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let output = BufReader::new(program.stdout.take().unwrap());
    let said: Vec<String> = output.lines().map_while(Result::ok).take(3).collect();
    assert_eq!(said[2..], ["working"]);
    program.kill().unwrap();
    program.wait().unwrap();
    for channel in ["c", "m"] {
        let info = inspect::inspect(&place.namespace, channel).unwrap();
        assert_eq!(info.owner, inspect::Liveness::Dead);
        assert_eq!(info.seats[0].holder, inspect::Liveness::Dead);
    }
    let mut producer = place.producer().open("c").unwrap();
    assert!(producer.adopted());
    let mut consumer = place.consumer().attach("c").unwrap();
    // What the dead consumer holds back is given up.
    for _ in 0..1000 {
        producer.send(b"a record").unwrap();
        assert_eq!(&consumer.recv().unwrap()[..], b"a record");
    }
    for process in &said[..2] {
        let alive = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap();
        assert_eq!(alive, "sleep\n");
        let process = rustix::process::Pid::from_raw(process.parse().unwrap()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    }
}

pub(crate) fn main() -> ExitCode {
    if let Ok(place) = std::env::var(THREADS) {
        work_and_start_programs(&place);
    }
    children_get_an_error_and_harm_nobody();
    a_child_that_outlives_its_parent_does_not_keep_the_channel();
    programs_started_while_threads_send_keep_no_lock();
    println!("3 passed, 0 failed");
    ExitCode::SUCCESS
}
