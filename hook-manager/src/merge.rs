use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    hook::OnFailure,
    output::Decision,
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
    /// The fields of the hooks' answers that belong to the event. Lists are joined; of two other
    /// values the later one stands.
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
                if merged.stop.is_none() {
                    merged.stop.clone_from(&output.stop);
                }
                overlay(&mut merged.specific, &output.specific);
                overlay(&mut merged.other, &output.other);
                if let Some(rewrite) = &output.updated_input {
                    apply(&mut merged.updated_input, asked, rewrite);
                }
            }
            Ended::Failed(err) if result.on_failure != OnFailure::Allow => {
                merged
                    .system_messages
                    .push(format!("hook {}: {err}", result.hook));
            }
            Ended::Failed(_) | Ended::Skipped(_) => {}
        }
    }
    merged
}

/// The sentence a hook gives for its decision; a failed one names itself, since nobody else does.
fn reason(result: &HookResult) -> Option<String> {
    match &result.ended {
        Ended::Answered(output) => output.reason.clone(),
        Ended::Failed(err) => Some(format!(
            "hook {} failed and its policy is to {}: {err}",
            result.hook, result.on_failure
        )),
        Ended::Skipped(_) => None,
    }
}

/// Applies a hook's rewrite as what it *changes* in the input it was asked about. Hooks run side by
/// side on the same input: taken as a whole, the second rewrite would undo the first.
fn apply(onto: &mut Option<Value>, asked: Option<&Value>, rewrite: &Value) {
    let (Some(Value::Object(asked)), Value::Object(rewrite)) = (asked, rewrite) else {
        *onto = Some(rewrite.clone());
        return;
    };
    let onto = onto.get_or_insert_with(|| Value::Object(asked.clone()));
    let Value::Object(onto) = onto else { return };
    for (field, value) in rewrite {
        if asked.get(field) != Some(value) {
            onto.insert(field.clone(), value.clone());
        }
    }
    for field in asked.keys() {
        if !rewrite.contains_key(field) {
            onto.remove(field);
        }
    }
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
