//! What the sampler says of a real process, each in a process of its own: this test, started again.

#![cfg(target_os = "linux")]

use std::{
    env,
    fs::File,
    hint::black_box,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hook_monitor::{
    Source, Status,
    resources::{Resources, Usage},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CHILD: &str = "HOOK_MONITOR_RESOURCES_CHILD";

/// Runs `test` in a process of its own. True in that process.
fn is_child(test: &str) -> bool {
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        thread::park_timeout(Duration::from_millis(20));
    };
    assert!(status.success(), "{test}: {status}");
    false
}

/// Waits for the next sample. It samples once a second.
fn next(resources: &Resources) -> Usage {
    let last = resources.usage().sampled_at;
    let deadline = Instant::now() + Duration::from_secs(30);
    while resources.usage().sampled_at == last {
        assert!(Instant::now() < deadline, "no sample for 30 s");
        thread::park_timeout(Duration::from_millis(5));
    }
    resources.usage()
}

#[test]
fn sampling_goes_on_when_there_is_no_file_descriptor_left() {
    if !is_child("sampling_goes_on_when_there_is_no_file_descriptor_left") {
        return;
    }
    let resources = Resources::start().unwrap();
    let limit = Rlimit {
        current: Some(64),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut held = Vec::new();
    let err = loop {
        match File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(err) => break err,
        }
    };
    assert_eq!(err.raw_os_error(), Some(24), "EMFILE");
    let before = resources.usage().sampled_at;
    for _ in 0..2 {
        let usage = next(&resources);
        assert_eq!(usage.stale_since, None);
        assert!(usage.current.memory > 0 && usage.current.cpu_cores.is_some());
        assert_eq!(usage.current.max_files, Some(64), "the limit of now");
        // Before Linux 6.2 the count itself takes a descriptor, and is unknown.
        assert!(
            usage.current.open_files.is_none_or(|open| open >= 60),
            "{usage:?}"
        );
    }
    assert!(resources.usage().sampled_at > before);
    assert_eq!(Source::status(&resources), Status::Healthy);
    drop(held);
}

#[test]
fn a_busy_loop_is_one_core_at_most_and_a_sleeper_none() {
    if !is_child("a_busy_loop_is_one_core_at_most_and_a_sleeper_none") {
        return;
    }
    let resources = Resources::start().unwrap();
    next(&resources);
    let idle = next(&resources).current.cpu_cores.unwrap();
    assert!(idle < 0.5, "{idle} cores of waiting");
    // What this one thread got of a machine that others use, too, is what the sampler has to say.
    let own = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = |at: rustix::time::Timespec| at.tv_sec as f64 + at.tv_nsec as f64 / 1e9;
    let (start, began) = (Instant::now(), own());
    let first = resources.usage().current.cpu_time;
    let mut last = resources.usage();
    while start.elapsed() < Duration::from_secs(3) {
        (0..1_000u32).for_each(|n| {
            black_box(n);
        });
        last = resources.usage();
    }
    let got = seconds(own()) - seconds(began);
    let said = (last.current.cpu_time - first).as_secs_f64();
    assert!(said <= got + 0.1 && said >= got - 2.1, "{said} s of {got} s");
    let (cores, ratio) = (last.current.cpu_cores.unwrap(), last.current.cpu_ratio.unwrap());
    assert!(cores <= 1.1 && cores > idle, "{cores} cores");
    let available = thread::available_parallelism().unwrap().get() as f64;
    assert!((ratio - cores / available).abs() < 1e-9, "{ratio}");
    // On a machine that had the core to spare, as near as the scenario wants it.
    if got > 2.9 {
        assert!((0.9..=1.1).contains(&cores), "{cores} cores");
    }
}

#[test]
fn memory_that_is_touched_is_in_the_next_sample_and_in_the_peak() {
    if !is_child("memory_that_is_touched_is_in_the_next_sample_and_in_the_peak") {
        return;
    }
    const MIB: u64 = 1 << 20;
    let resources = Resources::start().unwrap();
    let before = next(&resources).current.memory;
    let touched = vec![1_u8; 200 * MIB as usize];
    next(&resources);
    let during = next(&resources).current.memory;
    let rise = (during - before) / MIB;
    assert!((190..=220).contains(&rise), "{rise} MiB");
    drop(black_box(touched));
    next(&resources);
    let after = next(&resources);
    assert!(after.current.memory < before + 50 * MIB);
    assert!(after.peak.memory >= during && after.baseline.memory <= during);
}

#[test]
fn io_is_counted_since_the_process_began_whoever_looks() {
    if !is_child("io_is_counted_since_the_process_began_whoever_looks") {
        return;
    }
    let resources = Resources::start().unwrap();
    let mut last = resources.usage().current;
    for _ in 0..2 {
        // Looking takes nothing away from the next who looks.
        (0..100).for_each(|_| {
            black_box(resources.usage());
        });
        let usage = next(&resources);
        for (now, before) in [
            (usage.current.disk, last.disk),
            (usage.current.network, last.network),
        ] {
            let (now, before) = (now.unwrap_or_default(), before.unwrap_or_default());
            assert!(now.0 >= before.0 && now.1 >= before.1, "{now:?} after {before:?}");
        }
        assert!(usage.current.cpu_time >= last.cpu_time);
        last = usage.current;
    }
}
