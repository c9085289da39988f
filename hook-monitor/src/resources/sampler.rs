use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

#[cfg(target_os = "linux")]
use super::linux::Reader;
#[cfg(not(target_os = "linux"))]
use super::system::Reader;
use super::{Sample, pressure::Pressure};
use crate::{Gather, Source, Status};

/// A handle to the one sampler of this process. It ends when the last handle is dropped.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let resources = hook_monitor::resources::Resources::start()?;
/// let usage = resources.usage();
/// println!("{:.0} MB, {:?} cores, {:?} ago", usage.current.memory_mb(), usage.current.cpu_cores, usage.age());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Resources(Arc<Alive>);

/// What the process uses, has used at most, and used at first.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Usage {
    /// The latest sample.
    pub current: Sample,
    /// The highest of each figure since the sampler began.
    pub peak: Sample,
    /// The first sample.
    pub baseline: Sample,
    /// Degraded from three samples at 85 % of the memory limit until one below 75 %.
    pub status: Status,
    /// When the latest sample was taken.
    pub sampled_at: Instant,
    /// Since when sampling fails, if it does: the figures are those of then.
    pub stale_since: Option<Instant>,
}

struct Alive(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    stop: Condvar,
}

struct State {
    usage: Usage,
    pressure: Pressure,
    stopped: bool,
}

/// Ticks of the kernel are 10 ms: more often would be noise.
const INTERVAL: Duration = Duration::from_secs(1);

static SAMPLER: Mutex<Weak<Alive>> = Mutex::new(Weak::new());

impl Resources {
    /// The sampler of this process, started if there is none. The first sample is taken at once.
    ///
    /// # Errors
    ///
    /// The system does not tell about the process, or no thread can be had.
    pub fn start() -> io::Result<Self> {
        let mut sampler = SAMPLER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alive) = sampler.upgrade() {
            return Ok(Self(alive));
        }
        let mut reader = Reader::new()?;
        let first = reader.read()?;
        let now = Instant::now();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                usage: Usage {
                    current: first,
                    peak: first,
                    baseline: first,
                    status: Status::Healthy,
                    sampled_at: now,
                    stale_since: None,
                },
                pressure: Pressure::default(),
                stopped: false,
            }),
            stop: Condvar::new(),
        });
        let sampled = Arc::clone(&shared);
        let sample = move || sampled.run(&mut reader);
        thread::Builder::new()
            .name("hook-resources".into())
            .spawn(sample)?;
        let alive = Arc::new(Alive(shared));
        *sampler = Arc::downgrade(&alive);
        Ok(Self(alive))
    }

    /// The latest sample, and what it is to be compared with. Copied, never taken anew.
    pub fn usage(&self) -> Usage {
        self.0.0.lock().usage
    }
}

impl Usage {
    /// How old the latest sample is: up to 1 s while all is well.
    pub fn age(&self) -> Duration {
        self.sampled_at.elapsed()
    }
}

impl Shared {
    fn run(&self, reader: &mut Reader) {
        let mut state = self.lock();
        loop {
            let waited = self
                .stop
                .wait_timeout_while(state, INTERVAL, |state| !state.stopped);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.stopped {
                return;
            }
            drop(state);
            let sample = reader.read();
            state = self.lock();
            state.take(sample, Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, sample: io::Result<Sample>, now: Instant) {
        let usage = &mut self.usage;
        let Ok(mut sample) = sample else {
            usage.stale_since.get_or_insert(now);
            return;
        };
        let wall = now.saturating_duration_since(usage.sampled_at).as_secs_f64();
        if wall > 0.0 {
            let used = sample
                .cpu_time
                .saturating_sub(usage.current.cpu_time)
                .as_secs_f64();
            let cores = used / wall;
            let available = thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
            (sample.cpu_cores, sample.cpu_ratio) = (Some(cores), Some((cores / available).min(1.0)));
        }
        usage.stale_since = None;
        usage.sampled_at = now;
        usage.current = sample;
        usage.peak = highest(&usage.peak, &sample);
        usage.status = self.pressure.on_sample(sample.memory_ratio());
    }
}

fn highest(a: &Sample, b: &Sample) -> Sample {
    let float = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(b.map_or(a, |b| a.max(b))));
    let pair = |a: Option<(u64, u64)>, b: Option<(u64, u64)>| match (a, b) {
        (Some(a), Some(b)) => Some((a.0.max(b.0), a.1.max(b.1))),
        _ => a.or(b),
    };
    Sample {
        memory: a.memory.max(b.memory),
        virtual_memory: a.virtual_memory.max(b.virtual_memory),
        memory_limit: a.memory_limit.max(b.memory_limit),
        group_memory: a.group_memory.max(b.group_memory),
        cpu_time: a.cpu_time.max(b.cpu_time),
        started: a.started.or(b.started),
        cpu_cores: float(a.cpu_cores, b.cpu_cores),
        cpu_ratio: float(a.cpu_ratio, b.cpu_ratio),
        threads: a.threads.max(b.threads),
        open_files: a.open_files.max(b.open_files),
        max_files: a.max_files.max(b.max_files),
        disk: pair(a.disk, b.disk),
        network: pair(a.network, b.network),
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.stop.notify_all();
    }
}

/// Prometheus' `process_*`. The processor time is told as a gauge, which has fractions, where counters are whole; it only
/// grows all the same.
impl Source for Resources {
    fn layer(&self) -> &'static str {
        "resources"
    }

    fn name(&self) -> &str {
        "process"
    }

    fn status(&self) -> Status {
        let usage = self.usage();
        if usage.stale_since.is_some() {
            Status::Degraded
        } else {
            usage.status
        }
    }

    fn read(&self, into: &mut dyn Gather) {
        let Sample {
            memory,
            virtual_memory,
            cpu_time,
            started,
            threads,
            open_files,
            max_files,
            ..
        } = self.usage().current;
        into.gauge("process_cpu_seconds_total", &[], cpu_time.as_secs_f64());
        if let Some(started) = started.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
            into.gauge("process_start_time_seconds", &[], started.as_secs_f64());
        }
        into.gauge("process_resident_memory_bytes", &[], memory as f64);
        into.gauge("process_virtual_memory_bytes", &[], virtual_memory as f64);
        for (name, value) in [
            ("process_threads", threads),
            ("process_open_fds", open_files),
            ("process_max_fds", max_files),
        ] {
            if let Some(value) = value {
                into.gauge(name, &[], value as f64);
            }
        }
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resources").field(&self.usage()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(first: Sample, now: Instant) -> State {
        let usage = Usage {
            current: first,
            peak: first,
            baseline: first,
            status: Status::Healthy,
            sampled_at: now,
            stale_since: None,
        };
        State {
            usage,
            pressure: Pressure::default(),
            stopped: false,
        }
    }

    #[test]
    fn processors_are_used_time_in_wall_time_and_the_first_sample_claims_nothing() {
        let start = Instant::now();
        let at = |cpu| Sample {
            cpu_time: Duration::from_millis(cpu),
            memory: 10,
            memory_limit: 100,
            ..Sample::default()
        };
        let mut state = state(at(5_000), start);
        assert_eq!(state.usage.current.cpu_cores, None, "not zero");
        state.take(Ok(at(6_500)), start + INTERVAL);
        assert_eq!(state.usage.current.cpu_percent(), Some(150.0));
        state.take(Ok(at(6_500)), start + 2 * INTERVAL);
        assert_eq!(state.usage.current.cpu_cores, Some(0.0));
        assert_eq!(state.usage.peak.cpu_cores, Some(1.5));
        assert_eq!(state.usage.baseline, at(5_000));
        // Twice at the same instant: no division by zero.
        state.take(Ok(at(7_000)), start + 2 * INTERVAL);
        assert_eq!(state.usage.current.cpu_cores, None);
    }

    #[test]
    fn a_sampler_out_of_files_keeps_the_last_figures_and_says_since_when() {
        let start = Instant::now();
        let full = Sample {
            memory: 90,
            memory_limit: 100,
            ..Sample::default()
        };
        let mut state = state(full, start);
        for _ in 0..2 {
            state.take(Err(io::ErrorKind::Other.into()), start + INTERVAL);
        }
        assert_eq!(state.usage.stale_since, Some(start + INTERVAL));
        assert_eq!((state.usage.current.memory, state.usage.sampled_at), (90, start));
        for at in 2..5 {
            state.take(Ok(full), start + at * INTERVAL);
        }
        assert_eq!(
            (state.usage.stale_since, state.usage.status),
            (None, Status::Degraded)
        );
    }

    #[test]
    fn there_is_one_sampler_however_many_ask_and_it_tells_the_age_of_its_sample() {
        let one = Resources::start().unwrap();
        let two = Resources::start().unwrap();
        assert!(Arc::ptr_eq(&one.0, &two.0));
        let usage = one.usage();
        assert!(usage.current.memory > 0 && usage.current.memory_ratio() <= 1.0);
        let deadline = Instant::now() + Duration::from_secs(30);
        while two.usage().sampled_at == usage.sampled_at {
            assert_eq!(one.usage().current, usage.current, "no sample before its time");
            assert!(Instant::now() < deadline);
            thread::park_timeout(Duration::from_millis(20));
        }
        let next = two.usage();
        assert!(
            next.sampled_at - usage.sampled_at >= INTERVAL,
            "at least a second apart"
        );
        assert!(next.current.cpu_cores.is_some());
        let shared = Arc::downgrade(&one.0.0);
        drop((one, two));
        while shared.strong_count() > 0 {
            assert!(Instant::now() < deadline, "the thread ends with the last handle");
            thread::park_timeout(Duration::from_millis(5));
        }
    }
}
