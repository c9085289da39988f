//! What this process uses: memory, processor, threads, files and I/O, sampled in the background.
//!
//! One thread a process samples once a second, however many handles there are, and readers copy the
//! latest sample: `Resources::snapshot` opens no file and waits for no kernel.

#[cfg(target_os = "linux")]
mod linux;
mod pressure;
mod sampler;
#[cfg(any(test, not(target_os = "linux")))]
mod system;

pub use sampler::{Resources, Usage};

use std::time::{Duration, SystemTime};

/// One look at the process. `None` is what the platform does not give.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Virtual memory, in bytes.
    pub virtual_memory: u64,
    /// The least of the cgroup's limits and the host's memory, in bytes.
    pub memory_limit: u64,
    /// What is in use of the cgroup whose limit `memory_limit` is, by all of its processes and without
    /// the page cache that can be given back, in bytes. `None` where there is no such limit.
    pub group_memory: Option<u64>,
    /// Processor time since the process began, in user and kernel mode, over all threads.
    pub cpu_time: Duration,
    /// When the process began, exact to a hundredth of a second.
    pub started: Option<SystemTime>,
    /// Processors in use since the last sample: 1.5 is one and a half. `None` at the first sample.
    pub cpu_cores: Option<f64>,
    /// The same in what there is, `available_parallelism`, which knows of cgroup quotas: 0 to 1.
    pub cpu_ratio: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files, sockets included.
    pub open_files: Option<u64>,
    /// How many may be open.
    pub max_files: Option<u64>,
    /// Bytes read from and written to disks, past the page cache, since the process began.
    pub disk: Option<(u64, u64)>,
    /// Bytes received and sent by the network namespace (loopback left out): on a host that is
    /// shared, not only by this process.
    pub network: Option<(u64, u64)>,
}

impl Sample {
    /// Resident memory in MB (1,000,000 bytes).
    pub fn memory_mb(&self) -> f64 {
        self.memory as f64 / 1e6
    }

    /// How much of the limit is in use, 0 to 1: by the cgroup if the limit is its own, or else by this
    /// process. 0 where no limit is known.
    pub fn memory_ratio(&self) -> f64 {
        if self.memory_limit == 0 {
            0.0
        } else {
            self.group_memory.unwrap_or(self.memory) as f64 / self.memory_limit as f64
        }
    }

    /// The same in per cent.
    pub fn memory_percent(&self) -> f64 {
        self.memory_ratio() * 100.0
    }

    /// Per cent of one core: 200 is two cores. `None` at the first sample.
    pub fn cpu_percent(&self) -> Option<f64> {
        self.cpu_cores.map(|cores| cores * 100.0)
    }
}
