use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
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
    group: Option<Group>,
    limits: File,
    io: Option<File>,
    network: Option<File>,
    memory_limit: u64,
    started: Option<SystemTime>,
    samples: u32,
}

/// The cgroup whose limit is the least, and what is in use of it. Its files stay open.
struct Group {
    usage: File,
    stat: File,
    inactive: &'static str,
}

/// The cgroup's limit is looked up every so many samples.
const LIMIT_EVERY: u32 = 30;

impl Reader {
    pub(super) fn new() -> io::Result<Self> {
        let (memory_limit, group) = limit(Path::new("/")).unwrap_or((0, None));
        Ok(Self {
            status: File::open("/proc/self/status")?,
            group,
            limits: File::open("/proc/self/limits")?,
            io: File::open("/proc/self/io").ok(),
            network: File::open("/proc/self/net/dev").ok(),
            memory_limit,
            started: started(),
            samples: 0,
        })
    }

    pub(super) fn read(&mut self) -> io::Result<Sample> {
        self.samples += 1;
        if self.samples % LIMIT_EVERY == 0 {
            // Kept as it was if there is no file descriptor to be had.
            if let Ok((memory_limit, group)) = limit(Path::new("/")) {
                (self.memory_limit, self.group) = (memory_limit, group);
            }
        }
        let status = text(&self.status)?;
        let limits = text(&self.limits)?;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Ok(Sample {
            memory: field(&status, "VmRSS:").unwrap_or(0) * 1024,
            virtual_memory: field(&status, "VmSize:").unwrap_or(0) * 1024,
            memory_limit: self.memory_limit,
            group_memory: self.group.as_ref().and_then(Group::used),
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

impl Group {
    /// Without the page cache that the kernel gives back when asked: an alarm on that is a false one.
    fn used(&self) -> Option<u64> {
        let usage: u64 = text(&self.usage).ok()?.trim().parse().ok()?;
        let inactive = field(&text(&self.stat).ok()?, self.inactive).unwrap_or(0);
        Some(usage.saturating_sub(inactive))
    }
}

/// The least of what the host has and the cgroups (v1 and v2, and all above) allow, and the cgroup it
/// is that of. `root` is where `/proc` and `/sys` are. An error says that there was no descriptor.
fn limit(root: &Path) -> io::Result<(u64, Option<Group>)> {
    let meminfo = fs::read_to_string(root.join("proc/meminfo"))?;
    let mut least = field(&meminfo, "MemTotal:").ok_or(io::ErrorKind::InvalidData)? * 1024;
    let mut group = None;
    let groups = unless_absent(fs::read_to_string(root.join("proc/self/cgroup")))?.unwrap_or_default();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or("/"));
        let (mount, [limit, usage, inactive]) = match controllers {
            "" => ("sys/fs/cgroup", V2),
            c if c.split(',').any(|c| c == "memory") => ("sys/fs/cgroup/memory", V1),
            _ => continue,
        };
        for above in Path::new(path).ancestors() {
            let folder = root.join(mount).join(above.strip_prefix("/").unwrap_or(above));
            let Some(text) = unless_absent(fs::read_to_string(folder.join(limit)))? else {
                continue;
            };
            // "No limit" is `max`, which is no number, or a number no host has.
            let Some(bytes) = text.trim().parse().ok().filter(|bytes| *bytes < least) else {
                continue;
            };
            least = bytes;
            let usage = unless_absent(File::open(folder.join(usage)))?;
            let stat = unless_absent(File::open(folder.join("memory.stat")))?;
            group = usage.zip(stat).map(|(usage, stat)| Group {
                usage,
                stat,
                inactive,
            });
        }
    }
    Ok((least, group))
}

/// The file of the limit, that of the usage, and the field of `memory.stat`.
const V2: [&str; 3] = ["memory.max", "memory.current", "\ninactive_file"];
const V1: [&str; 3] = [
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "\ntotal_inactive_file",
];

/// A file that is not there, or not for us, is no error; to have no descriptor left is.
fn unless_absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(err) if matches!(err.raw_os_error(), Some(EMFILE | ENFILE)) => Err(err),
        Err(_) => Ok(None),
    }
}

const EMFILE: i32 = rustix::io::Errno::MFILE.raw_os_error();
const ENFILE: i32 = rustix::io::Errno::NFILE.raw_os_error();

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
        let (limit, _) = limit(Path::new("/")).unwrap();
        assert!(limit > 0 && limit <= host, "{limit} of {host}");
    }

    /// A root with 1 GiB of memory and these files.
    fn root(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("hook-monitor-{}-{name}", std::process::id()));
        for (file, text) in [("proc/meminfo", "MemTotal: 1048576 kB\n")].iter().chain(files) {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_limit_of_all_groups_above_counts_and_page_cache_does_not() {
        for (name, files, least, used) in [
            (
                "v2",
                &[
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                    ("sys/fs/cgroup/a/memory.max", "268435456\n"),
                    ("sys/fs/cgroup/a/memory.current", "200000000\n"),
                    (
                        "sys/fs/cgroup/a/memory.stat",
                        "anon 1\ninactive_file 150000000\nactive_file 7\n",
                    ),
                ][..],
                268_435_456,
                Some(50_000_000),
            ),
            (
                "v1",
                &[
                    ("proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/docker/x\n"),
                    // The path is the host's; what the container sees is its root.
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n"),
                    ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n"),
                    (
                        "sys/fs/cgroup/memory/memory.stat",
                        "inactive_file 1\ntotal_inactive_file 300000\n",
                    ),
                ],
                1_000_000,
                Some(600_000),
            ),
            (
                "unlimited",
                &[
                    ("proc/self/cgroup", "4:memory:/\n"),
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                    ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n"),
                ],
                1 << 30,
                None,
            ),
            ("none", &[], 1 << 30, None),
        ] {
            let root = root(name, files);
            let (limit, group) = limit(&root).unwrap();
            assert_eq!(
                (limit, group.and_then(|group| group.used())),
                (least, used),
                "{name}"
            );
            fs::remove_dir_all(root).unwrap();
        }
    }
}
