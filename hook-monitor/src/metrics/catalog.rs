use metrics::Unit;

/// What is known of a metric by its name.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Family {
    /// Its name, as in Prometheus.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    /// What it tells.
    pub help: &'static str,
}

/// The kinds of metrics there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

const fn of(kind: Kind, name: &'static str, unit: Unit, help: &'static str) -> Family {
    Family {
        name,
        kind,
        unit,
        help,
    }
}

const fn count(name: &'static str, help: &'static str) -> Family {
    of(Kind::Counter, name, Unit::Count, help)
}

const fn total_seconds(name: &'static str, help: &'static str) -> Family {
    of(Kind::Counter, name, Unit::Seconds, help)
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    of(Kind::Gauge, name, Unit::Count, help)
}

const fn times(name: &'static str, help: &'static str) -> Family {
    of(Kind::Histogram, name, Unit::Seconds, help)
}

/// The names of all layers, and of what this crate adds. Others are published as well, without a word of help.
pub static CATALOG: &[Family] = &[
    count("hook_calls_total", "Calls that ended, by outcome."),
    gauge("hook_calls_in_flight", "Calls that began and have not ended."),
    times(
        "hook_call_duration_seconds",
        "How long calls took that were tried and judged.",
    ),
    count("hook_cache_gets_total", "Lookups, by result."),
    count(
        "hook_cache_refreshes_total",
        "Values that were loaded anew before they were too old.",
    ),
    count(
        "hook_cache_rescued_total",
        "Failed loads that an old value stood in for.",
    ),
    count("hook_cache_puts_total", "Values that were stored."),
    count("hook_cache_evictions_total", "Values that went, by cause."),
    count(
        "hook_cache_refused_total",
        "Values that were not stored, by reason.",
    ),
    gauge("hook_cache_entries", "Values there are."),
    gauge("hook_cache_weight", "What the values weigh, in entries or bytes."),
    gauge("hook_cache_utilisation", "How full the cache is, 0 to 1."),
    times(
        "hook_cache_load_duration_seconds",
        "How long loads took, by result.",
    ),
    gauge(
        "hook_breaker_state",
        "1 for the state the circuit is in, 0 for all others.",
    ),
    total_seconds(
        "hook_breaker_state_seconds_total",
        "Whole seconds spent in each state.",
    ),
    count("hook_breaker_transitions_total", "Changes of state."),
    count("hook_breaker_calls_total", "Calls, by kind."),
    gauge(
        "hook_breaker_calls_in_flight",
        "Calls that were let in and have not ended.",
    ),
    gauge("hook_breaker_waiting", "Services that wait to be let in."),
    gauge(
        "hook_breaker_failure_ratio",
        "Failures by calls in the window, 0 to 1.",
    ),
    gauge(
        "hook_breaker_slow_call_ratio",
        "Slow calls by calls in the window, 0 to 1.",
    ),
    count(
        "hook_retry_calls_total",
        "Calls that ended, with or without a retry, well or not.",
    ),
    of(
        Kind::Histogram,
        "hook_retry_attempts",
        Unit::Count,
        "How many attempts a call took; nine or more are nine.",
    ),
    count(
        "hook_retry_attempts_total",
        "Attempts: one for each call, and the retries.",
    ),
    count("hook_retry_retries_total", "Attempts beyond the first of a call."),
    count(
        "hook_retry_given_up_total",
        "Failed calls that were not retried any further, by cause.",
    ),
    total_seconds(
        "hook_retry_backoff_seconds_total",
        "Whole seconds that calls waited before retries.",
    ),
    gauge(
        "hook_retry_budget_tokens",
        "Retries that the budget would pay for now.",
    ),
    gauge("hook_pool_connections", "Connections, by what they are doing."),
    gauge(
        "hook_pool_connections_max",
        "Connections there may be for one key.",
    ),
    gauge("hook_pool_pending", "Callers in line for a connection."),
    count("hook_pool_created_total", "Connections that were opened."),
    count(
        "hook_pool_closed_total",
        "Connections that were closed, by reason.",
    ),
    count(
        "hook_pool_connect_errors_total",
        "Connections that could not be opened.",
    ),
    count("hook_pool_timeouts_total", "Callers that waited in vain."),
    times(
        "hook_pool_wait_seconds",
        "How long callers waited for a connection, if they had to.",
    ),
    times("hook_pool_use_seconds", "How long connections were held."),
    times(
        "hook_pool_create_seconds",
        "How long it took to open connections.",
    ),
    gauge(
        "hook_health_status",
        "1 for the state a component is in, 0 for all others.",
    ),
    of(
        Kind::Gauge,
        "hook_health_check_duration_seconds",
        Unit::Seconds,
        "How long the latest run of a check took; 0 before there was one.",
    ),
    of(
        Kind::Gauge,
        "hook_runtime_lag_seconds",
        Unit::Seconds,
        "How late the runtime is.",
    ),
    count(
        "hook_health_check_failures_total",
        "Health checks that failed, by reason.",
    ),
    gauge("hook_anomaly_active", "1 while a signal is out of the ordinary."),
    count(
        "hook_anomaly_episodes_total",
        "Times that a signal was out of the ordinary.",
    ),
    count(
        "hook_baseline_shifts_total",
        "Times that something new became the ordinary.",
    ),
    count(
        "hook_anomaly_outliers_total",
        "Single calls that were far slower than is ordinary.",
    ),
    of(
        Kind::Gauge,
        "hook_baseline_seconds",
        Unit::Seconds,
        "What is ordinary, by quantile.",
    ),
    gauge(
        "hook_baseline_day_ratio",
        "What is ordinary now by what was ordinary over the last day.",
    ),
    count(
        OVERFLOW,
        "Label sets and sources beyond the limits: folded into `other`, or refused.",
    ),
    count(
        INVALID,
        "Samples and series that make no sense, dropped or cut, by reason.",
    ),
    // A counter by its nature; the counters of the facade are whole, and a tenth of a second matters here.
    of(
        Kind::Gauge,
        "process_cpu_seconds_total",
        Unit::Seconds,
        "Seconds of processor time.",
    ),
    of(
        Kind::Gauge,
        "process_resident_memory_bytes",
        Unit::Bytes,
        "Memory in use.",
    ),
    of(
        Kind::Gauge,
        "process_virtual_memory_bytes",
        Unit::Bytes,
        "Address space in use.",
    ),
    gauge("process_open_fds", "Open file descriptors."),
    gauge("process_max_fds", "File descriptors there may be."),
    gauge("process_threads", "Threads."),
    of(
        Kind::Gauge,
        "process_start_time_seconds",
        Unit::Seconds,
        "When the process began, since 1970.",
    ),
];

pub(super) const OVERFLOW: &str = "hook_monitor_label_overflow_total";
pub(super) const INVALID: &str = "hook_monitor_invalid_samples_total";
