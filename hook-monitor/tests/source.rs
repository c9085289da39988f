//! How a monitor is read by whoever collects figures.

use std::time::Duration;

use hook_monitor::{CallMonitor, Gather, HistogramSnapshot, Label, MonitorLayer, Outcome, Source, Status};

#[derive(Default)]
struct Lines(Vec<String>);

impl Gather for Lines {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        self.0.push(format!("counter {name} {labels:?} {value}"));
    }

    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        self.0.push(format!("gauge {name} {labels:?} {value}"));
    }

    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
        let (count, sum) = (value.count(), value.sum());
        self.0
            .push(format!("histogram {name} {labels:?} {count} {sum:?}"));
    }
}

fn lines(source: &dyn Source) -> Vec<String> {
    let mut lines = Lines::default();
    source.read(&mut lines);
    lines.0
}

#[test]
fn every_series_is_there_before_the_first_call() {
    let layer = MonitorLayer::new(String::from("orders"));
    let handle = layer.handle();
    assert_eq!(
        (handle.layer(), handle.name(), handle.status()),
        ("monitor", "orders", Status::Healthy)
    );
    assert_eq!(
        lines(&handle),
        [
            r#"counter hook_calls_total [("outcome", "ok")] 0"#,
            r#"counter hook_calls_total [("outcome", "error")] 0"#,
            r#"counter hook_calls_total [("outcome", "ignored")] 0"#,
            r#"counter hook_calls_total [("outcome", "rejected")] 0"#,
            r#"counter hook_calls_total [("outcome", "timeout")] 0"#,
            r#"counter hook_calls_total [("outcome", "cancelled")] 0"#,
            r#"counter hook_calls_total [("outcome", "panicked")] 0"#,
            "gauge hook_calls_in_flight [] 0",
            "histogram hook_call_duration_seconds [] 0 0ns",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn every_figure_is_told_under_its_own_name() {
    let monitor = CallMonitor::new("orders");
    let finish = |n: u64, outcome| (0..n).for_each(|_| monitor.start().finish(outcome));
    let slow = monitor.start();
    tokio::time::advance(Duration::from_millis(250)).await;
    slow.finish(Outcome::Success);
    finish(1, Outcome::Failure);
    finish(2, Outcome::Ignored);
    (0..3).for_each(|_| drop(monitor.start()));
    let panics = std::panic::catch_unwind(|| {
        let _call = monitor.start();
        panic!("as asked");
    });
    assert!(panics.is_err());
    let _under_way = [monitor.start(), monitor.start()];

    assert_eq!(
        lines(&monitor.handle()),
        [
            r#"counter hook_calls_total [("outcome", "ok")] 1"#,
            r#"counter hook_calls_total [("outcome", "error")] 1"#,
            r#"counter hook_calls_total [("outcome", "ignored")] 2"#,
            r#"counter hook_calls_total [("outcome", "rejected")] 0"#,
            r#"counter hook_calls_total [("outcome", "timeout")] 0"#,
            r#"counter hook_calls_total [("outcome", "cancelled")] 3"#,
            r#"counter hook_calls_total [("outcome", "panicked")] 1"#,
            "gauge hook_calls_in_flight [] 2",
            "histogram hook_call_duration_seconds [] 2 250ms",
        ]
    );
}
