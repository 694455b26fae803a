//! Containers: processes that share a directory of shared memory and nothing else, neither mounts nor process ids.

use std::path::PathBuf;
use std::process::Stdio;

use crate::common::system;
use crate::stage::{Actor, OWNER, STRANGER, Stage, Test, Who, is_root, set_mode, skip_unless};

pub(crate) const TESTS: &[Test] = &[
    (
        "two_containers_share_a_channel_and_see_each_other_die",
        two_containers_share_a_channel_and_see_each_other_die,
    ),
    (
        "a_reader_of_another_user_in_a_container_sees_the_owner_die",
        a_reader_of_another_user_in_a_container_sees_the_owner_die,
    ),
    (
        "a_container_with_users_of_its_own_shares_a_channel",
        a_container_with_users_of_its_own_shares_a_channel,
    ),
    (
        "a_container_whose_clock_is_days_ahead_shares_a_channel",
        a_container_whose_clock_is_days_ahead_shares_a_channel,
    ),
];

const NEW: [&str; 5] = [
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=SIGKILL",
    "--mount-proc",
];

/// Whether namespaces can be had here.
fn can_unshare(more: &[&str]) -> bool {
    let tried = system::process("unshare")
        .args(NEW)
        .args(more)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    skip_unless(
        tried.is_ok_and(|status| status.success()),
        "`unshare` cannot make mount and pid namespaces here",
    )
}

/// This program, where the users of containers can come to it. Shared memory may be mounted so that nothing in it runs.
fn program(stage: &Stage) -> PathBuf {
    let program = stage.programs().join("program");
    if !program.exists() {
        std::fs::copy("/proc/self/exe", &program).unwrap();
        set_mode(&program, 0o755);
    }
    program
}

/// An actor in a container of its own, which has the stage at `at` instead of what lies there, and its own processes.
fn contained(stage: &Stage, at: &str, who: Option<Who>, more: &[&str], act: &[&str]) -> Actor {
    let mut command = system::process("unshare");
    command.args(NEW).args(more);
    let script = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";
    command.args(["sh", "-c", script]).arg(stage.path()).arg(at);
    if let Some(who) = who {
        let (user, group) = (who.user.to_string(), who.group.to_string());
        command.args([
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &group,
            "--clear-groups",
        ]);
    }
    command.arg(program(stage)).args(&act[1..]);
    command.env("PARTYWALL_ACT", act[0]);
    Actor::start(command)
}

fn two_containers_share_a_channel_and_see_each_other_die() {
    if !is_root() || !can_unshare(&[]) {
        return;
    }
    let stage = Stage::new();
    // The same directory by two names.
    let (one, other) = ("/mnt/namespace", "/dev/shm/namespace");
    let produce = || contained(&stage, "/mnt", None, &[], &["produce", one]);
    let consume = || contained(&stage, "/dev/shm", None, &[], &["consume", other]);
    let mut producer = produce();
    assert_eq!(producer.hear(), "open");
    let mut consumer = consume();
    assert_eq!(consumer.hear(), "alive");
    for record in ["one", "two"] {
        assert_eq!(producer.ask(record), "sent");
        assert_eq!(consumer.hear(), record);
    }
    // A consumer that dies in its container keeps nothing from the producer in the other: the ring goes round.
    consumer.kill();
    let mut consumer = consume();
    assert_eq!(consumer.hear(), "alive");
    for number in 0..1000 {
        let record = format!("{number:0100}");
        assert_eq!(producer.ask(&record), "sent");
        assert_eq!(consumer.hear(), record);
    }
    producer.kill();
    assert_eq!(consumer.hear(), "owner died");
    let mut successor = produce();
    assert_eq!(successor.hear(), "open");
    let mut consumer = consume();
    assert_eq!(consumer.hear(), "alive");
    assert_eq!(successor.ask("three"), "sent");
    assert_eq!(consumer.hear(), "three");
    successor.finish();
    assert_eq!(consumer.hear(), "closed");
}

fn a_reader_of_another_user_in_a_container_sees_the_owner_die() {
    if !is_root() || !can_unshare(&[]) {
        return;
    }
    let stage = Stage::new();
    let place = stage.home_of(OWNER).join("namespace");
    let home = format!("home-{}", OWNER.user);
    let place = place.to_str().unwrap();
    let user = OWNER.user.to_string();
    let mut writer = Actor::of(OWNER, "put", &[place, "644"]);
    assert_eq!(writer.hear(), "open");
    assert_eq!(writer.ask("one"), "1");
    let inside = format!("/mnt/{home}/namespace");
    let mut watcher = contained(
        &stage,
        "/mnt",
        Some(STRANGER),
        &[],
        &["watch", &inside, &user, "s"],
    );
    assert_eq!(watcher.hear(), "live");
    assert_eq!(watcher.hear(), "one");
    assert_eq!(writer.ask("two"), "2");
    assert_eq!(watcher.hear(), "two");
    writer.kill();
    assert_eq!(watcher.hear(), "owner died");
    assert_eq!(watcher.hear(), "dead");
}

fn a_container_with_users_of_its_own_shares_a_channel() {
    const USERS: [&str; 2] = ["--user", "--map-root-user"];
    if !is_root() || !can_unshare(&USERS) {
        return;
    }
    let stage = Stage::new();
    let place = stage.path().join("namespace");
    let mut producer = Actor::start(crate::stage::act("produce", &[place.to_str().unwrap()]));
    assert_eq!(producer.hear(), "open");
    let mut consumer = contained(&stage, "/mnt", None, &USERS, &["consume", "/mnt/namespace"]);
    assert_eq!(consumer.hear(), "alive");
    assert_eq!(producer.ask("one"), "sent");
    assert_eq!(consumer.hear(), "one");
    producer.kill();
    assert_eq!(consumer.hear(), "owner died");
    let mut producer = contained(&stage, "/mnt", None, &USERS, &["produce", "/mnt/namespace"]);
    assert_eq!(producer.hear(), "open");
    let place = place.to_str().unwrap();
    let mut consumer = Actor::start(crate::stage::act("consume", &[place]));
    assert_eq!(consumer.hear(), "alive");
    producer.kill();
    assert_eq!(consumer.hear(), "owner died");
}

/// Not even the clock that stamps signs of life has to be the same: those are for people, to whom the other side may seem
/// stuck. Whether it lives is a lock.
fn a_container_whose_clock_is_days_ahead_shares_a_channel() {
    const AHEAD: [&str; 3] = ["--time", "--boottime", "1000000"];
    if !is_root() || !can_unshare(&AHEAD) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (stage.path().join("namespace"), "/mnt/namespace");
    let here = here.to_str().unwrap();
    let produce = || Actor::start(crate::stage::act("produce", &[here]));
    let consume = || contained(&stage, "/mnt", None, &AHEAD, &["consume", there]);
    let mut producer = produce();
    assert_eq!(producer.hear(), "open");
    let mut consumer = consume();
    // By its clock, the producer has not stirred for days.
    assert_eq!(consumer.hear(), "stuck");
    for number in 0..1000 {
        let record = format!("{number:0100}");
        assert_eq!(producer.ask(&record), "sent");
        assert_eq!(consumer.hear(), record);
    }
    producer.kill();
    assert_eq!(consumer.hear(), "owner died");
    // The other way round: a producer from the future, and one here who dies.
    let mut producer = contained(&stage, "/mnt", None, &AHEAD, &["produce", there]);
    assert_eq!(producer.hear(), "open");
    let mut consumer = Actor::start(crate::stage::act("consume", &[here]));
    assert_eq!(consumer.hear(), "alive");
    assert_eq!(producer.ask("one"), "sent");
    assert_eq!(consumer.hear(), "one");
    consumer.kill();
    let mut consumer = Actor::start(crate::stage::act("consume", &[here]));
    assert_eq!(consumer.hear(), "alive");
    for number in 0..1000 {
        let record = format!("{number:0100}");
        assert_eq!(producer.ask(&record), "sent");
        assert_eq!(consumer.hear(), record);
    }
    producer.kill();
    assert_eq!(consumer.hear(), "owner died");
}
