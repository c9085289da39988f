//! Hits: with one thread and with two, small keys and long ones, few entries and many.

use std::{
    hint::black_box,
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use benches::claims::Suite;
use criterion::{BenchmarkId, Criterion};
use tower::{Layer, Service};

use crate::peers::{Answer, Key, MOKA, RAW, TR, moka, ours, ours_by_ref, plain, raw, theirs, warmed};

/// The look-ups of two threads.
type Pair = [Box<dyn FnMut(&u64) + Send>; 2];

/// Looks up one key after the other, in an order that neither the processor nor a prefetcher knows.
fn order(keys: u64) -> Vec<usize> {
    let mut seed = 1u64;
    (0..keys.min(1 << 16))
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % keys) as usize
        })
        .collect()
}

/// A fifth more than there are keys, so that no shard evicts.
fn room(keys: u64) -> usize {
    keys as usize * 6 / 5 + 64
}

pub(crate) fn one_thread(c: &mut Criterion) {
    for entries in [1_000, 1_000_000] {
        lines::<u64>(c, &format!("cache/hit/u64 keys, {entries} entries"), entries);
        let group = format!("cache/hit/22-byte keys, {entries} entries");
        lines::<Arc<str>>(c, &group, entries);
        by_ref(c, &group, entries);
    }
}

/// The key is a part of the request, of which a hit makes no copy.
fn by_ref(c: &mut Criterion, group: &str, entries: u64) {
    let keys: Vec<Arc<str>> = (0..entries).map(Key::nth).collect();
    let (order, room) = (order(entries), room(entries));
    let mut group = c.benchmark_group(group);
    for (id, layer) in [
        ("hook-cache, keyed_by_ref", ours_by_ref(room)),
        (
            "hook-cache, keyed_by_ref, coarse clock",
            ours_by_ref(room).coarse_clock(),
        ),
    ] {
        let mut service = warmed(layer.layer(Answer), &keys);
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| {
                hit(&mut service, &keys[order[next]]);
                next = (next + 1) % order.len();
            });
        });
    }
}

fn lines<K: Key>(c: &mut Criterion, group: &str, entries: u64) {
    let keys: Vec<K> = (0..entries).map(K::nth).collect();
    let order = order(entries);
    let room = room(entries);
    let mut group = c.benchmark_group(group);
    let mut line = |id: &str, look_up: &mut dyn FnMut(&K)| {
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| {
                look_up(&keys[order[next]]);
                next = (next + 1) % order.len();
            });
        });
    };
    let mut service = warmed(ours(room).layer(Answer), &keys);
    line("hook-cache", &mut |key| hit(&mut service, key));
    drop(service);
    let mut service = warmed(ours(room).coarse_clock().layer(Answer), &keys);
    line("hook-cache, coarse clock", &mut |key| hit(&mut service, key));
    drop(service);
    let cache = plain(room, &keys);
    line("hook-cache without tower, coarse clock", &mut |key| {
        black_box(cache.get(black_box(key)));
    });
    drop(cache);
    let cache = raw(room, &keys);
    line(RAW, &mut |key| {
        black_box(cache.get(black_box(key)));
    });
    drop(cache);
    let cache = moka(room, &keys);
    line(MOKA, &mut |key| {
        black_box(cache.get(black_box(key)));
    });
    drop(cache);
    let mut service = warmed(theirs::<K>(room).layer(Answer), &keys);
    line(TR, &mut |key| hit(&mut service, key));
}

#[inline]
fn hit<K: Key, S: Service<K>>(service: &mut S, key: &K) {
    let _ = black_box(benches::call(service, black_box(key.clone())));
}

pub(crate) fn two_threads(c: &mut Criterion) {
    let keys: Vec<u64> = (0..1_000).collect();
    let room = room(1_000);
    let mut group = c.benchmark_group("cache/hit/two threads, u64 keys, 1000 entries");
    let mut line = |id: &str, pair: Pair| {
        let mut pair = pair;
        group.bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter_custom(|iters| together(iters, &mut pair));
        });
    };
    let service = warmed(ours(room).layer(Answer), &keys);
    line("hook-cache", pair(&service));
    let service = warmed(ours(room).coarse_clock().layer(Answer), &keys);
    line("hook-cache, coarse clock", pair(&service));
    let cache = Arc::new(raw(room, &keys));
    line(
        RAW,
        [0, 1].map(|_| {
            let cache = cache.clone();
            Box::new(move |key: &u64| {
                black_box(cache.get(black_box(key)));
            }) as Box<dyn FnMut(&u64) + Send>
        }),
    );
    let cache = moka(room, &keys);
    line(
        MOKA,
        [0, 1].map(|_| {
            let cache = cache.clone();
            Box::new(move |key: &u64| {
                black_box(cache.get(black_box(key)));
            }) as Box<dyn FnMut(&u64) + Send>
        }),
    );
    let service = warmed(theirs::<u64>(room).layer(Answer), &keys);
    line(TR, pair(&service));
}

fn pair<S: Service<u64> + Clone + Send + 'static>(service: &S) -> Pair {
    [0, 1].map(|_| {
        let mut service = service.clone();
        Box::new(move |key: &u64| hit(&mut service, key)) as Box<dyn FnMut(&u64) + Send>
    })
}

/// Both threads look up `iters` keys each, over the same few keys; what one of them took.
fn together(iters: u64, pair: &mut Pair) -> Duration {
    let start = Barrier::new(2);
    let handle = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let threads = pair.iter_mut().enumerate().map(|(n, look_up)| {
            let (start, handle) = (&start, handle.clone());
            scope.spawn(move || {
                let _inside = handle.enter();
                start.wait();
                let began = Instant::now();
                for i in 0..iters {
                    // Both threads pass over all keys, at the same time over different ones for the most part.
                    look_up(&((i * 7 + n as u64 * 500) % 1_000));
                }
                began.elapsed()
            })
        });
        let threads: Vec<_> = threads.collect();
        let took: Vec<Duration> = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect();
        took.iter().sum::<Duration>() / 2
    })
}

/// Look-ups one after the other, timed: one side of a pair.
fn timed<'a, K>(
    keys: &'a [K],
    order: &'a [usize],
    mut look_up: impl FnMut(&K) + 'a,
) -> impl FnMut(u64) -> Duration + 'a {
    let mut next = 0;
    move |n| {
        let began = Instant::now();
        for _ in 0..n {
            look_up(&keys[order[next]]);
            next = (next + 1) % order.len();
        }
        began.elapsed()
    }
}

pub(crate) fn claims(suite: &mut Suite) {
    const ENTRIES: u64 = 1_000;
    let (order, room) = (order(ENTRIES), room(ENTRIES));
    let keys: Vec<u64> = (0..ENTRIES).map(u64::nth).collect();
    let layered = |coarse: bool| {
        let layer = ours(room);
        let layer = if coarse { layer.coarse_clock() } else { layer };
        let mut service = warmed(layer.layer(Answer), &keys);
        timed(&keys, &order, move |key| hit(&mut service, key))
    };
    let peer = || {
        let mut service = warmed(theirs::<u64>(room).layer(Answer), &keys);
        timed(&keys, &order, move |key| hit(&mut service, key))
    };
    suite.ratio("cache.hit", layered(false), peer());
    suite.ratio("cache.hit.coarse", layered(true), peer());
    let bare = raw(room, &keys);
    let bare = timed(&keys, &order, |key| {
        black_box(bare.get(black_box(key)));
    });
    suite.ratio("cache.hit.quick_cache", layered(true), bare);
    let with_ttl = moka(room, &keys);
    let with_ttl = timed(&keys, &order, |key| {
        black_box(with_ttl.get(black_box(key)));
    });
    suite.ratio("cache.hit.moka", layered(true), with_ttl);

    let mut mine = pair(&warmed(ours(room).coarse_clock().layer(Answer), &keys));
    let mut theirs_two = pair(&warmed(theirs::<u64>(room).layer(Answer), &keys));
    suite.ratio(
        "cache.hit.two_threads",
        |n| together(n, &mut mine),
        |n| together(n, &mut theirs_two),
    );

    let keys: Vec<Arc<str>> = (0..ENTRIES).map(Key::nth).collect();
    let mut mine = warmed(ours_by_ref(room).layer(Answer), &keys);
    let mut theirs_long = warmed(theirs::<Arc<str>>(room).layer(Answer), &keys);
    suite.ratio(
        "cache.hit.string",
        timed(&keys, &order, |key| hit(&mut mine, key)),
        timed(&keys, &order, |key| hit(&mut theirs_long, key)),
    );
}
