use std::{
    mem::ManuallyDrop,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hook_monitor::{Keep, Room, Tenant, Visit};

use crate::{
    failure::Failure,
    rules::Plan,
    session::End,
    stats::{DROPPED, FAILED, SUCCESSFUL, Stats, WITH_RETRY},
};

/// What a layer, its services and its handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    /// Also in the cell, where calls find it that have outlived the rest.
    pub(crate) plan: Plan,
    cell: Tenant<Cell>,
}

/// What calls hold on to, for nothing but a count at the beginning and one at the end.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub(crate) stats: Stats,
    slow: Mutex<Slow>,
}

pub(crate) type Hold = Visit<Cell>;

/// A call that has not ended yet, and is counted when it does.
#[derive(Debug)]
pub(crate) struct Call {
    /// Ended by hand, so that a future which has ended has but this word to look at when it is dropped.
    hold: Option<ManuallyDrop<Hold>>,
}

/// What only a failed attempt looks at.
#[derive(Debug, Default)]
struct Slow {
    plan: Plan,
    last: Last,
}

/// The latest failures, in a ring.
#[derive(Debug, Default)]
struct Last {
    failures: [Option<Failure>; Last::KEPT],
    next: usize,
}

static CELLS: Keep<Cell> = Keep::new();

impl Shared {
    pub(crate) fn new(name: String, plan: Plan) -> Arc<Self> {
        let cell = CELLS.take(Cell::default, |cell| cell.stats.clear());
        // What an earlier tenant left goes here, and not under the lock of the cell.
        let old = std::mem::replace(
            &mut *cell.slow(),
            Slow {
                plan: plan.clone(),
                last: Last::default(),
            },
        );
        drop(old);
        if let Some(budget) = &plan.budget {
            budget.attach(cell.visit());
        }
        Arc::new(Self { name, plan, cell })
    }

    #[inline]
    pub(crate) fn call(&self) -> Call {
        Call {
            hold: Some(ManuallyDrop::new(self.cell.visit())),
        }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.cell.stats
    }

    /// The latest failures, the last one first.
    pub(crate) fn last_failures(&self) -> Vec<Failure> {
        let slow = self.cell.slow();
        let Last { failures, next } = &slow.last;
        let (newer, older) = failures.split_at(*next);
        newer
            .iter()
            .rev()
            .chain(older.iter().rev())
            .flatten()
            .copied()
            .collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(budget) = &self.plan.budget {
            budget.detach(&self.cell);
        }
    }
}

impl Room for Cell {
    #[inline]
    fn begin(&self) {
        self.stats.began();
    }

    fn end(&self) {
        self.stats.ended(DROPPED);
    }

    fn visits(&self) -> u64 {
        self.stats.under_way()
    }
}

impl Cell {
    /// The plan, after noting a failure by the way.
    pub(crate) fn after(&self, failure: Failure) -> Plan {
        let mut slow = self.slow();
        slow.last.push(failure);
        slow.plan.clone()
    }

    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    const KEPT: usize = 8;

    fn push(&mut self, failure: Failure) {
        self.failures[self.next] = Some(failure);
        self.next = (self.next + 1) % Self::KEPT;
    }
}

impl Call {
    /// It went well. At once is how most calls do: in line, and with nothing in it of the others.
    #[inline(always)]
    pub(crate) fn succeeded(&mut self, attempts: u32) {
        if attempts != 1 {
            return self.ended(SUCCESSFUL, attempts);
        }
        if let Some(hold) = self.hold.take() {
            ManuallyDrop::into_inner(hold).end_with(|cell| cell.stats.ended(SUCCESSFUL));
        }
    }

    /// It did not.
    pub(crate) fn failed(&mut self, attempts: u32, end: End) {
        if let Some(hold) = &self.hold {
            hold.stats.gave_up(end);
        }
        self.ended(FAILED, attempts);
    }

    /// What it holds on to, until it has ended.
    pub(crate) fn cell(&self) -> Option<&Cell> {
        self.hold.as_ref().map(|hold| &***hold)
    }

    #[cold]
    #[inline(never)]
    fn ended(&mut self, way: usize, attempts: u32) {
        if let Some(hold) = self.hold.take() {
            ManuallyDrop::into_inner(hold).end_with(|cell| {
                if attempts == 1 {
                    cell.stats.ended(way);
                } else {
                    cell.stats.took(attempts);
                    cell.stats.ended(way + WITH_RETRY);
                }
            });
        }
    }

    #[cold]
    #[inline(never)]
    fn dropped(&mut self) {
        if let Some(hold) = self.hold.take() {
            drop(ManuallyDrop::into_inner(hold));
        }
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.dropped();
        }
    }
}
