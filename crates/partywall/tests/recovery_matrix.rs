//! The recovery matrix in `DESIGN.md` names the test that shows each row; here the names are held against the
//! tests.

use std::path::Path;

/// Every Rust file below a directory, one after the other.
fn sources(directory: &Path, text: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_row_names_a_test_that_exists() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let design = std::fs::read_to_string(here.join("../../DESIGN.md")).unwrap();
    let begin = design.find("## Recovery matrix").unwrap();
    let end = begin + design[begin..].find("## How it is tested").unwrap();
    let mut tests = String::new();
    sources(&here.join("tests"), &mut tests);
    sources(&here.join("src/protocol/models"), &mut tests);
    let mut rows = 0;
    for row in design[begin..end]
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .filter(|line| !line.ends_with("| shown by |"))
    {
        let shown = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(
            !names.is_empty() || shown.contains("PARTYWALL_SWEEP"),
            "nothing shows this row: {row}"
        );
        for name in names {
            let known = tests.contains(&format!("fn {name}("))
                || tests.contains(&format!("name: \"{name}\""))
                || here.join(name).exists()
                || name.starts_with("PARTYWALL_SWEEP");
            assert!(known, "DESIGN.md names {name}, which does not exist");
        }
        rows += 1;
    }
    assert!(rows > 30, "{rows} rows");
}
