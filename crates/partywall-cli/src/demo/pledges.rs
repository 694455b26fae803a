//! What writers said to be committed, held against what those found who came after them.

use std::collections::BTreeMap;

/// Which writer, and which process of it.
type Process = (usize, u32);

#[derive(Debug, Default)]
pub(super) struct Pledges {
    /// What each process said last.
    told: BTreeMap<Process, u64>,
    /// What each process found; what the last one left, by its own count, stands where the next would be.
    found: BTreeMap<Process, u64>,
}

impl Pledges {
    pub(super) fn committed(&mut self, writer: usize, run: u32, records: u64) {
        self.told.insert((writer, run), records);
    }

    pub(super) fn found(&mut self, writer: usize, run: u32, records: u64) {
        self.found.insert((writer, run), records);
    }

    /// What a process said last to be committed.
    pub(super) fn of(&self, writer: usize, run: u32) -> u64 {
        self.told.get(&(writer, run)).copied().unwrap_or(0)
    }

    /// Records that were said to be committed, and were not there any more for who came next.
    pub(super) fn forgotten(&self) -> u64 {
        self.found
            .iter()
            .map(|(&(writer, run), &found)| self.of(writer, run - 1).saturating_sub(found))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_to_be_committed_must_be_there() {
        let mut pledges = Pledges::default();
        pledges.found(0, 1, 0);
        pledges.committed(0, 1, 7);
        pledges.committed(0, 1, 9);
        pledges.committed(1, 1, 50);
        // One more than was said: killed between the commit and the word.
        pledges.found(0, 2, 10);
        assert_eq!(pledges.forgotten(), 0);
        assert_eq!((pledges.of(0, 1), pledges.of(0, 2)), (9, 0));
        pledges.committed(0, 2, 20);
        pledges.found(0, 3, 18);
        pledges.found(1, 2, 47);
        assert_eq!(pledges.forgotten(), 5);
    }
}
