//! The claims of the original's second phase, each measured: the same work done by an executor like its first phase, and by
//! the manager.
//!
//! `HOOK_SOAK=<seconds>` sets the length of the soak in real time.

mod average;
mod phase1;
mod soak;
mod stream;
mod workload;

use benches::claims::Suite;
use tokio::runtime::Builder;

fn main() {
    let mut suite = Suite::named("phase2");
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    soak::quiet_panics();
    if suite.wants("phase2.average") || suite.wants("phase2.cpu") || suite.wants("phase2.processes") {
        average::measure(&mut suite, &runtime);
    }
    if suite.wants("phase2.hit_rate") {
        stream::hit_rate(&mut suite);
    }
    if suite.wants("phase2.cascades") || suite.wants("phase2.recovery") || suite.wants("phase2.reliability") {
        stream::bursts(&mut suite);
    }
    if suite.wants("phase2.soak.simulated") {
        soak::simulated(&mut suite);
    }
    if suite.wants("phase2.soak.growth") {
        soak::real(&mut suite, &runtime);
    }
    suite.finish();
}
