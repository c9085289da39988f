//! A circuit's memory, written down and read back.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Circuit,
    lapse::Bucket,
    meter::{Memory, Meter},
};
use crate::{
    config::{Settings, State},
    policy::Window,
    saved::{SavedCircuit, SavedWindow, millis},
    word::Word,
};

impl Circuit {
    pub(crate) fn save(&self, word: Word, at: SystemTime, now: Instant) -> SavedCircuit {
        let mut saved = SavedCircuit::new(at, word.state);
        if word.state == State::Open {
            saved.rest = millis(self.until.saturating_duration_since(now));
        }
        if word.state == State::HalfOpen {
            let probes = self.probes.seen().iter();
            saved.probes = probes.map(|probe| (probe.failed, millis(probe.took))).collect();
        }
        saved.breaks = self.breaks;
        saved.row = self.row;
        saved.windows = self.meters.iter().map(|meter| save(meter, now)).collect();
        saved
    }

    /// A file is not to be trusted: whatever is in it, this neither panics nor takes more memory than the circuit has.
    pub(crate) fn restore(&mut self, word: Word, saved: &SavedCircuit, age: Duration, now: Instant) -> Word {
        self.forget(word, now);
        self.opened_at = None;
        self.breaks = saved.breaks;
        let mut next = word.next(saved.state);
        match saved.state {
            State::Open => {
                let rest = Duration::from_millis(saved.rest).min(Settings::CENTURY);
                self.until = now + rest.saturating_sub(age);
                self.opened_at = Some(now);
            }
            State::HalfOpen => {
                self.opened_at = Some(now);
                let probes = self.settings.probes as usize;
                for (failed, took) in saved.probes.iter().take(probes) {
                    self.probes.saw(*failed, Duration::from_millis(*took));
                }
                next.free = (probes - self.probes.seen().len()) as u16;
                return self.verdict_of_probes(next, None, now);
            }
            State::Closed | State::MetricsOnly => {
                self.row = saved.row;
                for (meter, window) in self.meters.iter_mut().zip(&saved.windows) {
                    restore(meter.memory_mut(), window, age, now);
                }
            }
            State::ForcedOpen | State::Disabled => (),
        }
        next
    }
}

fn save(meter: &Meter, now: Instant) -> SavedWindow {
    match meter.memory() {
        Memory::None => SavedWindow::None,
        Memory::Calls(calls) => SavedWindow::Calls(calls.iter().map(letter).collect()),
        Memory::Lapse(lapse) => {
            let few = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            let buckets = lapse.iter().map(|(began, bucket)| {
                let ago = millis(now.saturating_duration_since(began));
                (
                    ago,
                    few(bucket.calls),
                    few(bucket.failures),
                    few(bucket.slow_calls),
                )
            });
            SavedWindow::Time(buckets.collect())
        }
    }
}

fn letter((failed, slow): (bool, bool)) -> char {
    match (failed, slow) {
        (false, false) => '.',
        (false, true) => 's',
        (true, false) => 'F',
        (true, true) => 'X',
    }
}

fn restore(memory: &mut Memory, saved: &SavedWindow, age: Duration, now: Instant) {
    match (memory, saved) {
        (Memory::Calls(memory), SavedWindow::Calls(calls)) => {
            // No more than fit, however long the file is.
            let surplus = calls.len().saturating_sub(memory.size());
            for letter in calls.bytes().skip(surplus) {
                memory.push(matches!(letter, b'F' | b'X'), matches!(letter, b's' | b'X'));
            }
        }
        (Memory::Lapse(memory), SavedWindow::Time(buckets)) => {
            memory.clear_with_past(now);
            let most = Window::MOST_BUCKETS as usize;
            for (ago, calls, failures, slow_calls) in buckets.iter().take(most) {
                let ago = Duration::from_millis(*ago).saturating_add(age);
                let bucket = Bucket {
                    calls: u64::from(*calls),
                    failures: u64::from(*failures.min(calls)),
                    slow_calls: u64::from(*slow_calls.min(calls)),
                };
                if let Some(began) = now.checked_sub(ago) {
                    memory.push(bucket, began);
                }
            }
        }
        // The policy is another by now.
        _ => (),
    }
}
