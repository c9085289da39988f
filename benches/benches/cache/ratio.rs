//! How often the cache hits, beside strict LRU, moka, quick_cache on its own, and what no cache can beat.
//!
//! The streams are made here; with `HOOK_TRACES=<dir>` the traces in that folder are replayed too.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroUsize,
    path::Path,
    process::Command,
};

use hook_cache::ResultCache;

/// What is replayed against a cache of that many entries.
struct Replay {
    name: String,
    capacity: usize,
    keys: Vec<u64>,
}

/// Prints the table; returns how many points ours is behind quick_cache where it is the furthest behind, and where.
pub(crate) fn print(smoke: bool) -> (f64, String) {
    let mut worst = (f64::NEG_INFINITY, String::new());
    println!(
        "\ncache/ratio: hit ratio in percent\n{:<34} {:>8} {:>8} {:>8} {:>8} {:>11} {:>11} {:>8}",
        "stream", "requests", "capacity", "LRU", "moka", "quick_cache", "hook-cache", "optimum"
    );
    for replay in generated(smoke).into_iter().chain(traces(smoke)) {
        let lru = NonZeroUsize::new(replay.capacity).expect("a capacity");
        let mut lru = lru::LruCache::<u64, ()>::new(lru);
        let moka = moka::sync::Cache::<u64, ()>::new(replay.capacity as u64);
        let ratio = |hit: &mut dyn FnMut(u64) -> bool| {
            let hits = replay.keys.iter().filter(|key| hit(**key)).count();
            100.0 * hits as f64 / replay.keys.len() as f64
        };
        let lru = ratio(&mut |key| lru.get(&key).is_some() || lru.put(key, ()).is_some());
        let moka = ratio(&mut |key| {
            moka.get(&key).is_some() || {
                moka.insert(key, ());
                // Its policy works behind the scenes; without this it lags behind a replay.
                moka.run_pending_tasks();
                false
            }
        });
        // How keys fall to shelves is drawn with the seed of the hash, and decides much of what becomes of a loop: the median
        // of several caches, each with a seed of its own.
        let caches = if smoke { 1 } else { 9 };
        let raw = median(caches, || {
            let raw = quick_cache::sync::Cache::<u64, ()>::new(replay.capacity);
            ratio(&mut |key| {
                raw.get(&key).is_some() || {
                    raw.insert(key, ());
                    false
                }
            })
        });
        let ours = median(caches, || {
            let ours = ResultCache::<u64, ()>::new(replay.capacity);
            ratio(&mut |key| {
                ours.get(&key).is_some() || {
                    ours.insert(key, ());
                    false
                }
            })
        });
        let best = optimum(&replay.keys, replay.capacity);
        let (requests, capacity) = (replay.keys.len(), replay.capacity);
        println!(
            "{:<34} {requests:>8} {capacity:>8} {lru:>8.2} {moka:>8.2} {raw:>11.2} {ours:>11.2} {best:>8.2}",
            replay.name
        );
        if raw - ours > worst.0 {
            let place = format!(
                "{}: {ours:.2} % beside {raw:.2} %; LRU {lru:.2} %, optimum {best:.2} %",
                replay.name
            );
            worst = (raw - ours, place);
        }
    }
    worst
}

fn median(of: usize, figure: impl FnMut() -> f64) -> f64 {
    let mut figures: Vec<f64> = std::iter::repeat_with(figure).take(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[of / 2]
}

/// Belady's optimum: what goes is what is asked for again the latest, the newcomer itself among the candidates.
fn optimum(keys: &[u64], capacity: usize) -> f64 {
    let mut next = vec![usize::MAX; keys.len()];
    let mut last = HashMap::new();
    for (at, key) in keys.iter().enumerate().rev() {
        if let Some(later) = last.insert(*key, at) {
            next[at] = later;
        }
    }
    let mut held: HashMap<u64, usize> = HashMap::new();
    let mut by_next: BTreeSet<(usize, u64)> = BTreeSet::new();
    let mut hits = 0;
    for (at, key) in keys.iter().enumerate() {
        if let Some(now) = held.insert(*key, next[at]) {
            hits += 1;
            by_next.remove(&(now, *key));
        }
        by_next.insert((next[at], *key));
        if held.len() > capacity {
            let (_, latest) = by_next.pop_last().expect("more than the capacity");
            held.remove(&latest);
        }
    }
    100.0 * hits as f64 / keys.len() as f64
}

fn generated(smoke: bool) -> Vec<Replay> {
    let requests = if smoke { 20_000 } else { 1_000_000 };
    let mut replays = Vec::new();
    for (skew, share) in [(0.7, 10), (0.9, 10), (0.9, 100), (1.1, 100)] {
        let distinct = 100_000;
        replays.push(Replay {
            name: format!("Zipf {skew}, {distinct} keys"),
            capacity: distinct / share,
            keys: zipf(skew, distinct, requests),
        });
    }
    replays.push(Replay {
        name: "loop over 1250 keys".into(),
        capacity: 1_000,
        keys: (0..requests as u64).map(|n| n % 1_250).collect(),
    });
    let mut mixed = zipf(0.9, 10_000, requests);
    for (n, key) in mixed.iter_mut().enumerate() {
        // Every third request is of a scan that never comes back to a key.
        if n % 3 == 0 {
            *key = 1_000_000 + n as u64;
        }
    }
    replays.push(Replay {
        name: "Zipf 0.9, a third of it a scan".into(),
        capacity: 1_000,
        keys: mixed,
    });
    replays
}

/// Keys whose n-th is asked for in proportion to 1 / n^skew, drawn by inverting the distribution.
fn zipf(skew: f64, distinct: usize, requests: usize) -> Vec<u64> {
    let mut sums: Vec<f64> = (1..=distinct).map(|n| (n as f64).powf(-skew)).collect();
    let mut sum = 0.0;
    for share in &mut sums {
        sum += *share;
        *share = sum;
    }
    let mut seed = 42u64;
    (0..requests)
        .map(|_| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let drawn = (seed >> 11) as f64 / (1u64 << 53) as f64 * sum;
            sums.partition_point(|share| *share < drawn) as u64
        })
        .collect()
}

fn traces(smoke: bool) -> Vec<Replay> {
    let Ok(folder) = std::env::var("HOOK_TRACES") else {
        println!("(no HOOK_TRACES: streams that were made here only)");
        return Vec::new();
    };
    let folder = Path::new(&folder);
    let mut replays = Vec::new();
    for (name, capacity) in [
        ("OLTP.lis.zst", 1_000),
        ("OLTP.lis.zst", 2_000),
        ("loop.trace.gz", 512),
        ("multi1.trace.gz", 1_000),
        ("multi2.trace.gz", 2_000),
        ("multi3.trace.gz", 2_000),
        ("sprite.trace.gz", 500),
        ("gli.trace.gz", 1_000),
        ("2_pools.trace.gz", 1_000),
    ] {
        match read(&folder.join(name)) {
            Ok(keys) => replays.push(Replay {
                name: name.split('.').next().unwrap_or(name).to_owned(),
                capacity,
                keys,
            }),
            Err(err) => println!("{name}: {err}"),
        }
        if smoke && !replays.is_empty() {
            break;
        }
    }
    replays
}

/// One key a line, or, in a `.lis`, `start count ...`.
fn read(path: &Path) -> Result<Vec<u64>, String> {
    let tool = if path.extension().is_some_and(|end| end == "zst") {
        "zstd"
    } else {
        "gzip"
    };
    let output = Command::new(tool)
        .arg("-dc")
        .arg(path)
        .output()
        .map_err(|err| format!("{tool}: {err}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let ranges = path.to_string_lossy().contains(".lis");
    let mut keys = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut numbers = line
            .split_whitespace()
            .map_while(|number| number.parse::<u64>().ok());
        let Some(start) = numbers.next() else {
            continue;
        };
        let count = if ranges { numbers.next().unwrap_or(1) } else { 1 };
        keys.extend(start..start + count);
    }
    Ok(keys)
}
