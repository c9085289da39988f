use std::time::Duration;

use hook_manager::{Ended, EventReport, HookResult, Origin};
use serde_json::{Value, json};

/// Every result in full, in one object.
pub(super) fn report(report: &EventReport) -> String {
    let merged = &report.merged;
    let value = json!({
        "event": report.event.as_str(),
        "blocked": report.is_blocked(),
        "took_ms": ms(report.took),
        "merged": {
            "decision": merged.decision.as_str(),
            "decided_by": merged.decided_by.iter().map(|hook| &**hook).collect::<Vec<_>>(),
            "reason": merged.reason,
            "contexts": merged.contexts,
            "updated_input": merged.updated_input,
            "system_messages": merged.system_messages,
            "stop": merged.stop,
            "hook_specific_output": merged.specific,
            "other": merged.other,
        },
        "results": report.results.iter().map(result).collect::<Vec<_>>(),
    });
    format!("{value:#}")
}

fn result(result: &HookResult) -> Value {
    let (outcome, error) = match &result.ended {
        Ended::Answered(_) => ("ok", None),
        Ended::Failed(err) => (
            "failed",
            Some(json!({ "kind": err.kind(), "message": err.to_string() })),
        ),
        Ended::Skipped(_) => ("skipped", None),
    };
    let output = result.output().map(|output| {
        json!({
            "exit_code": output.exit_code,
            "context": output.context,
            "updated_input": output.updated_input,
            "system_message": output.system_message,
            "stop": output.stop,
            "hook_specific_output": output.specific,
            "stdout": output.stdout.text(),
            "stdout_excess_bytes": output.stdout.excess(),
            "stderr": output.stderr.text(),
            "stderr_excess_bytes": output.stderr.excess(),
        })
    });
    json!({
        "hook": &*result.hook,
        "source": origin(&result.origin),
        "outcome": outcome,
        "decision": result.decision().as_str(),
        "reason": result.reason(),
        "error": error,
        "guard": result.guard,
        "on_failure": result.on_failure.to_string(),
        "took_ms": ms(result.took),
        "queued_ms": ms(result.queued),
        "attempts": result.attempts,
        "cached": result.cached,
        "output": output,
    })
}

pub(super) fn origin(origin: &Origin) -> Value {
    json!({
        "file": origin.file.as_ref().map(|file| file.display().to_string()),
        "place": origin.place,
        "line": origin.line,
        "column": origin.column,
    })
}

/// Milliseconds to a microsecond.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
