//! The faults that monitoring code is known for, and for each the test that ours does not have it.
//!
//! Sampling a process:
//!
//! - the first sample says 0 % of a processor: `processors_are_used_time_in_wall_time_and_the_first_sample_claims_nothing`
//! - two samples too close to each other say nonsense: `there_is_one_sampler_however_many_ask_and_it_tells_the_age_of_its_sample`
//! - processor time in ticks of 10 ms: `a_busy_loop_is_one_core_at_most_and_a_sleeper_none`
//! - per cent of one core only, or of the host: `a_busy_loop_is_one_core_at_most_and_a_sleeper_none`
//! - the v1 limit that is none, read as a limit: `the_least_limit_of_all_groups_above_counts_and_page_cache_does_not`
//! - no limit, read as nothing: `no_limit_is_the_memory_of_the_host`
//! - an alarm on page cache: `the_least_limit_of_all_groups_above_counts_and_page_cache_does_not`
//! - an alarm that flaps: `pressure_takes_three_samples_to_come_and_leaves_ten_per_cent_lower`
//! - I/O since whoever looked last: `io_is_counted_since_the_process_began_whoever_looks`
//! - readers that wait for the kernel: `there_is_one_sampler_however_many_ask_and_it_tells_the_age_of_its_sample`
//! - no figures when file descriptors run out: `sampling_goes_on_when_there_is_no_file_descriptor_left`
//! - old figures that look new: `a_sampler_out_of_files_keeps_the_last_figures_and_says_since_when`
//! - memory that was touched is not seen: `memory_that_is_touched_is_in_the_next_sample_and_in_the_peak`
//! - a sampler for each caller, and for ever: `there_is_one_sampler_however_many_ask_and_it_tells_the_age_of_its_sample`
//!
//! Health checks:
//!
//! - a request runs the checks, and can be used to load what they check: `an_endpoint_waits_for_no_check_and_runs_none`
//! - a check that hangs: `a_check_that_hangs_fails_at_its_timeout_and_never_runs_twice_at_a_time`
//! - a check that blocks its thread: `a_check_that_blocks_its_thread_grows_stale_and_the_others_go_on`
//! - a check that panics ends the others: `a_check_that_panics_anywhere_is_a_failure_and_the_others_go_on`
//! - all checks at once: `at_most_eight_checks_run_at_a_time_and_all_get_their_turn`
//! - replicas in step: `replicas_that_start_together_do_not_check_together`
//! - a dead task looks healthy: `a_dead_background_task_cannot_look_healthy`
//! - a runtime that cannot run checks looks like one that has not yet: `a_runtime_without_timers_is_refused_at_once_and_not_in_a_task`
//! - one failure takes the process out: `an_optional_check_degrades_and_a_required_one_takes_two_failures`
//! - a status that flaps: `one_pass_degrades_and_two_heal`
//! - a bad dependency unplugs all replicas: `an_open_breaker_degrades_and_five_required_ones_are_unhealthy`
//! - a pool with a line for an instant: `callers_in_line_at_a_pool_count_after_five_seconds`
//! - calls before it is started, and while it shuts down: `a_process_is_ready_once_it_has_started_until_it_shuts_down`
//! - a process that drains is killed by its liveness probe: `a_process_that_drains_is_alive_after_its_checks_have_ended`
//! - a stuck runtime cannot say so: `a_blocked_runtime_says_so_from_a_thread_of_its_own`
//! - errors, hosts and versions for everybody: `details_are_for_those_who_ask_and_may`
//! - what a process is, for everybody: `what_a_process_is_is_told_in_health_json_to_who_may_see_details`
//! - a page that rebinds a name: `a_page_that_rebinds_a_name_reads_nothing`
//! - any method will do: `only_get_and_head_of_known_paths`
//! - a body without a bound: `the_longest_report_there_can_be_is_within_64_kib`
//! - keys in any order: `the_report_is_that_of_the_original_with_sorted_keys_and_no_details`
//! - a format that is not the one asked for: `what_is_accepted_most_is_given`
//! - caches keep a failure: `unhealthy_is_503_everywhere_and_kept_by_no_cache`
//! - a flood of connections: `a_flood_of_silent_connections_is_over_when_they_are`
//! - a slow client: `a_client_that_sends_a_byte_at_a_time_is_cut_off`
//! - a subscriber that does not listen: `a_slow_subscriber_is_told_how_much_it_has_missed`
//! - tasks without an owner: `nothing_runs_on_when_the_last_handle_is_gone`
//!
//! Anomalies:
//!
//! - what is odd is left out, which makes more odd: `feedback_loop_of_leaving_out_what_is_odd`
//! - stuck for ever after a shift: `stuck_after_a_level_shift`
//! - stuck for ever after a shift, of any distribution: `no_shift_leaves_any_stream_stuck`
//! - flagged for as long as a shift lasts: `ten_times_as_slow_for_20000_calls_is_flagged_for_less_than_a_tenth_of_them`
//! - a single sample is an alert: `single_samples_are_never_an_alert`
//! - a single sample is lost: `one_call_of_a_minute_among_ten_thousand_is_an_exemplar_and_no_anomaly`
//! - nothing varies, and zero divides: `zero_variance_divides_by_zero`
//! - all in one bucket is below its own tenth percentile: `all_mass_in_one_bucket_is_not_below_its_own_tenth_percentile`
//! - decay during an alarm freezes it: `decay_during_an_alarm_freezes_it_under_the_guard`
//! - an anomaly teaches that anomalies are usual: `dispersion_learned_from_an_anomaly_makes_the_next_one_look_usual`
//! - a verdict without data: `there_is_no_verdict_before_two_hundred_calls`
//! - dependent calls cry wolf: `a_million_latencies_that_depend_on_each_other_are_three_anomalies_at_most`
//! - heavy tails cry wolf: `a_million_pareto_latencies_are_three_anomalies_at_most`
//! - two modes cry wolf: `a_million_hits_and_misses_are_three_anomalies_at_most`
//! - a shift is missed: `twice_as_slow_is_noticed_within_250_calls_and_over_within_1300`
//! - a slow tail is missed: `a_slow_tail_is_noticed_within_700_calls_and_the_median_stays`
//! - a slow drift is followed: `a_limit_sees_the_slow_drift_that_a_baseline_follows`
//! - a regression is accepted without a word: `a_shift_is_noted_for_ten_minutes`
//! - exemplars without a bound: `no_more_than_64_exemplars_are_kept_and_all_are_counted`
//! - labels without a bound: `no_more_than_4000_names_are_ever_kept_as_labels`
//! - two that tick: `ticks_of_two_threads_at_once_judge_each_call_once`
//! - a source that begins anew: `a_source_that_begins_anew_is_no_anomaly`
//! - figures at their ends, time that goes nowhere: `counts_at_their_ends_and_time_that_goes_nowhere_give_figures`

use std::{fs, path::Path};

/// All Rust files below a folder, as one text.
fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn each_fault_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut all);
    }
    let faults = include_str!("faults.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! - "));
    let mut count = 0;
    for fault in faults {
        let (_, test) = fault.split_once(": `").expect("a fault and its test");
        let test = test.strip_suffix('`').expect("a name in backticks");
        assert!(
            all.contains(&format!("fn {test}()")),
            "{fault}: there is no such test"
        );
        count += 1;
    }
    assert!(count > 60, "{count} faults");
}
