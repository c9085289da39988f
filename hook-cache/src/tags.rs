use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
};

use crate::store::{Serial, TagCell};

/// Below this many tags there is nothing to be gained by looking for those that nobody bears.
const LEAST: usize = 64;

/// Entries that bear more tags than this have them looked through by each sweep.
const PER_ENTRY: usize = 4;

/// The tags that entries bear, and when each was last invalidated.
///
/// To invalidate a tag is to write one number: whatever began to load before it is dead, however many entries that
/// are. Tags that no entry bears any more are forgotten by a sweep, and at the latest when there are twice as many as were in
/// use.
pub(crate) struct Tags {
    table: Mutex<Table>,
}

struct Table {
    cells: HashMap<Box<str>, TagCell>,
    /// The last invalidation of any tag that was forgotten. A tag that comes back may have been among them.
    floor: Serial,
    /// How many tags there may be before those that nobody bears are looked for.
    most: usize,
}

impl Tags {
    pub(crate) fn new() -> Self {
        Self {
            table: Mutex::new(Table {
                cells: HashMap::new(),
                floor: 0,
                most: LEAST,
            }),
        }
    }

    /// What an entry bears.
    pub(crate) fn cells(&self, tags: &[Box<str>]) -> Box<[TagCell]> {
        if tags.is_empty() {
            return Box::default();
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        tags.iter().map(|tag| table.cell(tag)).collect()
    }

    /// Whatever bears `tag` and has a lesser number than `serial` is dead from here on.
    pub(crate) fn invalidate(&self, tag: &str, serial: Serial) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        // Made if it is not known: a load under way may bring it.
        table.cell(tag).fetch_max(serial, Release);
    }

    /// Gives back the memory of tags that nobody bears, if there must be many of them beside so few `entries`.
    pub(crate) fn tidy(&self, entries: usize) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.cells.len() > LEAST.max(PER_ENTRY.saturating_mul(entries)) {
            table.forget_unused();
            table.cells.shrink_to_fit();
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.cells.len()
    }
}

impl Table {
    fn cell(&mut self, tag: &str) -> TagCell {
        if let Some(cell) = self.cells.get(tag) {
            return cell.clone();
        }
        if self.cells.len() >= self.most {
            self.forget_unused();
        }
        let cell = Arc::new(AtomicU64::new(self.floor));
        self.cells.insert(tag.into(), cell.clone());
        cell
    }

    fn forget_unused(&mut self) {
        let floor = &mut self.floor;
        self.cells.retain(|_, cell| {
            // Cells are handed out under this lock only, so that nobody can come to bear it meanwhile.
            let used = Arc::strong_count(cell) > 1;
            if !used {
                *floor = (*floor).max(cell.load(Acquire));
            }
            used
        });
        self.most = LEAST.max(2 * self.cells.len());
    }
}

/// The last invalidation of any of `tags`; 0 is none.
pub(crate) fn last_invalidated(tags: &[TagCell]) -> Serial {
    tags.iter().map(|tag| tag.load(Acquire)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_nobody_bears_are_forgotten_and_what_they_condemned_stays_dead() {
        let tags = Tags::new();
        let kept = tags.cells(&["kept".into()]);
        tags.invalidate("gone", 500);
        for n in 0..100_000u64 {
            tags.cells(&[n.to_string().into()]);
        }
        assert!(tags.len() <= LEAST, "{} tags for one that is borne", tags.len());
        // A load numbered 400 that brings the forgotten tag began before it was invalidated.
        assert!(last_invalidated(&tags.cells(&["gone".into()])) >= 500);
        assert_eq!(last_invalidated(&kept), 0);
        tags.invalidate("kept", 600);
        assert_eq!(last_invalidated(&kept), 600);
    }
}
