//! What the cache costs and how often it hits, beside the peers.
//!
//! `cargo bench -p benches --bench cache` measures; with `HOOK_TRACES=<dir>` the hit ratios are of the traces there too.

mod hit;
mod miss;
mod peers;
mod ratio;

use std::time::Duration;

use criterion::Criterion;
use tokio::runtime::Runtime;

/// Everything runs inside a tokio runtime, as it would in a service.
fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args();
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    hit::one_thread(&mut criterion);
    hit::two_threads(&mut criterion);
    miss::miss(&mut criterion);
    miss::stampede(&mut criterion, &runtime);
    miss::invalidate(&mut criterion);
    criterion.final_summary();
    let args: Vec<_> = std::env::args().collect();
    let smoke = args.iter().any(|arg| arg == "--test");
    // A filter on the command line is for the timed lines, unless it asks for this.
    let filter = args.iter().skip(1).find(|arg| !arg.starts_with('-'));
    if filter.is_none_or(|filter| "cache/ratio".contains(filter.as_str())) {
        ratio::print(smoke);
    }
}
