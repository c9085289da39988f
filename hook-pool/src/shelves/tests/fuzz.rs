//! Random histories of a few keys that share a small total. Nobody looks at the line again unless woken, so that a
//! wake-up that gets lost leaves somebody standing there at the end, when everything has come back.

use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::Wake,
};

use super::*;

type Pool = Shelves<u8, u8, &'static str>;
type After = Aftermath<u8, u8, &'static str>;

/// Whether somebody was woken, and has not looked since.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

impl Flag {
    fn waker(self: &Arc<Self>) -> Option<Waker> {
        Some(self.clone().into())
    }

    fn lower(&self) -> bool {
        self.0.swap(false, SeqCst)
    }
}

struct Waits {
    shelf: usize,
    place: usize,
    flag: Arc<Flag>,
}

struct Probes {
    shelf: usize,
    at: Instant,
    flag: Arc<Flag>,
}

struct World {
    pool: Pool,
    now: Instant,
    dice: Dice,
    #[expect(clippy::vec_box, reason = "a connection is in a box from birth on")]
    out: Vec<Box<Entry<u8>>>,
    waits: Vec<Waits>,
    dials: Vec<(usize, usize, u64)>,
    probes: Vec<Probes>,
    max: usize,
    max_total: usize,
    /// Whether the limits were lowered in this history: then there may be too many for a while.
    lowered: bool,
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }
}

impl World {
    fn new(seed: u64, now: Instant) -> Self {
        let mut dice = Dice(seed);
        let (max, max_total) = (2, 2 + dice.below(3));
        let limits = Limits {
            max_total,
            max_connecting: 1 + dice.below(3),
            max_waiting: [0, 1, 64][dice.below(3)],
            idle_timeout: None,
            ..Limits::new(max)
        };
        Self {
            pool: Shelves::new(limits, now),
            now,
            dice,
            out: Vec::new(),
            waits: Vec::new(),
            dials: Vec::new(),
            probes: Vec::new(),
            max,
            max_total,
            lowered: false,
        }
    }

    /// One step of the pool, and what follows from it.
    fn step<R>(&mut self, step: impl FnOnce(&mut Pool, Instant, &mut After) -> R) -> R {
        let mut after = After::new();
        let result = step(&mut self.pool, self.now, &mut after);
        after.happen();
        result
    }

    fn begin(&mut self, start: Option<Start>) {
        let Some(start) = start else { return };
        match start.work {
            Work::Dials(dials) => {
                let dials = dials.into_iter();
                self.dials
                    .extend(dials.map(|dial| (start.shelf, dial, start.generation)));
            }
            Work::Probe { at } => self.probe(start.shelf, at),
        }
    }

    fn next(&mut self, shelf: usize, next: Option<Next>) {
        match next {
            Some(Next::Dial { dial, generation }) => self.dials.push((shelf, dial, generation)),
            Some(Next::Probe { at }) => self.probe(shelf, at),
            None => {}
        }
    }

    fn probe(&mut self, shelf: usize, at: Instant) {
        let flag = Arc::new(Flag::default());
        self.pool.shelf(shelf).prober = Some(flag.waker());
        self.probes.push(Probes { shelf, at, flag });
    }

    fn ask(&mut self) {
        let key = Arc::new(self.dice.below(4) as u8);
        let flag = Arc::new(Flag::default());
        let mut waker = flag.waker();
        let asked = self.step(|pool, now, after| {
            let id = pool.find_or_add(&key, after).expect("there may be more keys");
            let turn = pool.ask(id, now, None, false, &mut waker, after);
            let start = pool.start_for(&turn, id, now, after);
            (id, turn, start)
        });
        let (shelf, turn, start) = asked;
        match turn {
            Turn::Connection(entry) => self.out.push(entry),
            Turn::Wait(place) => self.waits.push(Waits { shelf, place, flag }),
            _ => {}
        }
        self.begin(start);
    }

    /// Whoever was woken looks.
    fn look(&mut self) {
        let mut at = 0;
        while at < self.waits.len() {
            let Waits { shelf, place, flag } = &self.waits[at];
            let (shelf, place, woken) = (*shelf, *place, flag.lower());
            if !woken {
                at += 1;
                continue;
            }
            let mut waker = self.waits[at].flag.waker();
            let (grant, start) = self.step(|pool, now, after| {
                let grant = pool.pick_up(shelf, place, &mut waker, now, None);
                let start = match grant {
                    Some(_) => None,
                    None => pool.start(shelf, now, after),
                };
                (grant, start)
            });
            let begun = start.is_some();
            self.begin(start);
            match grant {
                Some(Grant::Connection(entry)) => self.out.push(entry),
                Some(_) => {}
                // Whoever has begun something looks once more.
                None if begun => {
                    self.waits[at].flag.0.store(true, SeqCst);
                    continue;
                }
                None => {
                    at += 1;
                    continue;
                }
            }
            self.waits.remove(at);
        }
    }

    fn give_back(&mut self, at: usize) {
        let entry = self.out.swap_remove(at);
        let id = entry.shelf;
        let now = self.now;
        let Err(entry) = self.pool.rest(entry, Some(now)) else {
            return;
        };
        let closing = self.step(|pool, now, after| pool.give_back(entry, Some(now), after));
        if let Some((_, why)) = closing {
            self.forget(id, why);
        }
    }

    fn forget(&mut self, id: usize, why: Closing) {
        self.step(|pool, _, after| pool.forget_used(id, None, Some(why), after));
    }

    fn leave(&mut self, at: usize) {
        let Waits { shelf, place, .. } = self.waits.swap_remove(at);
        let closing = self.step(|pool, _, after| pool.abandon(shelf, place, &mut None, after));
        if let Some((entry, why)) = closing {
            self.forget(entry.shelf, why);
        }
    }

    fn fill(&mut self, at: usize) {
        let (shelf, dial, generation) = self.dials.swap_remove(at);
        let mut entry = Box::new(entry(self.now, generation));
        entry.shelf = shelf;
        let (_, next) = self.step(|pool, now, after| pool.filled(dial, entry, now, after));
        self.next(shelf, next);
    }

    fn fail(&mut self, at: usize) {
        let (shelf, dial, generation) = self.dials.swap_remove(at);
        let cause = Cause::Error(Arc::new("refused"));
        let next = self.step(|pool, now, after| pool.failed(shelf, (dial, generation), cause, now, after));
        self.next(shelf, next);
    }

    fn drop_dial(&mut self, at: usize) {
        let (shelf, dial, _) = self.dials.swap_remove(at);
        self.step(|pool, _, after| pool.dropped(shelf, dial, after));
    }

    /// Those whose time has come try again, and those that need not wait for it.
    fn try_again(&mut self) {
        while let Some(at) = self
            .probes
            .iter()
            .position(|probe| probe.at <= self.now || probe.flag.lower())
        {
            let Probes { shelf, .. } = self.probes.swap_remove(at);
            let next = self.step(|pool, now, after| pool.probe(shelf, now, after));
            self.next(shelf, next);
        }
    }

    fn resize(&mut self) {
        let (max, max_total) = (1 + self.dice.below(2), 2 + self.dice.below(3));
        self.lowered |= max < self.max || max_total < self.max_total;
        (self.max, self.max_total) = (max, max_total);
        self.step(|pool, _, after| pool.resize(Some(max), Some(max_total), after));
    }

    /// Something happens.
    fn go_on(&mut self) {
        let event = self.dice.below(64);
        let pick = |dice: &mut Dice, n: usize| (n > 0).then(|| dice.below(n));
        let (out, waits, dials) = (self.out.len(), self.waits.len(), self.dials.len());
        match event {
            0..=17 => self.ask(),
            18..=29 => {
                if let Some(at) = pick(&mut self.dice, out) {
                    self.give_back(at);
                }
            }
            30..=33 => {
                if let Some(at) = pick(&mut self.dice, out) {
                    let entry = self.out.swap_remove(at);
                    self.forget(entry.shelf, Closing::Broken);
                }
            }
            34..=38 => {
                if let Some(at) = pick(&mut self.dice, waits) {
                    self.leave(at);
                }
            }
            39..=46 => {
                if let Some(at) = pick(&mut self.dice, dials) {
                    self.fill(at);
                }
            }
            47..=50 => {
                if let Some(at) = pick(&mut self.dice, dials) {
                    self.fail(at);
                }
            }
            51 => {
                if let Some(at) = pick(&mut self.dice, dials) {
                    self.drop_dial(at);
                }
            }
            52..=54 => {
                self.now += Duration::from_millis(self.dice.below(40) as u64);
                self.try_again();
            }
            55 => self.step(|pool, _, after| pool.reset(after)),
            56 => self.resize(),
            _ => self.look(),
        }
    }

    /// Everything that is out comes back and every connect succeeds, until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            self.look();
            self.try_again();
            if !self.dials.is_empty() {
                self.fill(0);
            } else if !self.out.is_empty() {
                self.give_back(0);
            } else if !self.probes.is_empty() {
                self.now += Duration::from_secs(10);
            } else if !self.waits.iter().any(|waits| waits.flag.0.load(SeqCst)) {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn check(&self) {
        let levels = self.pool.levels();
        assert_eq!(levels.idle + levels.used + levels.connecting, self.pool.total);
        assert_eq!(levels.connecting, self.dials.len());
        assert!(
            self.lowered || self.pool.total <= self.max_total,
            "too many in all"
        );
        for id in self.pool.shelves.numbers() {
            if let Some(Labelled { shelf, .. }) = self.pool.shelves.get(id) {
                assert!(self.lowered || shelf.size() <= self.max, "too many of one key");
                assert!(
                    shelf.waiting() == 0 || shelf.idle.is_empty(),
                    "one idle, one waits"
                );
            }
        }
    }
}

#[test]
fn no_wake_up_is_lost_among_keys_that_share_a_total() {
    let begun = Instant::now();
    let mut stuck = Vec::new();
    for seed in 0..20_000 {
        let mut world = World::new(seed, begun);
        for _ in 0..20 + world.dice.below(60) {
            world.go_on();
            world.check();
        }
        world.settle();
        world.check();
        assert!(
            world.out.is_empty() && world.pool.levels().used == 0,
            "seed {seed}"
        );
        if !world.waits.is_empty() {
            stuck.push(seed);
        }
    }
    assert!(stuck.is_empty(), "{} are stuck: {stuck:?}", stuck.len());
}
