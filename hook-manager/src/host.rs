//! An event's answer in the host's own words: what goes to standard output, what to standard error,
//! and the exit status.

use serde_json::{Map, Value, json};

use crate::{
    event::{DecisionShape, ExitTwo},
    output::Decision,
    result::EventReport,
};

/// What the host reads from a hook that stands for all the hooks of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostReply {
    /// For standard output: one JSON object, or nothing when there is nothing to say.
    pub stdout: String,
    /// For standard error: the reason of a block, for hosts that read only that.
    pub stderr: String,
    /// The exit status: 2 blocks, where the event can be blocked; 1 says that a hook failed and stops
    /// nothing; 0 otherwise.
    pub code: u8,
}

/// Says to the host what came of an event.
///
/// A block is said twice, as JSON and as exit status 2 with its reason on standard error, so that
/// hosts which read only one of them block too. Nothing else ever ends with status 2.
pub fn reply(report: &EventReport) -> HostReply {
    let spec = report.event.spec();
    let merged = &report.merged;
    let blocks = merged.decision == Decision::Deny
        && matches!(spec.exit_two, ExitTwo::Blocks | ExitTwo::StderrToModel);
    let stderr = match (blocks, &merged.reason) {
        (true, Some(reason)) => reason.clone(),
        (true, None) => "blocked".to_owned(),
        (false, _) => String::new(),
    };
    // A decision stands in the JSON, which some hosts read on status 0 only.
    let is_said = merged.stop.is_some() || merged.decision != Decision::None;
    let code = match (blocks, is_said, report.failures().next()) {
        (true, ..) => 2,
        (false, false, Some(_)) => 1,
        _ => 0,
    };
    let stdout = match spec.decision {
        DecisionShape::WorktreePath => worktree(report).unwrap_or_else(|| object(report)),
        _ => object(report),
    };
    HostReply { stdout, stderr, code }
}

/// The path a hook made for the host, which is read as plain text.
fn worktree(report: &EventReport) -> Option<String> {
    let texts = report
        .results
        .iter()
        .filter_map(|result| Some(result.output()?.stdout.text().into_owned()));
    let mut lines = texts.filter_map(|text| Some(text.trim_end().lines().next_back()?.trim().to_owned()));
    lines.find(|line| !line.is_empty() && !line.starts_with('{') && !line.ends_with('}'))
}

fn object(report: &EventReport) -> String {
    let merged = &report.merged;
    let mut answer = merged.other.clone();
    if let Some(reason) = &merged.stop {
        answer.insert("continue".into(), json!(false));
        if !reason.is_empty() {
            answer.insert("stopReason".into(), json!(reason));
        }
    }
    if !merged.system_messages.is_empty() {
        answer.insert("systemMessage".into(), json!(merged.system_messages.join("\n")));
    }
    let mut specific = merged.specific.clone();
    if !merged.contexts.is_empty() {
        specific.insert("additionalContext".into(), json!(merged.contexts.join("\n\n")));
    }
    decide(report, &mut answer, &mut specific);
    if !specific.is_empty() {
        specific.insert("hookEventName".into(), json!(report.event.as_str()));
        answer.insert("hookSpecificOutput".into(), Value::Object(specific));
    }
    match answer.is_empty() {
        true => String::new(),
        false => Value::Object(answer).to_string(),
    }
}

/// Writes the decision in the shape that the event has for it.
fn decide(report: &EventReport, answer: &mut Map<String, Value>, specific: &mut Map<String, Value>) {
    let merged = &report.merged;
    let denied = merged.decision == Decision::Deny;
    match report.event.spec().decision {
        DecisionShape::Permission => permission(report, specific),
        DecisionShape::PermissionRequest => {
            if let Some(decision) = behavior(report) {
                specific.insert("decision".into(), decision);
            }
        }
        DecisionShape::Action if denied && !specific.contains_key("action") => {
            specific.insert("action".into(), json!("decline"));
            specific.remove("content");
        }
        DecisionShape::ContinueFalse if denied => {
            answer.insert("continue".into(), json!(false));
            answer.insert(
                "stopReason".into(),
                json!(merged.reason.as_deref().unwrap_or("blocked")),
            );
        }
        DecisionShape::Block if denied => {
            answer.insert("decision".into(), json!("block"));
            answer.insert(
                "reason".into(),
                json!(merged.reason.as_deref().unwrap_or("blocked")),
            );
        }
        _ => {}
    }
    // Nobody knows which form an unknown event reads.
    if !report.event.is_known() {
        permission(report, specific);
    }
}

fn permission(report: &EventReport, specific: &mut Map<String, Value>) {
    let merged = &report.merged;
    if merged.decision != Decision::None {
        specific.insert("permissionDecision".into(), json!(merged.decision.as_str()));
        if let Some(reason) = &merged.reason {
            specific.insert("permissionDecisionReason".into(), json!(reason));
        }
    }
    // A rewrite of what is not going to happen is no use to anyone.
    if let (Some(input), true) = (&merged.updated_input, merged.decision != Decision::Deny) {
        specific.insert("updatedInput".into(), input.clone());
    }
}

/// The answer to a PermissionRequest: none leaves it to the user.
fn behavior(report: &EventReport) -> Option<Value> {
    let merged = &report.merged;
    match merged.decision {
        Decision::Deny => {
            let mut decision = json!({ "behavior": "deny" });
            if let Some(reason) = &merged.reason {
                decision["message"] = json!(reason);
            }
            if merged.interrupt {
                decision["interrupt"] = json!(true);
            }
            Some(decision)
        }
        Decision::Allow => {
            let mut decision = json!({ "behavior": "allow" });
            if let Some(input) = &merged.updated_input {
                decision["updatedInput"] = input.clone();
            }
            if !merged.updated_permissions.is_empty() {
                decision["updatedPermissions"] = json!(merged.updated_permissions);
            }
            Some(decision)
        }
        _ => None,
    }
}
