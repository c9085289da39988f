use std::collections::HashSet;

#[cfg(target_os = "linux")]
use rustix::process::test_kill_process;
use rustix::process::{Pid, test_kill_process_group};

/// Which process groups have somebody alive in them. Zombies are nobody.
pub(super) enum Census {
    Counted(HashSet<Pid>),
    /// Where there is no `/proc` to count in, nor a kernel that answers for its groups.
    #[cfg_attr(target_vendor = "apple", allow(dead_code))]
    Unknown,
}

impl Census {
    /// Counts once for all of `groups`. Their leaders have to be there still, as zombies at least:
    /// otherwise a number may be somebody else's by now.
    pub(super) fn of(groups: impl Iterator<Item = Pid>) -> Self {
        let groups: HashSet<Pid> = groups.collect();
        if groups.is_empty() {
            return Self::Counted(groups);
        }
        count(groups)
    }

    pub(super) fn is_alive(&self, group: Pid) -> Option<bool> {
        match self {
            Self::Counted(alive) => Some(alive.contains(&group)),
            // Says "yes" for zombies too, on some systems.
            Self::Unknown => test_kill_process_group(group).is_err().then_some(false),
        }
    }
}

#[cfg(target_os = "linux")]
fn count(groups: HashSet<Pid>) -> Census {
    let Ok(everybody) = everybody() else {
        return Census::Unknown;
    };
    let members = everybody
        .filter_map(stat)
        .filter(|stat| stat.is_alive)
        .filter_map(|stat| stat.group);
    Census::Counted(members.filter(|group| groups.contains(group)).collect())
}

/// The kernels of Apple pass over zombies when they signal a group, and answer with an error when
/// nobody else is there.
#[cfg(target_vendor = "apple")]
fn count(groups: HashSet<Pid>) -> Census {
    Census::Counted(
        groups
            .into_iter()
            .filter(|group| test_kill_process_group(*group).is_ok())
            .collect(),
    )
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn count(_: HashSet<Pid>) -> Census {
    Census::Unknown
}

/// Whether a leader that has ended has left nobody in its group, for as little as it can be known:
/// on a quiet machine hardly anybody has been born since.
///
/// Numbers are given out in a circle, so one that has come full circle is overlooked. It is killed with
/// the group all the same; what it loses is its grace.
pub(super) fn has_left_nobody(leader: Pid) -> bool {
    #[cfg(target_os = "linux")]
    if let Some(born) = born_since(leader) {
        let mut living = born
            .filter(|pid| test_kill_process(*pid).is_ok())
            .filter_map(stat);
        return !living.any(|stat| stat.is_alive && stat.group == Some(leader));
    }
    Census::of([leader].into_iter()).is_alive(leader) == Some(false)
}

/// The numbers that have been given out since, when they are few.
#[cfg(target_os = "linux")]
fn born_since(pid: Pid) -> Option<impl Iterator<Item = Pid>> {
    const FEW: i32 = 500;
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    let last: i32 = load.trim_end().rsplit_once(' ')?.1.parse().ok()?;
    let first = pid.as_raw_pid().checked_add(1)?;
    (pid.as_raw_pid()..first.saturating_add(FEW))
        .contains(&last)
        .then(|| (first..=last).filter_map(Pid::from_raw))
}

/// Every process of the machine, as far as it is shown to us.
#[cfg(target_os = "linux")]
pub(super) fn everybody() -> std::io::Result<impl Iterator<Item = Pid>> {
    let names = std::fs::read_dir("/proc")?
        .flatten()
        .map(|entry| entry.file_name());
    Ok(names.filter_map(|name| name.to_str()?.parse().ok().and_then(Pid::from_raw)))
}

/// What the kernel tells about a process.
#[cfg(target_os = "linux")]
pub(super) struct Stat {
    pub(super) is_alive: bool,
    pub(super) parent: Option<Pid>,
    /// Nobody's, as it is seen from here: a thread of the kernel, or a process of another namespace.
    pub(super) group: Option<Pid>,
    /// When it began, in ticks since the machine did.
    pub(super) started: u64,
}

#[cfg(target_os = "linux")]
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // The name stands in parentheses and may contain any byte, these too.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..])
        .ok()?
        .split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    // One that is just being taken apart has a group of -1.
    let mut pid = || Some(Pid::from_raw(fields.next()?.parse::<i32>().ok()?.max(0)));
    let (parent, group) = (pid()?, pid()?);
    // A process whose first thread has ended looks like a zombie, and still runs.
    let threads: u32 = fields.nth(14)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Stat {
        is_alive: !is_zombie || threads > 1,
        parent,
        group,
        started,
    })
}
