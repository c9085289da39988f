//! `hookManager.worker`: a command that stays.

use std::time::Duration;

use super::{
    super::{
        super::json::{Node, Tree},
        step,
    },
    HandlerReader,
};
use crate::hook::{Handler, Worker};

/// What the entry says about the worker, where it says something.
#[derive(Default)]
pub(super) struct WorkerFigures {
    processes: Option<usize>,
    uses: Option<u64>,
    age: Option<Duration>,
    idle: Option<Duration>,
}

impl HandlerReader<'_, '_, '_> {
    /// Reads `worker`: `true`, or an object with figures. `None`: it is no worker.
    pub(super) fn worker_figures(&mut self, node: &Node, field: &str) -> Option<WorkerFigures> {
        let mut figures = WorkerFigures::default();
        let entries = match &node.value {
            Tree::Bool(on) => return on.then_some(figures),
            Tree::Object(entries) => entries,
            _ => {
                let expected = "true, false, or an object with `processes`, `uses`, `age` and `idle`";
                self.wrong(node, field, expected);
                return None;
            }
        };
        for (key, value) in entries {
            let field = format!("{field}{}", step(&key.name));
            match &key.name[..] {
                "processes" => {
                    let processes = self.whole(value, &field, 1..=64);
                    figures.processes = processes.and_then(|n| usize::try_from(n).ok());
                }
                "uses" => figures.uses = self.whole(value, &field, 1..=u64::from(u32::MAX)),
                "age" => figures.age = self.duration(value, &field),
                "idle" => figures.idle = self.duration(value, &field),
                _ => {
                    let at = Node {
                        at: key.at,
                        value: Tree::Null,
                    };
                    let known = "one of processes, uses, age, idle";
                    self.refuse(&at, &field, "is not known".into(), known);
                }
            }
        }
        Some(figures)
    }

    fn whole(&mut self, node: &Node, field: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let number = match &node.value {
            Tree::Number(number) => number.as_u64().filter(|number| range.contains(number)),
            _ => None,
        };
        if number.is_none() {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong(node, field, &expected);
        }
        number
    }

    /// Makes a worker of a command; nothing else can be one.
    pub(super) fn worker(&mut self, handler: Option<Handler>, figures: &WorkerFigures) -> Option<Handler> {
        let run = match handler? {
            run @ (Handler::Shell { .. } | Handler::Exec { .. }) => run,
            other => {
                let what = format!("is said of a handler that is {other}");
                self.refuse(self.node, "hookManager.worker", what, "it on a command only");
                return Some(other);
            }
        };
        let mut worker = Worker::new(run);
        worker.processes = figures.processes.unwrap_or(worker.processes);
        worker.uses = figures.uses.unwrap_or(worker.uses);
        worker.age = figures.age.unwrap_or(worker.age);
        worker.idle = figures.idle.unwrap_or(worker.idle);
        Some(Handler::Worker(worker))
    }
}
