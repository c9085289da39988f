use std::{
    io,
    time::{Duration, UNIX_EPOCH},
};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::Sample;

/// What `sysinfo` tells, where there is no `/proc`.
pub(super) struct Reader {
    system: System,
    pid: Pid,
    memory_limit: u64,
}

impl Reader {
    pub(super) fn new() -> io::Result<Self> {
        let pid = sysinfo::get_current_pid().map_err(io::Error::other)?;
        let mut system = System::new();
        system.refresh_memory();
        let memory_limit = system.total_memory();
        Ok(Self {
            system,
            pid,
            memory_limit,
        })
    }

    pub(super) fn read(&mut self) -> io::Result<Sample> {
        // `nothing` keeps the tasks, which cost more than all the rest.
        let kind = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_disk_usage();
        let own = ProcessesToUpdate::Some(&[self.pid]);
        self.system
            .refresh_processes_specifics(own, true, kind.without_tasks());
        let process = self.system.process(self.pid).ok_or(io::ErrorKind::NotFound)?;
        let disk = process.disk_usage();
        Ok(Sample {
            memory: process.memory(),
            virtual_memory: process.virtual_memory(),
            memory_limit: self.memory_limit,
            cpu_time: Duration::from_millis(process.accumulated_cpu_time()),
            started: UNIX_EPOCH.checked_add(Duration::from_secs(process.start_time())),
            open_files: process.open_files().map(|files| files as u64),
            max_files: process.open_files_limit().map(|files| files as u64),
            disk: Some((disk.total_read_bytes, disk.total_written_bytes)),
            ..Sample::default()
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn both_readers_see_the_same_process() {
        let theirs = Reader::new().unwrap().read().unwrap();
        let ours = super::super::linux::Reader::new().unwrap().read().unwrap();
        // Other tests run in this process meanwhile: a factor of four is what can be said.
        for (theirs, ours) in [
            (theirs.memory, ours.memory),
            (theirs.virtual_memory, ours.virtual_memory),
        ] {
            assert!(ours < theirs * 4 && theirs < ours * 4, "{ours} and {theirs}");
        }
        let (theirs_began, ours_began) = (theirs.started.unwrap(), ours.started.unwrap());
        let apart = theirs_began
            .duration_since(ours_began)
            .unwrap_or_else(|err| err.duration());
        assert!(apart < Duration::from_secs(60), "{apart:?}");
        assert_eq!(theirs.max_files, ours.max_files);
        assert!(ours.threads >= Some(1) && ours.open_files >= Some(3));
    }
}
