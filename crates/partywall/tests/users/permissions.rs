//! Modes, namespaces, and the errors of those who may not.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use crate::stage::{
    Actor, COLLEAGUE, OWNER, STRANGER, Stage, Test, Who, is_root, mode_of, set_mode,
};

pub(crate) const TESTS: &[Test] = &[
    (
        "modes_do_not_depend_on_the_umask",
        modes_do_not_depend_on_the_umask,
    ),
    (
        "what_lacks_its_owners_rights_is_mended",
        what_lacks_its_owners_rights_is_mended,
    ),
    (
        "a_namespace_of_another_or_planted_in_a_sticky_directory_is_refused",
        a_namespace_of_another_or_planted_in_a_sticky_directory_is_refused,
    ),
    (
        "a_shared_channel_is_read_by_those_it_is_shared_with_and_nobody_else",
        a_shared_channel_is_read_by_those_it_is_shared_with_and_nobody_else,
    ),
    (
        "each_refusal_says_what_was_denied_to_whom_and_what_to_do",
        each_refusal_says_what_was_denied_to_whom_and_what_to_do,
    ),
];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn modes_do_not_depend_on_the_umask() {
    if !is_root() {
        return;
    }
    for umask in ["000", "022", "077", "777"] {
        let stage = Stage::new();
        let home = stage.home_of(OWNER);
        Actor::of(OWNER, "make_all_under", &[umask, text(&home)]).finish();
        let expect = |namespace: &str, channel: &str, mode: u32| {
            let directory = home.join(namespace).join(channel);
            let searched = mode | (mode & 0o444) >> 2;
            assert_eq!(mode_of(&directory), searched, "{umask}: {directory:?}");
            for file in ["root", "1.owner", "1.peers"] {
                let file = directory.join(file);
                assert_eq!(mode_of(&file), mode, "{umask}: {file:?}");
            }
            let lock = mode_of(&directory.join("lock"));
            assert_eq!(lock, 0o600, "{umask}: the lock of {channel}");
            assert_eq!(
                fs::read_dir(&directory).unwrap().count(),
                4,
                "{directory:?}"
            );
        };
        assert_eq!(mode_of(&home.join("private")), 0o700, "{umask}");
        for channel in ["ring", "snapshot", "broadcast", "frames", "mpsc", "guarded"] {
            expect("private", channel, 0o600);
        }
        assert_eq!(mode_of(&home.join("shared")), 0o755, "{umask}");
        expect("shared", "everybody", 0o644);
        expect("shared", "group", 0o640);
        expect("shared", "nobody", 0o600);
    }
}

fn what_lacks_its_owners_rights_is_mended() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let place = stage.home_of(OWNER).join("namespace");
    let said = Actor::of(OWNER, "mend", &[text(&place)]).finish();
    assert_eq!(said, "mended\n");
    assert_eq!(mode_of(&place.join("half")), 0o700);
    assert_eq!(mode_of(&place.join("half/lock")), 0o600);
}

fn a_namespace_of_another_or_planted_in_a_sticky_directory_is_refused() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let own = stage.home_of(OWNER).join("own");
    let open = |who: Who, path: &Path, user: Who| {
        let user = user.user.to_string();
        Actor::of(who, "open_namespace", &[text(path), &user]).finish()
    };
    assert_eq!(open(OWNER, &own, OWNER), "opened\n");
    let sticky = stage.path().join("sticky");
    fs::create_dir(&sticky).unwrap();
    set_mode(&sticky, 0o1777);
    Actor::of(STRANGER, "plant", &[text(&sticky), text(&own)]).finish();
    let refuse = |who: Who, name: &str, user: Who, words: &str| {
        let said = open(who, &sticky.join(name), user);
        assert!(said.contains(words) && said.contains(name), "{said}");
    };
    let theirs = format!(
        "belongs to user {}, not to user {}",
        STRANGER.user, OWNER.user
    );
    refuse(OWNER, "directory", OWNER, &theirs);
    // Who reads what OWNER shares says so, and is not given what another planted in its place.
    refuse(COLLEAGUE, "directory", OWNER, &theirs);
    // It leads to OWNER's own, today.
    refuse(OWNER, "link", OWNER, "symbolic link");
    refuse(COLLEAGUE, "link", OWNER, "symbolic link");
    refuse(OWNER, "file", OWNER, "cannot open");
    assert_eq!(
        open(STRANGER, &sticky.join("directory"), STRANGER),
        "opened\n"
    );
    // Others may write to it: whatever it holds may be anybody's.
    let open_to_all = stage.home_of(OWNER).join("open-to-all");
    fs::create_dir(&open_to_all).unwrap();
    chown(&open_to_all, Some(OWNER.user), Some(OWNER.group)).unwrap();
    set_mode(&open_to_all, 0o777);
    assert!(open(OWNER, &open_to_all, OWNER).contains("others may write"));
    assert!(open(COLLEAGUE, &open_to_all, OWNER).contains("others may write"));
    // Nothing was made anywhere, by those who were refused.
    assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
    assert_eq!(fs::read_dir(sticky.join("directory")).unwrap().count(), 0);
    // A link to nothing is no invitation to make a namespace there.
    symlink("/dev/shm/partywall-no-such-place", sticky.join("dangling")).unwrap();
    refuse(OWNER, "dangling", OWNER, "symbolic link");
    assert!(!Path::new("/dev/shm/partywall-no-such-place").exists());
}

fn a_shared_channel_is_read_by_those_it_is_shared_with_and_nobody_else() {
    if !is_root() {
        return;
    }
    let user = OWNER.user.to_string();
    for (mode, readers, others) in [
        ("644", &[COLLEAGUE, STRANGER][..], &[][..]),
        ("640", &[COLLEAGUE], &[STRANGER]),
        ("604", &[STRANGER], &[COLLEAGUE]),
        ("600", &[], &[COLLEAGUE, STRANGER]),
    ] {
        let stage = Stage::new();
        let place = stage.home_of(OWNER).join("namespace");
        let place = text(&place);
        let mut writer = Actor::of(OWNER, "put", &[place, mode]);
        assert_eq!(writer.hear(), "open");
        assert_eq!(writer.ask("one"), "1");
        let mut watchers: Vec<Actor> = readers
            .iter()
            .map(|&reader| Actor::of(reader, "watch", &[place, &user, "s"]))
            .collect();
        for watcher in &mut watchers {
            assert_eq!(watcher.hear(), "live", "{mode}");
            assert_eq!(watcher.hear(), "one", "{mode}");
        }
        // They wait without a seat, and nobody rings for them.
        for value in ["two", "three"] {
            writer.say(value);
            writer.hear();
            for watcher in &mut watchers {
                assert_eq!(watcher.hear(), value, "{mode}");
            }
        }
        for &other in others {
            let said = Actor::of(other, "watch", &[place, &user, "s"]).finish();
            let words = format!("user {} may not open", other.user);
            assert!(said.contains(&words), "{mode}: {said}");
        }
        // Nobody may open the lock, and yet they learn of the death.
        writer.kill();
        for mut watcher in watchers {
            assert_eq!(watcher.hear(), "owner died", "{mode}");
            assert_eq!(watcher.hear(), "dead", "{mode}");
        }
        // The next owner goes on, for the same readers; and a closed channel is closed for them, too.
        let mut writer = Actor::of(OWNER, "put", &[place, "-"]);
        assert_eq!(writer.hear(), "open");
        let mut watchers: Vec<Actor> = readers
            .iter()
            .map(|&reader| Actor::of(reader, "watch", &[place, &user, "s"]))
            .collect();
        for watcher in &mut watchers {
            assert_eq!(
                (watcher.hear(), watcher.hear()),
                ("live".into(), "three".into())
            );
        }
        writer.finish();
        for mut watcher in watchers {
            assert_eq!(watcher.hear(), "closed", "{mode}");
        }
    }
}

/// What was tried, by whom, and what came of it.
fn refused(who: Who, what: &str, place: &Path, channel: &str) -> (String, String) {
    let user = OWNER.user.to_string();
    let mut actor = Actor::of(who, "try", &[what, text(place), &user, channel]);
    (actor.hear(), actor.finish())
}

fn each_refusal_says_what_was_denied_to_whom_and_what_to_do() {
    if !is_root() {
        return;
    }
    let stage = Stage::new();
    let place = stage.home_of(OWNER).join("namespace");
    let mut writer = Actor::of(OWNER, "put", &[text(&place), "644"]);
    assert_eq!(writer.hear(), "open");
    writer.say("abandon");
    writer.finish();
    let mut producer = Actor::of(OWNER, "produce", &[text(&place)]);
    assert_eq!(producer.hear(), "open");
    let check = |who: Who, what: &str, channel: &str, denied: &str, at: &Path, words: &[&str]| {
        let owner = fs::symlink_metadata(at).unwrap();
        let owner = std::os::unix::fs::MetadataExt::uid(&owner);
        let mode = mode_of(at);
        let (found, message) = refused(who, what, &place, channel);
        let expected = format!(
            "{denied} {} {} Some({owner}) {mode:o}",
            at.display(),
            who.user
        );
        assert_eq!(found, expected, "{what} {channel}");
        let own = [
            format!("channel {channel}: user {} may not", who.user),
            format!("user {owner}, mode {mode:04o}"),
            text(at).to_owned(),
        ];
        for word in own.iter().map(String::as_str).chain(words.iter().copied()) {
            assert!(message.contains(word), "{message:?} does not say {word:?}");
        }
    };
    // Not even to see whether it is there.
    set_mode(&place, 0o700);
    check(STRANGER, "read", "s", "See", &place, &["chmod go+x"]);
    check(
        STRANGER,
        "read",
        "not-there",
        "See",
        &place,
        &["chmod go+x"],
    );
    set_mode(&place, 0o711);
    // To open, what is its owner's alone.
    check(
        STRANGER,
        "read",
        "r",
        "Open",
        &place.join("r"),
        &["--mode", "run as user"],
    );
    // To lock, and so to own; and to delete.
    let lock = place.join("s/lock");
    check(STRANGER, "write", "s", "Lock", &lock, &["run as user"]);
    check(
        STRANGER,
        "remove",
        "s",
        "Delete",
        &place.join("s"),
        &["partywall rm"],
    );
    // Its owner, too, where somebody has taken a right away.
    set_mode(&place.join("r/1.peers"), 0o400);
    check(
        OWNER,
        "consume",
        "r",
        "Map",
        &place.join("r/1.peers"),
        &["take no seat"],
    );
    set_mode(&place.join("r/1.peers"), 0o600);
    assert_eq!(refused(OWNER, "consume", &place, "r").0, "done");
    chown(&lock, Some(0), Some(0)).unwrap();
    check(
        OWNER,
        "write",
        "s",
        "Lock",
        &lock,
        &["run as user 0", "PARTYWALL_DIR"],
    );
    chown(&lock, Some(OWNER.user), Some(OWNER.group)).unwrap();
    set_mode(&place.join("s"), 0o555);
    check(
        OWNER,
        "remove",
        "s",
        "Delete",
        &place.join("s"),
        &["may not delete"],
    );
    set_mode(&place.join("s"), 0o755);
    // Nothing of it has changed anything: nor may what is tried by force, or as root in another's namespace.
    let root = Who { user: 0, group: 0 };
    for what in ["write", "remove", "remove_by_force", "forget", "edit"] {
        for who in [STRANGER, root] {
            let (found, _) = refused(who, what, &place, "s");
            let denied = ["Lock", "Delete", "Map"]
                .iter()
                .any(|word| found.starts_with(word));
            assert!(
                denied || what == "edit" && found == "another error",
                "{what}: {found}"
            );
        }
    }
    let (found, _) = refused(root, "consume", &place, "r");
    assert!(found.starts_with("Map"), "{found}");
    assert_eq!(refused(STRANGER, "read", &place, "s").0, "done");
    assert_eq!(refused(OWNER, "write", &place, "s").0, "done");
    let mut consumer = Actor::of(OWNER, "consume", &[text(&place)]);
    assert_eq!(consumer.hear(), "alive");
    assert_eq!(producer.ask("still there"), "sent");
    assert_eq!(consumer.hear(), "still there");
}
