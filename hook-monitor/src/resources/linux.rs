use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    time::{Duration, SystemTime},
};

use rustix::{
    param::clock_ticks_per_second,
    time::{ClockId, Timespec, clock_gettime},
};

use super::Sample;

/// Reads `/proc` through files that stay open: when the process has run out of file descriptors is
/// just when one wants to know.
pub(super) struct Reader {
    status: File,
    limits: File,
    io: Option<File>,
    network: Option<File>,
    memory_limit: u64,
    started: Option<SystemTime>,
    samples: u32,
}

/// The cgroup's limit is looked up every so many samples.
const LIMIT_EVERY: u32 = 30;

impl Reader {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            status: File::open("/proc/self/status")?,
            limits: File::open("/proc/self/limits")?,
            io: File::open("/proc/self/io").ok(),
            network: File::open("/proc/self/net/dev").ok(),
            memory_limit: memory_limit().unwrap_or(0),
            started: started(),
            samples: 0,
        })
    }

    pub(super) fn read(&mut self) -> io::Result<Sample> {
        self.samples += 1;
        if self.samples % LIMIT_EVERY == 0 {
            // Kept as it was if there is no file descriptor to be had.
            self.memory_limit = memory_limit().unwrap_or(self.memory_limit);
        }
        let status = text(&self.status)?;
        let limits = text(&self.limits)?;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Sample {
            memory: field(&status, "VmRSS:").unwrap_or(0) * 1024,
            virtual_memory: field(&status, "VmSize:").unwrap_or(0) * 1024,
            memory_limit: self.memory_limit,
            cpu_time: duration(cpu),
            started: self.started,
            threads: field(&status, "Threads:"),
            open_files: open_files(),
            max_files: field(&limits, "Max open files"),
            disk: self
                .io
                .as_ref()
                .and_then(|io| text(io).ok())
                .and_then(|io| Some((field(&io, "read_bytes:")?, field(&io, "\nwrite_bytes:")?))),
            network: self
                .network
                .as_ref()
                .and_then(|dev| text(dev).ok())
                .map(|dev| network(&dev)),
            ..Sample::default()
        })
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The kernel tells how long after its own start that was, in ticks.
fn started() -> Option<SystemTime> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name comes second, in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    let after = Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64);
    let age = duration(clock_gettime(ClockId::Boottime)).saturating_sub(after);
    SystemTime::now().checked_sub(age)
}

fn text(file: &File) -> io::Result<String> {
    let mut bytes = vec![0; 16 << 10];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64)? {
            0 => break,
            n => len += n,
        }
    }
    bytes.truncate(len);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The number that comes after `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Linux 6.2 tells the count as the size of the directory, for which no descriptor is needed.
fn open_files() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    if size > 0 {
        return Some(size);
    }
    // One of them is the directory that is being read.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

fn network(dev: &str) -> (u64, u64) {
    let lines = dev.lines().filter_map(|line| line.split_once(':'));
    let devices = lines.filter(|(name, _)| name.trim() != "lo");
    devices.fold((0, 0), |(received, sent), (_, figures)| {
        let mut figures = figures.split_whitespace().map(|n| n.parse().unwrap_or(0));
        let (to, from) = (figures.next().unwrap_or(0), figures.nth(7).unwrap_or(0));
        (received + to, sent + from)
    })
}

/// The least of what the host has and the cgroups (v1 and v2, and all above) allow.
fn memory_limit() -> Option<u64> {
    let host = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")? * 1024;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            c if c.split(',').any(|c| c == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let above = std::path::Path::new(path).ancestors();
        let files = above.map(|group| format!("{root}{}/{file}", group.display()));
        files
            .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
            .collect()
    });
    // "No limit" is `max`, which is no number, or a number no host has.
    limits.chain([host]).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_all_devices_but_loopback() {
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n    \
            lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n  eth0: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  \
            eth1:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        assert_eq!(network(dev), (15, 27));
    }

    #[test]
    fn the_process_began_a_while_ago_but_not_long() {
        let age = started().unwrap().elapsed().unwrap_or_default();
        assert!(age < Duration::from_secs(3_600), "{age:?}");
    }

    #[test]
    fn no_limit_is_the_memory_of_the_host() {
        let host = fs::read_to_string("/proc/meminfo").unwrap();
        let host = field(&host, "MemTotal:").unwrap() * 1024;
        let limit = memory_limit().unwrap();
        assert!(limit > 0 && limit <= host, "{limit} of {host}");
    }
}
