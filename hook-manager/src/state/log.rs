//! `performance.jsonl`: a line for each event.

use std::{fs, io, io::Write};

use serde_json::json;

use super::folder::Folder;
use crate::result::{Ended, EventReport};

/// A file as long as this is put aside.
const LONG: u64 = 4 * 1024 * 1024;
/// Files that were put aside and are kept.
const KEPT: u32 = 3;
/// Lines that wait to be written; more are left out, and counted.
const WAITING: usize = 1024 * 1024;
const NAME: &str = "performance.jsonl";

#[derive(Debug)]
pub(super) struct Log {
    on: bool,
    waiting: Vec<u8>,
    left_out: u64,
}

impl Log {
    pub(super) fn new(on: bool) -> Self {
        Self {
            on,
            waiting: Vec::new(),
            left_out: 0,
        }
    }

    pub(super) fn add(&mut self, line: Vec<u8>) {
        match self.on && self.waiting.len() + line.len() <= WAITING {
            true => self.waiting.extend(line),
            false => self.left_out += 1,
        }
    }

    /// What waits to be written.
    pub(super) fn take(&mut self) -> Vec<u8> {
        if self.left_out > 0 && self.on {
            let line = json!({ "left_out": self.left_out });
            self.waiting.extend(format!("{line}\n").into_bytes());
            self.left_out = 0;
        }
        std::mem::take(&mut self.waiting)
    }

    /// What could not be written is tried again, before what came since.
    pub(super) fn put_back(&mut self, mut lines: Vec<u8>) {
        if lines.len() + self.waiting.len() <= WAITING {
            lines.append(&mut self.waiting);
            self.waiting = lines;
        } else {
            self.left_out += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
    }
}

/// Writes lines in one piece, so that those of several processes do not mix.
pub(super) fn write(lines: &[u8], folder: &Folder) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let _lock = folder.lock()?;
    let mut file = folder.append(NAME)?;
    if file.metadata()?.len() >= LONG {
        drop(file);
        rotate(folder)?;
        file = folder.append(NAME)?;
    }
    let before = file.metadata()?.len();
    let written = file.write_all(lines);
    if written.is_err() {
        // They are all written again: what there is of them now would be there twice. If that cannot be done either, it is.
        let _ = file.set_len(before);
    }
    written
}

/// The oldest goes.
fn rotate(folder: &Folder) -> io::Result<()> {
    for number in (1..KEPT).rev() {
        let older = folder.file(&format!("{NAME}.{}", number + 1));
        match fs::rename(folder.file(&format!("{NAME}.{number}")), older) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
    }
    fs::rename(folder.file(NAME), folder.file(&format!("{NAME}.1")))
}

/// What there is to say about an event: no inputs, no outputs.
pub(super) fn line(report: &EventReport) -> Vec<u8> {
    let ms = |time: std::time::Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
    let results: Vec<_> = report
        .results
        .iter()
        .map(|result| {
            json!({
                "hook": &*result.hook,
                "outcome": match &result.ended {
                    Ended::Answered(_) => "ok",
                    Ended::Failed(err) => err.kind(),
                    Ended::Skipped(_) => "skipped",
                },
                "decision": result.decision().as_str(),
                "took_ms": ms(result.took),
                "ran_ms": ms(result.ran),
                "queued_ms": ms(result.queued),
                "attempts": result.attempts,
                "cached": result.cached,
                "anomaly": result.anomaly.as_ref().map(|anomaly| anomaly.as_str()),
            })
        })
        .collect();
    let line = json!({
        "at": super::millis(std::time::SystemTime::now()),
        "event": report.event.as_str(),
        "took_ms": ms(report.took),
        "blocked": report.is_blocked(),
        "results": results,
    });
    format!("{line}\n").into_bytes()
}
