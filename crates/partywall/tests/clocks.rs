//! Nothing is decided by a clock that people can set: where the library reads the wall clock, and what for.

use std::fs;
use std::path::Path;

/// The sources that speak of the wall clock, and why each may.
const READERS: [(&str, &str); 5] = [
    ("os/mod.rs", "lists what a system gives"),
    ("os/linux/mod.rs", "reads it"),
    ("os/macos/mod.rs", "reads it"),
    ("os/windows/mod.rs", "reads it"),
    // A channel's header says when it was made, which `partywall info` shows; nothing else looks at it.
    ("channel/generation.rs", "stamps a new generation"),
];

/// The other ways to the wall clock, which nobody may take.
const OTHER_WAYS: [&str; 3] = ["SystemTime", "UNIX_EPOCH", "Realtime"];

fn sources(at: &Path, found: &mut Vec<(String, String)>, root: &Path) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found, root);
        } else {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_wall_clock_is_for_people_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found, &root);
    let mut readers: Vec<&str> = found
        .iter()
        .filter(|(_, text)| text.contains("wall_ns"))
        .map(|(name, _)| name.as_str())
        .collect();
    readers.sort_unstable();
    let mut allowed = READERS.map(|(name, _)| name);
    allowed.sort_unstable();
    assert_eq!(readers, allowed);
    for (name, text) in &found {
        for way in OTHER_WAYS {
            let allowed = matches!(
                &name[..],
                "os/linux/mod.rs" | "os/macos/mod.rs" | "os/windows/mod.rs"
            );
            assert!(allowed || !text.contains(way), "{name} uses {way}");
        }
    }
    // And what was stamped is read back for display only.
    let mut stamps: Vec<&str> = found
        .iter()
        .filter(|(_, text)| text.contains("created_ns") || text.contains("CREATED_NS"))
        .map(|(name, _)| name.as_str())
        .collect();
    stamps.sort_unstable();
    let expected = [
        "channel/generation.rs",
        "channel/root.rs",
        "channel/segment.rs",
        "inspect/mod.rs",
        "layout/header.rs",
    ];
    assert_eq!(stamps, expected);
}
