use hook_monitor::Clock;

use super::*;

/// What happens to a shelf that may hold two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
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
type Levels = (usize, usize, usize, usize);

struct Bench {
    shelves: Shelves<(), u8, &'static str>,
    now: Instant,
    #[expect(clippy::vec_box, reason = "a connection is in a box from birth on")]
    out: Vec<Box<Entry<u8>>>,
    places: Vec<usize>,
    dials: Vec<(usize, u64)>,
    probes: usize,
    told: Vec<&'static str>,
}

type After = Aftermath<(), u8, &'static str>;

impl Bench {
    fn new(max: usize) -> Self {
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
        }
    }

    /// In the state that is described, by the shortest way there.
    fn at(levels: Levels) -> Self {
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

    fn start(&mut self, after: &mut After) {
        if let Some(start) = self.shelves.start(0, self.now, after) {
            match start.work {
                Work::Dials(dials) => self
                    .dials
                    .extend(dials.into_iter().map(|dial| (dial, start.generation))),
                Work::Probe { .. } => self.probes += 1,
            }
        }
    }

    fn next(&mut self, next: Option<Next>) {
        match next {
            Some(Next::Dial { dial, generation }) => self.dials.push((dial, generation)),
            Some(Next::Probe { .. }) => self.probes += 1,
            None => {}
        }
    }

    fn step(&mut self, event: Event) {
        let after = &mut After::new();
        let now = self.now;
        let key = Arc::new(());
        match event {
            Ask => {
                let id = self.shelves.find_or_add(&key, after).expect("one key");
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
                match self.shelves.rest(entry, Some(now)) {
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
                let (dial, generation) = self.dials.remove(0);
                let cause = Cause::Error(Arc::new("refused"));
                let next = self.shelves.failed(0, dial, generation, cause, now, after);
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
    fn look(&mut self, after: &mut After) {
        let now = self.now;
        let mut left = Vec::new();
        for place in std::mem::take(&mut self.places) {
            match self.shelves.pick_up(0, place, &mut None, now, None) {
                Some(Grant::Connection(entry)) => self.out.push(entry),
                Some(Grant::Failed(Cause::Error(err), _)) => self.told.push(*err),
                Some(_) => {}
                None => {
                    left.push(place);
                    self.start(after);
                }
            }
        }
        self.places = left;
    }

    fn levels(&self) -> Levels {
        let levels = self.shelves.levels();
        assert_eq!(levels.idle + levels.used + levels.connecting, self.shelves.total);
        assert_eq!(levels.connecting, self.dials.len());
        (levels.idle, levels.used, levels.connecting, levels.waiting)
    }
}

fn entry(now: Instant, generation: u64) -> Entry<u8> {
    Entry {
        inner: 1,
        shelf: 0,
        generation,
        born: now,
        retire_at: None,
        broken: false,
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

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    for (from, event, to) in [
        // Nothing there.
        ((0, 0, 0, 0), Ask, (0, 0, 1, 1)),
        ((0, 0, 0, 0), Close, (0, 0, 0, 0)),
        ((0, 0, 0, 0), Reset, (0, 0, 0, 0)),
        // One of two, in each of its states.
        ((1, 0, 0, 0), Ask, (0, 1, 0, 0)),
        ((1, 0, 0, 0), Reset, (0, 0, 0, 0)),
        ((1, 0, 0, 0), Shrink, (1, 0, 0, 0)),
        ((1, 0, 0, 0), Close, (0, 0, 0, 0)),
        ((0, 1, 0, 0), Ask, (0, 1, 1, 1)),
        ((0, 1, 0, 0), GiveBack, (1, 0, 0, 0)),
        ((0, 1, 0, 0), Break, (0, 0, 0, 0)),
        ((0, 1, 0, 0), Reset, (0, 1, 0, 0)),
        ((0, 1, 0, 0), Close, (0, 1, 0, 0)),
        // A connect that nobody waits for any more: it goes on, and nothing is begun beside it or after it.
        ((0, 0, 1, 0), Ask, (0, 0, 1, 1)),
        ((0, 0, 1, 0), Fill, (1, 0, 0, 0)),
        ((0, 0, 1, 0), Fail, (0, 0, 0, 0)),
        ((0, 0, 1, 0), DropDial, (0, 0, 0, 0)),
        ((0, 0, 1, 0), Close, (0, 0, 0, 0)),
        // A connect that somebody waits for. A failure is told to whom nothing else can serve.
        ((0, 0, 1, 1), Ask, (0, 0, 2, 2)),
        ((0, 0, 1, 1), Fill, (0, 1, 0, 0)),
        ((0, 0, 1, 1), Fail, (0, 0, 0, 0)),
        ((0, 0, 1, 1), DropDial, (0, 0, 0, 1)),
        ((0, 0, 1, 1), Leave, (0, 0, 1, 0)),
        ((0, 0, 1, 1), Close, (0, 0, 0, 0)),
        ((0, 1, 1, 1), Fill, (0, 2, 0, 0)),
        ((0, 1, 1, 1), Fail, (0, 1, 0, 1)),
        ((0, 1, 1, 1), GiveBack, (0, 1, 1, 0)),
        ((0, 1, 1, 1), Break, (0, 0, 1, 1)),
        ((0, 1, 1, 1), Leave, (0, 1, 1, 0)),
        ((0, 1, 1, 0), GiveBack, (1, 0, 1, 0)),
        ((0, 1, 1, 0), Shrink, (0, 1, 1, 0)),
        // Two of two.
        ((2, 0, 0, 0), Ask, (1, 1, 0, 0)),
        ((2, 0, 0, 0), Shrink, (1, 0, 0, 0)),
        ((1, 1, 0, 0), Ask, (0, 2, 0, 0)),
        ((1, 1, 0, 0), GiveBack, (2, 0, 0, 0)),
        ((1, 1, 0, 0), Shrink, (0, 1, 0, 0)),
        ((1, 1, 0, 0), Reset, (0, 1, 0, 0)),
        ((1, 1, 0, 0), Close, (0, 1, 0, 0)),
        ((0, 2, 0, 0), Ask, (0, 2, 0, 1)),
        ((0, 2, 0, 0), Shrink, (0, 2, 0, 0)),
        // One place in line without a connect, and that is taken.
        ((0, 2, 0, 1), Ask, (0, 2, 0, 1)),
        ((0, 2, 0, 1), GiveBack, (0, 2, 0, 0)),
        ((0, 2, 0, 1), Break, (0, 1, 0, 1)),
        ((0, 2, 0, 1), Leave, (0, 2, 0, 0)),
        ((0, 2, 0, 1), Shrink, (0, 2, 0, 1)),
        ((0, 2, 0, 1), Close, (0, 2, 0, 0)),
        ((0, 0, 2, 2), Fill, (0, 1, 1, 1)),
        ((0, 0, 2, 2), Fail, (0, 0, 1, 2)),
        ((0, 0, 2, 2), Leave, (0, 0, 2, 1)),
    ] {
        let mut bench = Bench::at(from);
        bench.step(event);
        assert_eq!(bench.levels(), to, "{from:?} {event:?}");
    }
}

#[test]
fn whoever_leaves_after_being_served_passes_it_on() {
    for (event, to) in [(GiveBack, (1, 1, 0, 0)), (Close, (0, 2, 0, 0))] {
        let mut bench = Bench::at((0, 2, 0, 1));
        bench.step(event);
        bench.step(Leave);
        assert_eq!(bench.levels(), to, "{event:?}");
    }
}

#[test]
fn a_slot_that_comes_free_is_for_whoever_looks_first_and_nobody_twice() {
    let mut bench = Bench::at((0, 2, 0, 1));
    bench.step(Break);
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 1, 1));
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 1, 1));
}

#[test]
fn what_comes_back_is_more_than_there_may_be_once_the_limit_is_lower() {
    let mut bench = Bench::at((0, 2, 0, 0));
    bench.step(Shrink);
    bench.step(GiveBack);
    assert_eq!(bench.levels(), (0, 1, 0, 0));
    bench.step(GiveBack);
    assert_eq!(bench.levels(), (1, 0, 0, 0));
}

#[test]
fn what_was_opened_for_another_generation_is_not_lent() {
    let mut bench = Bench::at((0, 1, 1, 1));
    bench.step(Reset);
    bench.step(Fill);
    // It is tried again, and now with what is right now.
    assert_eq!(bench.levels(), (0, 1, 1, 1));
    bench.step(GiveBack);
    bench.step(Fill);
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 0, 0));
    assert_eq!(bench.shelves.counts.closed[Closing::Reset as usize], 2);
}

#[test]
fn after_a_failure_one_tries_and_each_round_that_succeeds_doubles_that() {
    let mut bench = Bench::new(16);
    bench.shelves.limits.max_waiting = 64;
    bench.shelves.limits.max_connecting = 8;
    bench.step(Ask);
    bench.step(Fill);
    bench.step(Look);
    for _ in 0..15 {
        bench.step(Ask);
    }
    assert_eq!(bench.levels(), (0, 1, 8, 15));
    (0..8).for_each(|_| bench.step(Fail));
    // One is in use and may come back, so nobody is told yet; one task waits to try again.
    assert_eq!((bench.levels(), bench.probes), ((0, 1, 0, 15), 1));
    bench.step(Look);
    assert_eq!((bench.levels(), bench.probes), ((0, 1, 0, 15), 1));
    let trouble = bench.shelves.shelf(0).trouble.as_ref().expect("it failed");
    assert_eq!(
        trouble.failures, 1,
        "eight that were under way together are one failure"
    );
    assert!(trouble.retry_at - bench.now <= Duration::from_millis(50));
    assert!(trouble.retry_at - bench.now >= Duration::from_millis(25));

    bench.now = trouble.retry_at;
    let next = bench.shelves.probe(0, bench.now, &mut After::new());
    bench.next(next);
    for under_way in [1, 2, 4, 8] {
        bench.step(Look);
        let left = bench.levels().3;
        assert_eq!(bench.levels().2, under_way.min(left), "{left} wait");
        (0..under_way.min(left)).for_each(|_| bench.step(Fill));
    }
    assert_eq!(bench.levels(), (0, 16, 0, 0));
    assert!(bench.told.is_empty());
}

#[test]
fn whoever_asks_before_it_is_tried_again_is_told_and_the_wait_doubles() {
    let mut bench = Bench::new(1);
    let mut waited = Duration::ZERO;
    for failures in 1..=10 {
        bench.step(Ask);
        bench.step(Fail);
        assert_eq!(bench.told.len(), 2 * failures - 1);
        bench.step(Ask);
        assert_eq!(bench.told.len(), 2 * failures);
        let retry_at = bench
            .shelves
            .shelf(0)
            .trouble
            .as_ref()
            .expect("it failed")
            .retry_at;
        let whole = Duration::from_millis(50 << (failures - 1)).min(Duration::from_secs(5));
        waited = retry_at - bench.now;
        assert!(
            waited <= whole && waited >= whole / 2,
            "{waited:?} after {failures}"
        );
        bench.now = retry_at;
    }
    assert!(waited >= Duration::from_millis(2_500));
    bench.step(Ask);
    bench.step(Fill);
    bench.step(Look);
    assert_eq!(bench.levels(), (0, 1, 0, 0));
    assert!(bench.shelves.shelf(0).trouble.is_none());
}

#[test]
fn a_failure_is_told_to_those_in_line_as_soon_as_nothing_in_use_can_come_back() {
    let mut bench = Bench::at((0, 1, 1, 1));
    bench.step(Fail);
    assert_eq!(
        (bench.levels(), bench.told.len(), bench.probes),
        ((0, 1, 0, 1), 0, 1)
    );
    bench.step(Break);
    bench.step(Look);
    assert_eq!((bench.levels(), bench.told.len()), ((0, 0, 0, 0), 1));
}
