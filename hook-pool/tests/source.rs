//! The figures, as a metrics endpoint sees them.

mod support;

use std::time::Duration;

use hook_monitor::{Gather, HistogramSnapshot, Label, Source, Status};
use hook_pool::ClosedStats;
use support::{Dialler, How, ms};
use tokio_test::{assert_pending, task};

#[derive(Default)]
struct Lines(Vec<String>);

impl Gather for Lines {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.0.push(format!("{name}{labels:?} {value}"));
    }
    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        self.0.push(format!("{name}{labels:?} {value}"));
    }
    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
        self.0
            .push(format!("{name}{labels:?} {} {:?}", value.count(), value.max()));
    }
}

fn lines(source: &dyn Source) -> Vec<String> {
    let mut lines = Lines::default();
    source.read(&mut lines);
    lines.0
}

#[tokio::test(start_paused = true)]
async fn every_series_is_there_from_the_start_and_says_what_happened() {
    let dialler = Dialler::default().then(How::OpenAfter(ms(40)));
    let pool = dialler.pool(2).name("database").wait_timeout(ms(45));
    let handle = pool.handle();
    assert_eq!((handle.layer(), handle.name()), ("pool", "database"));
    let at_first = lines(&handle);
    assert_eq!(
        at_first,
        [
            "hook_pool_connections[(\"state\", \"idle\")] 0",
            "hook_pool_connections[(\"state\", \"used\")] 0",
            "hook_pool_connections[(\"state\", \"connecting\")] 0",
            "hook_pool_connections_max[] 2",
            "hook_pool_pending[] 0",
            "hook_pool_created_total[] 0",
            "hook_pool_closed_total[(\"reason\", \"broken\")] 0",
            "hook_pool_closed_total[(\"reason\", \"unfit\")] 0",
            "hook_pool_closed_total[(\"reason\", \"idle\")] 0",
            "hook_pool_closed_total[(\"reason\", \"lifetime\")] 0",
            "hook_pool_closed_total[(\"reason\", \"uses\")] 0",
            "hook_pool_closed_total[(\"reason\", \"evicted\")] 0",
            "hook_pool_closed_total[(\"reason\", \"surplus\")] 0",
            "hook_pool_closed_total[(\"reason\", \"reset\")] 0",
            "hook_pool_closed_total[(\"reason\", \"shutdown\")] 0",
            "hook_pool_connect_errors_total[] 0",
            "hook_pool_timeouts_total[] 0",
            "hook_pool_wait_seconds[] 0 0ns",
            "hook_pool_use_seconds[] 0 0ns",
            "hook_pool_create_seconds[] 0 0ns",
        ]
    );
    // Those that differ from what they were at first.
    let news = || -> Vec<String> {
        let lines = lines(&handle).into_iter().zip(&at_first);
        lines
            .filter(|(line, before)| line != *before)
            .map(|(line, _)| line)
            .collect()
    };

    let one = pool.get(&()).await.unwrap();
    let two = pool.get(&()).await.unwrap();
    pool.get(&()).await.unwrap_err();
    let mut waiter = task::spawn(pool.get(&()));
    assert_pending!(waiter.poll());
    assert_eq!(handle.status(), Status::Degraded);
    assert_eq!(lines(&handle)[4], "hook_pool_pending[] 1");
    drop(waiter);
    drop(one);
    assert_eq!(
        news(),
        [
            "hook_pool_connections[(\"state\", \"idle\")] 1",
            "hook_pool_connections[(\"state\", \"used\")] 1",
            "hook_pool_created_total[] 2",
            "hook_pool_timeouts_total[] 1",
            "hook_pool_wait_seconds[] 2 45ms",
            "hook_pool_use_seconds[] 1 45ms",
            "hook_pool_create_seconds[] 2 40ms",
        ]
    );
    assert_eq!(handle.status(), Status::Healthy);
    handle.close();
    assert_eq!(handle.status(), Status::Unhealthy);
    drop(two);
    let stats = handle.stats();
    assert_eq!((stats.created, stats.closed.shutdown, stats.total), (2, 2, 0));
    assert_eq!(stats.closed.total(), 2);
    assert_ne!(stats.closed, ClosedStats::default());
    assert_eq!(stats.connect.sum(), Duration::from_millis(40));
}
