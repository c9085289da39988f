//! A shelf that goes through its states by hand.

use super::*;

/// What happens to a shelf that may hold two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Ask,
    GiveBack,
    /// A used connection is thrown away.
    Break,
    /// A connect succeeds; its task does what comes next.
    Fill,
    /// A connect fails; its task does what comes next.
    Fail,
    /// The task of a connect is dropped.
    DropDial,
    /// The first waiter goes, served or not, and passes on what it was given.
    Leave,
    /// Whoever was woken looks.
    Look,
    Reset,
    Shrink,
    Close,
}

use Event::{Ask, Break, Close, DropDial, Fail, Fill, GiveBack, Leave, Look, Reset, Shrink};

/// Idle, used, connecting, in line.
pub(super) type Levels = (usize, usize, usize, usize);

pub(super) struct Bench {
    pub(super) shelves: Shelves<(), u8, &'static str>,
    pub(super) now: Instant,
    #[expect(clippy::vec_box, reason = "a connection is in a box from birth on")]
    pub(super) out: Vec<Box<Entry<u8>>>,
    pub(super) places: Vec<usize>,
    pub(super) dials: Vec<(usize, u64)>,
    pub(super) probes: usize,
    pub(super) told: Vec<&'static str>,
    /// The short ways are tried first, which must lead to where the long ones do.
    pub(super) short: bool,
}

pub(super) type After = Aftermath<(), u8, &'static str>;

impl Bench {
    pub(super) fn new(max: usize) -> Self {
        let now = Instant::now();
        let limits = Limits {
            max_waiting: 1,
            idle_timeout: None,
            ..Limits::new(max)
        };
        Self {
            shelves: Shelves::new(limits, now),
            now,
            out: Vec::new(),
            places: Vec::new(),
            dials: Vec::new(),
            probes: 0,
            told: Vec::new(),
            short: false,
        }
    }

    /// In the state that is described, by the shortest way there.
    pub(super) fn at(levels: Levels) -> Self {
        let mut bench = Self::new(2);
        let (idle, used, connecting, waiting) = levels;
        for _ in 0..idle + used {
            bench.step(Ask);
            bench.step(Fill);
            bench.step(Look);
        }
        // Whoever asks is in line while a connect is under way for it.
        let leave = connecting.saturating_sub(waiting);
        (0..connecting.max(waiting)).for_each(|_| bench.step(Ask));
        (0..leave).for_each(|_| bench.step(Leave));
        (0..idle).for_each(|_| bench.step(GiveBack));
        assert_eq!(bench.levels(), levels, "a state that can be had");
        bench
    }

    pub(super) fn start(&mut self, after: &mut After) {
        if let Some(start) = self.shelves.start(0, self.now, after) {
            match start.work {
                Work::Dials(dials) => self
                    .dials
                    .extend(dials.into_iter().map(|dial| (dial, start.generation))),
                Work::Probe { .. } => self.probes += 1,
            }
        }
    }

    pub(super) fn next(&mut self, next: Option<Next>) {
        match next {
            Some(Next::Dial { dial, generation }) => self.dials.push((dial, generation)),
            Some(Next::Probe { .. }) => self.probes += 1,
            None => {}
        }
    }

    pub(super) fn step(&mut self, event: Event) {
        let after = &mut After::new();
        let now = self.now;
        let key = Arc::new(());
        match event {
            Ask => {
                let id = self.shelves.find_or_add(&key, after).expect("one key");
                if self.short {
                    if let Ok((_, place, _)) = self.shelves.queue_up(&key, now, Waker::noop().clone()) {
                        self.places.push(place);
                        return;
                    }
                }
                match self.shelves.ask(id, now, None, false, &mut None, after) {
                    Turn::Connection(entry) => self.out.push(entry),
                    Turn::Wait(place) => {
                        self.places.push(place);
                        self.start(after);
                    }
                    Turn::Failed(Cause::Error(err), _) => self.told.push(*err),
                    _ => {}
                }
            }
            GiveBack => {
                let entry = self.out.pop().expect("one is out");
                let id = entry.shelf;
                let back = match self.short {
                    true => self.shelves.hand_on(entry, Some(now)).map(|_| ()),
                    false => Err(entry),
                };
                match back.or_else(|entry| self.shelves.rest(entry, Some(now))) {
                    Ok(()) => {}
                    Err(entry) => {
                        if let Some((_, why)) = self.shelves.give_back(entry, Some(now), after) {
                            self.shelves.forget_used(id, None, Some(why), after);
                        }
                    }
                }
            }
            Break => {
                let entry = self.out.pop().expect("one is out");
                self.shelves
                    .forget_used(entry.shelf, None, Some(Closing::Broken), after);
            }
            Fill => {
                let (dial, generation) = self.dials.remove(0);
                let entry = Box::new(entry(now, generation));
                let (_, next) = self.shelves.filled(dial, entry, now, after);
                self.next(next);
            }
            Fail => {
                let dial = self.dials.remove(0);
                let cause = Cause::Error(Arc::new("refused"));
                let next = self.shelves.failed(0, dial, cause, now, after);
                self.next(next);
                self.look(after);
            }
            DropDial => {
                let (dial, _) = self.dials.remove(0);
                self.shelves.dropped(0, dial, after);
            }
            Leave => {
                let place = self.places.remove(0);
                if let Some((entry, why)) = self.shelves.abandon(0, place, &mut None, after) {
                    self.shelves.forget_used(entry.shelf, None, Some(why), after);
                }
            }
            Look => self.look(after),
            Reset => self.shelves.reset(after),
            Shrink => self.shelves.resize(Some(1), None, after),
            Close => {
                self.shelves.close(after);
                // The tasks of connects see that.
                for (dial, _) in std::mem::take(&mut self.dials) {
                    self.shelves.dropped(0, dial, after);
                }
            }
        }
    }

    /// Everybody in line looks.
    pub(super) fn look(&mut self, after: &mut After) {
        let now = self.now;
        let mut left = Vec::new();
        for place in std::mem::take(&mut self.places) {
            match self.shelves.pick_up(0, place, &mut None, now, None) {
                Some(Grant::Connection(entry)) => self.out.push(entry),
                Some(Grant::Failed(failed)) => {
                    if let Cause::Error(err) = failed.0 {
                        self.told.push(*err);
                    }
                }
                Some(_) => {}
                None => {
                    left.push(place);
                    self.start(after);
                }
            }
        }
        self.places = left;
    }

    pub(super) fn levels(&self) -> Levels {
        let levels = self.shelves.levels();
        assert_eq!(levels.idle + levels.used + levels.connecting, self.shelves.total);
        assert_eq!(levels.connecting, self.dials.len());
        (levels.idle, levels.used, levels.connecting, levels.waiting)
    }
}

pub(super) fn entry(now: Instant, generation: u64) -> Entry<u8> {
    Entry {
        inner: 1,
        home: None,
        shelf: 0,
        generation,
        born: now,
        retire_at: None,
        broken: false,
        rested: false,
        uses: 0,
        idle_since: now,
        good_at: now,
        taken_at: now,
        fresh_until: None,
        weight: 0,
        watched: None,
        place: None,
        clock: Clock::tokio(),
    }
}
