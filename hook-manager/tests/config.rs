//! Figures from presets, a file and the environment, and what is said about those that make no sense.

use std::{fs, path::PathBuf, time::Duration};

use hook_manager::{BuildError, Config, HookManager, HookManagerBuilder, Preset};
use tempfile::TempDir;

fn config(builder: HookManagerBuilder) -> Config {
    builder.build().unwrap().config().clone()
}

/// A file of this text, and the folder that is to be kept for as long as the file.
fn file(text: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hook-manager.toml");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn read(text: &str) -> Result<HookManagerBuilder, BuildError> {
    let (_dir, path) = file(text);
    HookManager::builder().config_file(path)
}

fn vars(vars: &[(&str, &str)]) -> Result<HookManagerBuilder, BuildError> {
    let vars = vars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    HookManager::builder().env_from(vars)
}

#[test]
fn the_defaults_are_the_originals() {
    let config = config(HookManager::builder());
    assert_eq!(config.cache_ttl, Duration::from_secs(300));
    assert_eq!((config.breaker_threshold, config.retries), (3, 3));
    assert_eq!((config.pool_size, config.max_concurrent_hooks), (10, 5));
    assert_eq!(config.deadline, Duration::from_secs(15));
    assert!(config.monitoring && config.cache && config.breaker);
}

#[test]
fn the_presets_have_the_originals_figures_and_leave_the_others_alone() {
    // TTL in seconds, breaker threshold, retries, pool size, concurrent hooks.
    for (preset, figures) in [
        (Preset::Production, (1_800, 2, 5, 50, 10)),
        (Preset::HighThroughput, (1_800, 3, 3, 50, 15)),
        (Preset::LowLatency, (300, 2, 1, 10, 5)),
        (Preset::ResourceConstrained, (120, 3, 3, 5, 3)),
    ] {
        for config in [
            config(HookManager::builder().preset(preset)),
            config(read(&format!("preset = \"{preset}\"")).unwrap()),
            config(vars(&[("HOOK_MANAGER_PRESET", preset.as_str())]).unwrap()),
        ] {
            let found = (
                config.cache_ttl.as_secs(),
                config.breaker_threshold,
                config.retries,
                config.pool_size,
                config.max_concurrent_hooks,
            );
            assert_eq!(found, figures, "{preset}");
        }
    }
}

#[test]
fn a_figure_beside_a_preset_wins_wherever_it_stands() {
    let config = config(read("retries = 0\npreset = \"production\"\ncache_ttl = 0.5").unwrap());
    assert_eq!((config.retries, config.pool_size), (0, 50));
    assert_eq!(config.cache_ttl, Duration::from_millis(500));
}

#[test]
fn every_figure_can_be_read_from_a_file_and_from_the_environment() {
    let text = r#"
        max_concurrent_hooks = 7
        deadline = 2.5
        cache = false
        cache_ttl = 60
        cache_capacity = 10
        breaker = false
        breaker_threshold = 4
        breaker_open_for = 5
        retries = 1
        pool_size = 2
        monitoring = false
        output_limit = 2048
        grace = 0
        max_runs_per_minute = 100
        max_runs_per_session = 1_000
        max_context_per_session = 0x1000
        max_depth = 3
        state_dir = "DIR"
        save_every = 10
        save_results = true
        performance_log = true
    "#;
    let dir = tempfile::tempdir().unwrap();
    let text = &text.replace("DIR", dir.path().to_str().unwrap());
    let from_file = config(read(text).unwrap());
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let pairs: Vec<(String, String)> = lines
        .map(|(key, value)| {
            let value = value.trim().replace("0x1000", "4096").replace("1_000", "1000");
            let value = value.trim_matches('"').to_owned();
            (format!("HOOK_MANAGER_{}", key.trim().to_uppercase()), value)
        })
        .collect();
    let from_vars = config(HookManager::builder().env_from(pairs).unwrap());
    assert_eq!(from_file, from_vars);
    let defaults = Config::default();
    assert_ne!(from_file.deadline, defaults.deadline);
    assert_eq!(
        (from_file.max_context_per_session, from_file.max_depth),
        (4_096, 3)
    );
    assert_eq!(from_file.grace, Duration::ZERO);
}

#[test]
fn numbers_are_read_in_every_spelling_that_toml_has() {
    let read = config(
        read("cache_capacity = 1_000\nmax_runs_per_minute = 0x10\ndeadline = 1_0.5\ncache_ttl = 5e-1")
            .unwrap(),
    );
    assert_eq!((read.cache_capacity, read.max_runs_per_minute), (1_000, 16));
    assert_eq!(
        (read.deadline, read.cache_ttl),
        (Duration::from_millis(10_500), Duration::from_millis(500))
    );
}

#[test]
fn what_cannot_be_used_in_a_file_is_refused_with_its_line_its_key_and_what_was_expected() {
    for (text, sentence) in [
        (
            "\ncache_tll = 5",
            ":2: cache_tll: is not known, expected `cache_ttl`?",
        ),
        (
            "hoooks = 5",
            ":1: hoooks: is not known, expected one of max_concurrent_hooks, deadline,",
        ),
        ("retries = -1", ":1: retries: is -1, expected 0 to 100"),
        ("retries = 2.5", ":1: retries: is 2.5, expected 0 to 100"),
        (
            "retries = 99999999999999999999",
            ":1: retries: is a number that is too large, expected 0 to 100",
        ),
        ("retries = \"3\"", ":1: retries: is \"3\", expected 0 to 100"),
        (
            "\n\ndeadline = 0",
            ":3: deadline: is 0, expected seconds from 0.001 to 86400",
        ),
        (
            "deadline = 1e99",
            ":1: deadline: is 1e99, expected seconds from 0.001 to 86400",
        ),
        (
            "deadline = nan",
            ":1: deadline: is NaN, expected seconds from 0.001 to 86400",
        ),
        ("cache = 1", ":1: cache: is 1, expected true or false"),
        ("pool_size = []", ":1: pool_size: is a list, expected 1 to 10000"),
        (
            "[cache]\nttl = 5",
            ":1: cache: is a table, expected true or false",
        ),
        (
            "preset = \"fast\"",
            ":1: preset: is \"fast\", expected one of production, high_throughput, low_latency,",
        ),
        ("state_dir = \"\"", ":1: state_dir: is \"\", expected a path"),
    ] {
        let (_dir, path) = file(text);
        let err = HookManager::builder().config_file(&path).unwrap_err().to_string();
        let said = err.strip_prefix(&path.display().to_string());
        assert!(said.is_some_and(|said| said.starts_with(sentence)), "{err}");
    }
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_refused_with_its_name() {
    let (_dir, path) = file("cache_ttl = 5\ncache_ttl = 6\n");
    let err = HookManager::builder().config_file(&path).unwrap_err().to_string();
    assert!(err.starts_with(&format!("{}:2: ", path.display())), "{err}");
    let (_dir, path) = file("# figures\ndeadline = \n");
    let err = HookManager::builder().config_file(&path).unwrap_err().to_string();
    let said = err.strip_prefix(&format!("{}:2: not TOML: ", path.display()));
    assert!(
        said.is_some_and(|said| said.ends_with(", expected lines such as `deadline = 15`")
            && said.matches("expected").count() == 1),
        "{err}"
    );
    let err = HookManager::builder()
        .config_file("/nowhere.toml")
        .unwrap_err()
        .to_string();
    assert!(
        err.starts_with("/nowhere.toml: ") && err.ends_with("expected a TOML file of up to 1 MiB"),
        "{err}"
    );
    let err = HookManager::builder()
        .config_file("/dev/zero")
        .unwrap_err()
        .to_string();
    assert_eq!(
        err,
        "/dev/zero: no ordinary file, expected a TOML file of up to 1 MiB"
    );
}

#[test]
fn variables_are_refused_by_name_with_the_nearest_that_is_known() {
    for (name, value, sentence) in [
        (
            "HOOK_MANAGER_CACHE_TLL",
            "5",
            "environment: HOOK_MANAGER_CACHE_TLL: is not known, expected `HOOK_MANAGER_CACHE_TTL`?",
        ),
        (
            "HOOK_MANAGER_RETRIES",
            "many",
            "environment: HOOK_MANAGER_RETRIES: is \"many\", expected 0 to 100",
        ),
        (
            "HOOK_MANAGER_MONITORING",
            "maybe",
            "environment: HOOK_MANAGER_MONITORING: is \"maybe\", expected true or false",
        ),
    ] {
        assert_eq!(vars(&[(name, value)]).unwrap_err().to_string(), sentence);
    }
    // What is told to hooks, and what belongs to others.
    let config = config(vars(&[("HOOK_MANAGER_DEPTH", "1"), ("HOOK", "x"), ("PATH", "/bin")]).unwrap());
    assert_eq!(config, Config::default());
}

#[test]
fn what_is_to_be_written_needs_a_place() {
    for (builder, sentence) in [
        (
            HookManager::builder().performance_log(true),
            "performance_log: expected a state_dir to write to, found true, and no state_dir",
        ),
        (
            HookManager::builder().save_results(true),
            "save_results: expected a state_dir to write to, found true, and no state_dir",
        ),
    ] {
        assert_eq!(builder.build().unwrap_err().to_string(), sentence);
    }
}
