//! What the cache costs and how often it hits, beside the peers.
//!
//! `cargo bench -p benches --bench cache` measures; with `HOOK_TRACES=<dir>` the hit ratios are of the traces there too.

mod hit;
mod miss;
mod peers;
mod ratio;

use benches::{Mode, claims::Suite};
use tokio::runtime::Runtime;

/// Everything runs inside a tokio runtime, as it would in a service.
fn main() {
    let mut suite = Suite::named("cache");
    let mut criterion = suite.mode().criterion();
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    hit::one_thread(&mut criterion);
    hit::two_threads(&mut criterion);
    miss::miss(&mut criterion);
    miss::stampede(&mut criterion, &runtime);
    miss::invalidate(&mut criterion);
    criterion.final_summary();
    hit::claims(&mut suite);
    miss::claims(&mut suite, &runtime);
    if suite.wants("cache.hit_ratio") {
        let (behind, place) = ratio::print(suite.mode() == Mode::Smoke);
        suite.value("cache.hit_ratio", behind, place);
    }
    suite.finish();
}
