//! Random operations against a cache and against a naive map with a clock, which must agree at every step.
//!
//! The capacity is never reached, so that the model need not know what is evicted; `capacity.rs` is about that.
#![cfg(not(loom))]

use std::{
    collections::{BTreeMap, BTreeSet},
    future::ready,
    time::Duration,
};

use futures::FutureExt;
use hook_cache::ResultCache;
use tokio::time::advance;

const KEYS: u64 = 8;
const TAGS: [&str; 3] = ["red", "green", "blue"];
const TTL: u64 = 10;

/// The same numbers in every run; a failure names the seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What is allowed, and how it is told.
#[derive(Clone, Copy, Debug)]
struct Rules {
    idle: Option<u64>,
    if_error: u64,
    negative: u64,
    backoff: u64,
}

struct Entry {
    value: u64,
    fresh_until: u64,
    touched: u64,
    tags: BTreeSet<&'static str>,
    /// Not loaded again before, after it failed.
    spared_until: u64,
}

struct Model {
    rules: Rules,
    now: u64,
    entries: BTreeMap<u64, Entry>,
    errors: BTreeMap<u64, u64>,
}

impl Model {
    fn is_idle(&self, entry: &Entry) -> bool {
        self.rules
            .idle
            .is_some_and(|idle| self.now >= entry.touched + idle)
    }

    fn fresh(&self, key: u64) -> Option<&Entry> {
        let entry = self.entries.get(&key)?;
        (self.now < entry.fresh_until && !self.is_idle(entry)).then_some(entry)
    }

    fn get(&mut self, key: u64) -> Option<u64> {
        let value = self.fresh(key)?.value;
        let now = self.now;
        self.entries.get_mut(&key)?.touched = now;
        Some(value)
    }

    fn insert(&mut self, key: u64, value: u64, ttl: u64, tags: BTreeSet<&'static str>) {
        self.errors.remove(&key);
        let entry = Entry {
            value,
            fresh_until: self.now + ttl,
            touched: self.now,
            tags,
            spared_until: 0,
        };
        self.entries.insert(key, entry);
    }

    /// What `get_or_load_shared` does with a load that ends at once.
    fn load(&mut self, key: u64, result: Result<u64, &'static str>) -> Result<u64, &'static str> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let (now, rules) = (self.now, self.rules);
        let idle = self.entries.get(&key).is_some_and(|entry| self.is_idle(entry));
        let spare = self
            .entries
            .get_mut(&key)
            .filter(|entry| !idle && now < entry.fresh_until + rules.if_error);
        if let Some(entry) = &spare {
            if now < entry.spared_until {
                return Ok(entry.value);
            }
        }
        if self.errors.get(&key).is_some_and(|until| now < *until) {
            return Err("down");
        }
        match (result, spare) {
            (Ok(value), _) => {
                self.insert(key, value, TTL, BTreeSet::new());
                Ok(value)
            }
            (Err(_), Some(entry)) => {
                entry.spared_until = now + rules.backoff;
                Ok(entry.value)
            }
            (Err(error), None) => {
                self.errors.insert(key, now + rules.negative);
                Err(error)
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cache_does_what_a_naive_map_with_a_clock_does() {
    for seed in 0..400 {
        let mut numbers = Numbers(seed);
        let rules = Rules {
            idle: (seed % 3 == 0).then_some(6),
            if_error: [0, 7][(seed / 3 % 2) as usize],
            negative: [0, 4][(seed / 6 % 2) as usize],
            backoff: 2,
        };
        run(seed, rules, &mut numbers).await;
    }
}

async fn run(seed: u64, rules: Rules, numbers: &mut Numbers) {
    let secs = Duration::from_secs;
    let mut builder = ResultCache::builder()
        .capacity(1_000)
        .ttl(secs(TTL))
        .stale_if_error(secs(rules.if_error))
        .remember_errors(secs(rules.negative))
        .backoff(secs(rules.backoff));
    if let Some(idle) = rules.idle {
        builder = builder.time_to_idle(secs(idle));
    }
    let cache: ResultCache<u64, u64> = builder.build();
    let mut model = Model {
        rules,
        now: 0,
        entries: BTreeMap::new(),
        errors: BTreeMap::new(),
    };
    for step in 0..300 {
        let key = numbers.below(KEYS);
        let value = step;
        let context = format!("seed {seed}, step {step}, key {key}, {rules:?}");
        match numbers.below(16) {
            0..=3 => assert_eq!(cache.get(&key), model.get(key), "get: {context}"),
            4 => {
                cache.insert(key, value);
                model.insert(key, value, TTL, BTreeSet::new());
            }
            5 => {
                let ttl = numbers.below(2 * TTL);
                cache.insert_with_ttl(key, value, secs(ttl));
                model.insert(key, value, ttl, BTreeSet::new());
            }
            6 | 7 => {
                let tags: BTreeSet<_> = TAGS.into_iter().filter(|_| numbers.below(2) == 0).collect();
                cache.insert_tagged(key, value, tags.iter().copied());
                model.insert(key, value, TTL, tags);
            }
            8 => {
                let live = model.fresh(key).is_some();
                let stale = model.entries.get(&key).is_some_and(|entry| {
                    !model.is_idle(entry) && model.now < entry.fresh_until + rules.if_error
                });
                assert_eq!(cache.invalidate(&key), live || stale, "invalidate: {context}");
                model.entries.remove(&key);
                model.errors.remove(&key);
            }
            9 => {
                let tag = TAGS[numbers.below(3) as usize];
                cache.invalidate_tag(tag);
                model.entries.retain(|_, entry| !entry.tags.contains(tag));
                model.errors.clear();
            }
            10 => {
                let odd = numbers.below(2);
                cache.invalidate_if(|_, value| value % 2 == odd);
                model.entries.retain(|_, entry| entry.value % 2 != odd);
                model.errors.clear();
            }
            11 => {
                let result = if numbers.below(2) == 0 {
                    Ok(value)
                } else {
                    Err("down")
                };
                let loaded = cache
                    .get_or_load_shared(key, move || ready(result))
                    .now_or_never();
                assert_eq!(loaded, Some(model.load(key, result)), "load: {context}");
            }
            12 => {
                cache.sweep(Duration::from_secs(1));
            }
            13 => assert_eq!(
                cache.contains(&key),
                model.fresh(key).is_some(),
                "contains: {context}"
            ),
            14 if numbers.below(20) == 0 => {
                cache.invalidate_all();
                model.entries.clear();
                model.errors.clear();
            }
            _ => {
                let step = numbers.below(4);
                advance(secs(step)).await;
                model.now += step;
            }
        }
    }
    for key in 0..KEYS {
        assert_eq!(
            cache.get(&key),
            model.get(key),
            "in the end: seed {seed}, key {key}"
        );
    }
    let stats = cache.stats();
    let gone = stats.replaced + stats.evicted + stats.expired + stats.invalidated;
    assert_eq!(stats.inserted, gone + stats.entries as u64, "seed {seed}");
    assert_eq!(stats.evicted, 0);
}
