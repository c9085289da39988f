use quick_cache::{Options, OptionsBuilder};

/// A shard below this holds so few entries that uneven filling would show.
const LEAST_PER_SHARD: u64 = 64;

/// A shard above this takes so long to sweep that it would show.
const MOST_PER_SHARD: u64 = 4_096;

/// More shards than this would cost more than they spare, in a cache that is to be without bounds above all.
const MOST_SHARDS: u64 = 4_096;

/// The share of a shard that quick_cache gives to entries in use. Nothing heavier than it fits.
const HOT: f64 = 0.97;

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) total: u64,
    /// The heaviest entry there may be.
    pub(crate) largest: u64,
    pub(crate) weighed: bool,
}

/// How a cache is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) shards: usize,
    weight: u64,
    items: usize,
    hot: f64,
}

impl Limits {
    /// Entries count, whatever they weigh.
    pub(crate) fn entries(total: usize) -> Self {
        Self {
            total: total as u64,
            largest: 1,
            weighed: false,
        }
    }

    /// Entries count by what they weigh.
    pub(crate) fn weight(total: u64, largest: u64) -> Self {
        Self {
            total,
            largest: largest.min(total),
            weighed: true,
        }
    }

    /// Never more than `total` altogether, and room for the largest in each shard.
    ///
    /// Up to 127 entries there is one shard, which then holds exactly what was asked for. `overhead` is
    /// what an entry weighs at least.
    pub(super) fn plan(&self, overhead: u64) -> Plan {
        let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let entries = match self.weighed {
            true => self.total / overhead.max(1),
            false => self.total,
        };
        let wanted = (4 * threads).next_power_of_two();
        let for_sweeps = (entries / MOST_PER_SHARD).max(1).next_power_of_two();
        let most = 1 << (entries / LEAST_PER_SHARD).max(1).ilog2();
        let mut shards = wanted.max(for_sweeps).min(most).min(MOST_SHARDS);
        while shards > 1 && hot(self.total / shards, HOT) < self.largest {
            shards /= 2;
        }
        let weight = self.total / shards;
        let hot = if hot(weight, HOT) < self.largest { 1.0 } else { HOT };
        // In a weighed cache this is a guess, and only of how many keys to remember after they have left: a
        // sixteenth keeps that memory small beside what was asked for.
        let items = if self.weighed { entries / 16 } else { entries } / shards;
        Plan {
            shards: shards as usize,
            weight,
            items: (items as usize).max(1),
            hot,
        }
    }
}

impl Plan {
    pub(super) fn options(&self) -> Options {
        OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(self.items)
            .weight_capacity(self.weight)
            .hot_allocation(self.hot)
            .build()
            .expect("both capacities are set")
    }
}

/// As quick_cache reckons it.
fn hot(weight: u64, share: f64) -> u64 {
    ((weight as f64 * share) as u64).clamp(weight.min(1), weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_fits_in_every_shard_and_the_shards_never_hold_more_than_the_whole() {
        for total in [1, 2, 63, 127, 128, 1_000, 12_345, 1 << 20, 1 << 30, u64::MAX] {
            for largest in [1, 2, total / 16, total / 8, total / 2, total] {
                let limits = Limits::weight(total, largest);
                let plan = limits.plan(100);
                assert!(
                    hot(plan.weight, plan.hot) >= limits.largest,
                    "{limits:?} {plan:?}"
                );
                assert!(plan.weight * plan.shards as u64 <= total, "{limits:?} {plan:?}");
            }
        }
    }

    #[test]
    fn small_caches_are_one_shard_and_no_shard_takes_long_to_sweep() {
        for (entries, one) in [(1, true), (127, true), (1_000, false)] {
            assert_eq!(Limits::entries(entries).plan(1).shards == 1, one);
        }
        assert!(Limits::entries(1_000_000).plan(1).items as u64 <= MOST_PER_SHARD);
    }
}
