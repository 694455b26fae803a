//! What cannot be opened: a clear error of the right kind, nothing written, never a panic.

#![allow(unsafe_code)]

mod common;

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use common::Place;
use common::system::{self, At};
use partywall::{ManageError, Namespace, OpenError, inspect, manage};

/// The text must name the channel, or whatever was given for it.
fn says(error: &OpenError, what: &str) {
    let text = error.to_string();
    assert!(text.contains(what), "{text:?} does not say {what:?}");
}

#[test]
fn names_that_are_none() {
    let place = Place::new();
    let long = "x".repeat(65);
    for name in [
        "", ".", "..", ".x", "-x", "a/b", "/", "a\0b", "ä", " ", &long,
    ] {
        let refused = place.producer().open(name).unwrap_err();
        assert!(
            matches!(refused, OpenError::InvalidName { .. }),
            "{name:?}: {refused}"
        );
        let refused = place.consumer().attach(name).unwrap_err();
        assert!(
            matches!(refused, OpenError::InvalidName { .. }),
            "{name:?}: {refused}"
        );
        says(&refused, &format!("{name:?}"));
        assert!(inspect::inspect(&place.namespace, name).is_err());
        assert!(manage::remove(&place.namespace, name, true).is_err());
    }
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn namespaces_that_cannot_be_trusted() {
    let parent = system::directory();
    let good = parent.path().join("good");
    Namespace::open(&good).unwrap();
    let refuse = |path: &Path, words: &str| {
        let refused = Namespace::open(path).unwrap_err();
        assert!(matches!(refused, OpenError::Namespace { .. }), "{refused}");
        says(&refused, words);
        says(&refused, &path.display().to_string());
    };
    refuse(&parent.path().join("no").join("parent"), "cannot make");
    let plain = parent.path().join("plain");
    fs::write(&plain, "a file").unwrap();
    refuse(&plain, "cannot open");
    #[cfg(unix)] // modes, symbolic links, /proc
    refuse_by_mode(parent.path(), &good, refuse);
}

#[cfg(unix)]
fn refuse_by_mode(parent: &Path, good: &Path, refuse: impl Fn(&Path, &str)) {
    let mode = fs::metadata(good).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
    let link = parent.join("link");
    symlink(good, &link).unwrap();
    refuse(&link, "symbolic link");
    for mode in [0o777, 0o720, 0o702, 0o1777] {
        fs::set_permissions(good, fs::Permissions::from_mode(mode)).unwrap();
        refuse(good, "others may write");
    }
    refuse(Path::new("/proc"), "");
    // A directory of the build lies on a disk, wherever this is run.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR")).join("namespace");
    let on_disk = Namespace::open(&disk);
    match on_disk {
        Ok(_) => println!("skipped: {} is on a tmpfs here", disk.display()),
        Err(refused) => says(&refused, "disk or network"),
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(good, Some(12345), None).unwrap();
        fs::set_permissions(good, fs::Permissions::from_mode(0o700)).unwrap();
        refuse(good, "belongs to user 12345");
    } else {
        println!("skipped: only root can give a directory to another user");
    }
}

#[test]
fn files_that_are_not_a_channels() {
    let place = Place::new();
    let mut producer = place.producer().heartbeat(false).open("c").unwrap();
    // Somebody who comes back keeps the channel; nobody has a file open, for Windows would let none be shortened.
    let durable = place.consumer().heartbeat(false).durable("d");
    durable.attach("c").unwrap().detach();
    producer.send(b"x").unwrap();
    producer.abandon();
    let directory = place.path().join("c");
    type Change = fn(&fs::File);
    let changes: [(&str, Change); 7] = [
        ("empty", |file| file.set_len(0).unwrap()),
        ("cut", |file| file.set_len(100).unwrap()),
        ("cut to a page", |file| file.set_len(4096 - 8).unwrap()),
        ("another program's", |file| {
            file.write_all_at(b"SQLite format 3", 0).unwrap()
        }),
        ("a newer abi", |file| {
            file.write_all_at(&2_u16.to_le_bytes(), 8).unwrap()
        }),
        ("unknown features", |file| {
            file.write_all_at(&[1], 64).unwrap()
        }),
        ("another size", |file| file.write_all_at(&[1], 24).unwrap()),
    ];
    for name in ["root", "1.owner", "1.peers"] {
        let path = directory.join(name);
        let honest = fs::read(&path).unwrap();
        for (what, change) in &changes {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            change(&file);
            let damaged = fs::read(&path).unwrap();
            let attach = place
                .consumer()
                .attach_timeout(Some(Duration::from_millis(1)));
            for refused in [
                place.producer().open("c").unwrap_err(),
                attach.attach("c").unwrap_err(),
            ] {
                let right = match *what {
                    "empty" | "cut" | "cut to a page" | "another size" => {
                        matches!(refused, OpenError::WrongSize { .. })
                    }
                    "another program's" => matches!(refused, OpenError::Foreign { .. }),
                    "a newer abi" => matches!(refused, OpenError::WrongAbi { found: 2, .. }),
                    _ => matches!(refused, OpenError::UnknownFeatures { .. }),
                };
                assert!(right, "{name} is {what}: {refused:?}");
                says(&refused, "channel c");
            }
            let row = &inspect::list(&place.namespace).unwrap()[0];
            assert!(row.problem.is_some(), "{name} is {what}");
            assert_eq!(fs::read(&path).unwrap(), damaged, "nothing was written");
            fs::write(&path, &honest).unwrap();
        }
    }
    // As it was, it works.
    assert!(place.producer().open("c").unwrap().adopted());
}

#[test]
fn a_directory_a_link_or_a_pipe_in_a_files_place() {
    for name in ["root", "lock", "1.owner", "1.peers"] {
        // Elsewhere a link needs a privilege, and a pipe has no place among files.
        let kinds: &[&str] = if cfg!(unix) {
            &["directory", "link", "pipe", "socket"]
        } else {
            &["directory"]
        };
        for &kind in kinds {
            let place = Place::new();
            place
                .producer()
                .heartbeat(false)
                .open("c")
                .unwrap()
                .abandon();
            let path = place.path().join("c").join(name);
            fs::remove_file(&path).unwrap();
            match kind {
                "directory" => fs::create_dir(&path).unwrap(),
                #[cfg(unix)]
                "link" => symlink("/etc/passwd", &path).unwrap(),
                #[cfg(unix)]
                "pipe" => {
                    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                    let made = rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode);
                    made.unwrap();
                }
                #[cfg(unix)]
                "socket" => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
                other => panic!("{other}"),
            }
            let attach = place
                .consumer()
                .attach_timeout(Some(Duration::from_millis(1)));
            let expect = |error: OpenError| {
                let OpenError::Misplaced { path: said, .. } = &error else {
                    panic!("{name} is a {kind}: {error}")
                };
                assert_eq!(*said, path);
                says(&error, kind);
            };
            expect(attach.attach("c").unwrap_err());
            expect(place.producer().open("c").unwrap_err());
            // Who cannot be seen is not said to be there.
            match manage::remove(&place.namespace, "c", false).unwrap_err() {
                ManageError::Open(error) => expect(error),
                other => panic!("{name} is a {kind}: {other}"),
            }
            // By force everything goes but what may have something in it; and without a lock nothing does. On Windows all
            // is moved aside.
            match manage::remove(&place.namespace, "c", true) {
                Ok(_) => assert!(
                    cfg!(windows) || kind != "directory" && name != "lock",
                    "{name} is a {kind}"
                ),
                Err(ManageError::Open(error)) => expect(error),
                Err(other) => panic!("{name} is a {kind}: {other}"),
            }
        }
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_to_be_made() {
    for name in ["root", "1.owner", "1.peers.new"] {
        let place = Place::new();
        let channel = place.path().join("c");
        fs::create_dir_all(channel.join(name)).unwrap();
        let refused = match place.producer().open("c") {
            // What is in the way is moved aside there.
            Ok(producer) if cfg!(windows) => {
                producer.close().unwrap();
                continue;
            }
            opened => opened.unwrap_err(),
        };
        let OpenError::Misplaced { path, .. } = &refused else {
            panic!("{name}: {refused}")
        };
        assert_eq!(*path, channel.join(name));
        // Nothing is left but what was in the way.
        fs::remove_dir(path).unwrap();
        place.producer().open("c").unwrap().close().unwrap();
        assert_eq!(place.files(), Vec::<String>::new());
    }
}

#[test]
fn options_out_of_range() {
    let place = Place::new();
    for capacity in [0, (1 << 40) + 1, u64::MAX] {
        let refused = place.producer().capacity(capacity).open("c").unwrap_err();
        assert!(
            matches!(refused, OpenError::InvalidOption { .. }),
            "{refused}"
        );
        says(&refused, &capacity.to_string());
    }
    for seats in [0, 65, u32::MAX] {
        let refused = place.producer().seats(seats).open("c").unwrap_err();
        assert!(
            matches!(refused, OpenError::InvalidOption { .. }),
            "{refused}"
        );
    }
    for name in ["", &"n".repeat(65)] {
        let refused = place.consumer().durable(name).attach("c").unwrap_err();
        assert!(
            matches!(refused, OpenError::InvalidOption { .. }),
            "{refused}"
        );
    }
    assert_eq!(place.files(), Vec::<String>::new());
    // More memory than there is.
    let refused = place.producer().capacity(1 << 40).open("c").unwrap_err();
    let right = match refused {
        OpenError::NoSpace { needed, free, .. } => needed > free,
        // Wine makes a file of any length, and then cannot map it.
        OpenError::System { .. } => cfg!(windows),
        _ => false,
    };
    assert!(right, "{refused}");
    assert_eq!(place.files(), Vec::<String>::new(), "nothing is left of it");
}

#[cfg(target_os = "linux")] // mounts a tmpfs
#[test]
fn a_full_tmpfs_is_an_error_with_the_numbers_in_it() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can mount a small tmpfs");
        return;
    }
    let point = system::directory();
    let mount = |arguments: &[&str]| {
        system::process("mount")
            .args(arguments)
            .arg(point.path())
            .status()
    };
    if !mount(&["-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs"])
        .unwrap()
        .success()
    {
        println!("skipped: this machine does not let us mount a tmpfs");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let namespace = Namespace::open(point.path()).unwrap();
        let options = partywall::ring::ProducerOptions::new().namespace(namespace.clone());
        let refused = options.clone().capacity(1 << 20).open("c").unwrap_err();
        assert!(
            matches!(refused, OpenError::NoSpace { needed, free, .. } if needed == (1 << 20) + 4096 && free < needed),
            "{refused}"
        );
        says(&refused, "channel c");
        assert_eq!(
            fs::read_dir(point.path()).unwrap().count(),
            0,
            "nothing is left"
        );
        let fits = options.capacity(1 << 19).open("c").unwrap();
        drop(fits);
    });
    assert!(
        system::process("umount")
            .arg(point.path())
            .status()
            .unwrap()
            .success()
    );
    outcome.unwrap();
}

#[cfg(unix)] // a child with another user's number
#[test]
fn another_user_gets_in_nowhere() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run a child as another user");
        return;
    }
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    let _producer = place.producer().open("c").unwrap();
    for path in ["c", "c/root", "c/lock", "c/1.owner", "c/1.peers"] {
        let mode = fs::metadata(place.path().join(path))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{path} is private");
    }
    let mut stranger = system::process("cat");
    stranger.arg(place.path().join("c/root"));
    // SAFETY: between fork and exec only setuid, which is async-signal-safe.
    unsafe {
        stranger.pre_exec(|| match libc::setuid(12345) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let output = stranger.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
}
