//! What fuzzers are given to begin with, and what they have found: every input once, without a fuzzer. And as many inputs
//! made from those at random, so that something is tried where there is no fuzzer at all.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Random;
use partywall::fuzz::ENTRIES;

/// The inputs of each entry.
fn corpus() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let read = |name: &'static str| {
        let mut files: Vec<_> = std::fs::read_dir(root.join(name))
            .unwrap_or_else(|error| panic!("no corpus of {name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        let inputs = files.iter().map(|path| std::fs::read(path).unwrap());
        (name, inputs.collect())
    };
    ENTRIES.iter().map(|&(name, _)| read(name)).collect()
}

#[test]
fn every_input_of_the_corpus_is_answered() {
    let corpus = corpus();
    for (name, entry) in ENTRIES {
        let inputs = &corpus[name];
        assert!(inputs.len() >= 4, "{name}: {} inputs", inputs.len());
        for input in inputs {
            entry(input);
        }
    }
}

/// Changes an input: bytes, numbers at their ends, pieces of it twice, pieces of another.
fn change(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.below(6) {
        let len = input.len() as u64;
        let at = random.below(len + 1) as usize;
        match random.below(6) {
            0 => input.insert(at, random.below(256) as u8),
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < input.len() => {
                input.remove(at);
            }
            3 => {
                let word = [0, 1, u64::MAX, 1 << 63, 1 << 32, 512, 8][random.below(7) as usize];
                for (byte, said) in input[at..].iter_mut().zip(word.to_le_bytes()) {
                    *byte = said;
                }
            }
            4 if !other.is_empty() => {
                let begin = random.below(other.len() as u64) as usize;
                let end = begin + random.below((other.len() - begin) as u64 + 1) as usize;
                input.splice(at..at, other[begin..end].iter().copied());
            }
            _ => {
                let piece = input[at..(at + 16).min(input.len())].to_vec();
                input.extend(piece);
            }
        }
        input.truncate(4096);
    }
}

/// As many as a moment allows, of each; `PARTYWALL_FUZZ_SECONDS` for longer.
#[test]
fn inputs_at_random_are_answered() {
    let mut random = Random::from_environment();
    let seconds = std::env::var("PARTYWALL_FUZZ_SECONDS");
    let each = seconds.map_or(Duration::from_millis(500), |seconds| {
        Duration::from_secs(seconds.parse().expect("a number"))
    });
    let mut corpus = corpus();
    for (name, entry) in ENTRIES {
        let inputs = corpus.get_mut(name).unwrap();
        let (end, mut tried) = (Instant::now() + each, 0_u64);
        // Some at the least, however slow the machine.
        while tried < 500 || Instant::now() < end {
            let pick = |random: &mut Random| random.below(inputs.len() as u64) as usize;
            let (of, other) = (pick(&mut random), pick(&mut random));
            let mut input = inputs[of].clone();
            change(&mut random, &mut input, &inputs[other]);
            let answered = std::panic::catch_unwind(|| entry(&input));
            assert!(answered.is_ok(), "{name}: {input:?}");
            tried += 1;
            // Some are gone on from.
            if tried.is_multiple_of(64) {
                if inputs.len() < 512 {
                    inputs.push(input);
                } else {
                    inputs[of] = input;
                }
            }
        }
        println!("{name:12} {tried:8} inputs");
    }
}
