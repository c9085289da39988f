//! Checks that do as they are told, and what is seen of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_monitor::health::{Check, CheckReport, Health};
use tokio::time::sleep;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn seen(health: &Health, name: &str) -> CheckReport {
    let report = health.report();
    report
        .checks
        .iter()
        .find(|check| &*check.name == name)
        .expect("there is such a check")
        .clone()
}

/// Lets what is due run.
pub(crate) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// A check that does what its switch says.
pub(crate) fn switched(on: &Arc<AtomicBool>) -> Check {
    let on = Arc::clone(on);
    Check::new(move || {
        let on = on.load(SeqCst);
        async move { if on { Ok(()) } else { Err("down") } }
    })
}
