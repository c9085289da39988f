use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    hook::OnFailure,
    output::{Action, Decision},
    result::{Ended, HookResult},
};

/// The results of all hooks as one answer. It depends on what the hooks said and on the order in
/// which they are declared, never on which of them was faster.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Merged {
    /// The most restrictive decision: deny > defer > ask > allow.
    pub decision: Decision,
    /// The reasons of the hooks that made this decision, one a line.
    pub reason: Option<String>,
    /// The hooks that made this decision.
    pub decided_by: Vec<Arc<str>>,
    /// Every hook's context.
    pub contexts: Vec<String>,
    /// The tool's input with every hook's rewrite applied.
    pub updated_input: Option<Value>,
    /// Messages for the user: the hooks' own, and one for each failure its owner does not want ignored.
    pub system_messages: Vec<String>,
    /// Set when a hook wants the host to stop altogether, to its reason.
    pub stop: Option<String>,
    /// The permission rules of all hooks that allowed a PermissionRequest.
    pub updated_permissions: Vec<Value>,
    /// Whether a hook that denied a PermissionRequest wants the model interrupted.
    pub interrupt: bool,
    /// The fields of the hooks' answers that belong to the event. Lists are joined; of two `action`s
    /// the stricter one stands, of two other values the later one.
    pub specific: Map<String, Value>,
    /// The same for fields at the top level.
    pub other: Map<String, Value>,
}

/// Merges results that stand in declared order. `asked` is the tool input the hooks were asked about.
pub(crate) fn merge(asked: Option<&Value>, results: &[HookResult]) -> Merged {
    let decision = results.iter().map(HookResult::decision).max().unwrap_or_default();
    let mut merged = Merged {
        decision,
        ..Merged::default()
    };
    if merged.decision != Decision::None {
        let deciding = || {
            results
                .iter()
                .filter(|result| result.decision() == merged.decision)
        };
        merged.decided_by = deciding().map(|result| Arc::clone(&result.hook)).collect();
        let reasons: Vec<String> = deciding().filter_map(reason).collect();
        merged.reason = (!reasons.is_empty()).then(|| reasons.join("\n"));
    }
    for result in results {
        match &result.ended {
            Ended::Answered(output) => {
                merged.contexts.extend(output.context.clone());
                merged.system_messages.extend(output.system_message.clone());
                stop(&mut merged.stop, output.stop.as_ref());
                merged
                    .updated_permissions
                    .extend(output.updated_permissions.iter().cloned());
                merged.interrupt |= output.interrupt && output.decision == Decision::Deny;
                act(&mut merged.specific, &output.specific);
                overlay(&mut merged.other, &output.other);
                if let Some(rewrite) = &output.updated_input {
                    apply(&mut merged.updated_input, asked, rewrite);
                }
            }
            // A notice says it already, and more.
            Ended::Failed(err) if result.policy() != OnFailure::Allow && result.notice.is_none() => {
                merged
                    .system_messages
                    .push(format!("hook {}: {err}", result.hook));
            }
            Ended::Failed(_) | Ended::Skipped(_) => {}
        }
        merged
            .system_messages
            .extend(result.notice.as_ref().map(ToString::to_string));
    }
    merged
}

/// The sentence a hook gives for its decision; a failed one names itself, since nobody else does.
fn reason(result: &HookResult) -> Option<String> {
    match &result.ended {
        Ended::Answered(output) => output.reason.clone(),
        Ended::Failed(err) => Some(format!(
            "hook {} failed and its policy is to {}: {err}",
            result.hook,
            result.policy()
        )),
        Ended::Skipped(_) => None,
    }
}

/// Applies a hook's rewrite as what it *changes* in the input it was asked about. Hooks run side by
/// side on the same input: taken as a whole, the second rewrite would undo the first.
fn apply(onto: &mut Option<Value>, asked: Option<&Value>, rewrite: &Value) {
    match (asked, rewrite) {
        (Some(Value::Object(asked)), Value::Object(rewrite)) => {
            let onto = onto.get_or_insert_with(|| Value::Object(asked.clone()));
            change(onto, asked, rewrite);
        }
        _ => *onto = Some(rewrite.clone()),
    }
}

/// What `rewrite` changes in `asked`, changed in `onto`; inside objects, field by field.
fn change(onto: &mut Value, asked: &Map<String, Value>, rewrite: &Map<String, Value>) {
    let Value::Object(onto) = onto else {
        *onto = Value::Object(rewrite.clone());
        return;
    };
    for (field, value) in rewrite {
        match (onto.get_mut(field), asked.get(field), value) {
            (_, Some(before), _) if before == value => {}
            (Some(onto @ Value::Object(_)), Some(Value::Object(asked)), Value::Object(rewrite)) => {
                change(onto, asked, rewrite);
            }
            _ => {
                onto.insert(field.clone(), value.clone());
            }
        }
    }
    onto.retain(|field, _| rewrite.contains_key(field) || !asked.contains_key(field));
}

/// The first reason to stop that says something.
fn stop(onto: &mut Option<String>, reason: Option<&String>) {
    if let Some(reason) = reason {
        match onto {
            Some(have) if !have.is_empty() => {}
            _ => *onto = Some(reason.clone()),
        }
    }
}

/// Overlays an answer's own fields, except that its `action`, and the `content` that belongs to it, give
/// way to a stricter one that is there already.
fn act(onto: &mut Map<String, Value>, fields: &Map<String, Value>) {
    let action = |fields: &Map<String, Value>| Action::read(fields.get("action")?.as_str()?);
    let mut fields = fields.clone();
    match (action(onto), action(&fields)) {
        (Some(have), Some(new)) if have > new => {
            fields.remove("action");
            fields.remove("content");
        }
        (Some(have), Some(new)) if new > have => {
            onto.remove("content");
        }
        _ => {}
    }
    overlay(onto, &fields);
}

fn overlay(onto: &mut Map<String, Value>, fields: &Map<String, Value>) {
    for (field, value) in fields {
        match (onto.get_mut(field), value) {
            (Some(Value::Array(have)), Value::Array(more)) => have.extend(more.iter().cloned()),
            _ => {
                onto.insert(field.clone(), value.clone());
            }
        }
    }
}
