//! How a command's exit status, standard output and standard error are read: the host's rules.
//!
//! | exit status | standard output       | meaning                                                        |
//! |-------------|-----------------------|----------------------------------------------------------------|
//! | 2           | anything              | blocks, whatever the JSON says, where the event can be blocked |
//! | any other   | a JSON object         | the JSON decides; the status says nothing                      |
//! | any other   | `{` and no valid JSON | bad output, a failure                                          |
//! | 0           | text or nothing       | no decision; text is context on the events that say so         |
//! | others      | text or nothing       | a failure                                                      |
//!
//! Where the event says that every failure fails it (WorktreeCreate), any status but 0 is one, whatever
//! was written.

use serde_json::{Map, Value};

use super::{Action, Decision, HookOutput};
use crate::{
    error::HookError,
    event::{DecisionShape, ExitTwo, HookEvent},
    json,
    process::Captured,
    request::describe,
};

/// What is left of a command that ended by itself.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Captured,
    pub(crate) stderr: Captured,
}

/// Reads a finished command's answer to `event`.
pub(crate) fn read(event: &HookEvent, ran: Ran) -> Result<HookOutput, HookError> {
    // Where every status but 0 is a failure, 2 is one like the others, and no JSON makes up for it.
    if ran.code != 0 && event.spec().exit_two == ExitTwo::AnyFailureFails {
        return Err(exit(&ran));
    }
    let text = ran.stdout.text();
    let said = json::trim_start(&text)
        .starts_with('{')
        .then(|| object(event, ran.stdout.bytes(), ran.stdout.excess()));
    let mut output = match (ran.code, said) {
        (2, said) => exit_two(event, said.and_then(Result::ok), &ran.stderr),
        (_, Some(said)) => said.map_err(|why| HookError::BadOutput(why.into()))?,
        (0, None) => HookOutput {
            context: plain_context(event, &text),
            ..HookOutput::none()
        },
        (_, None) => return Err(exit(&ran)),
    };
    output.exit_code = Some(ran.code);
    output.stdout = ran.stdout;
    output.stderr = ran.stderr;
    Ok(output)
}

/// A failure by exit status.
fn exit(ran: &Ran) -> HookError {
    HookError::Exit {
        code: ran.code,
        message: ran
            .stderr
            .text()
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("")
            .trim()
            .into(),
    }
}

/// A block by exit status. A valid answer beside it keeps its other parts, but cannot soften it.
fn exit_two(event: &HookEvent, said: Option<HookOutput>, stderr: &Captured) -> HookOutput {
    let mut output = said.unwrap_or_default();
    let told = Some(stderr.text().trim().to_owned()).filter(|text| !text.is_empty());
    match event.spec().exit_two {
        ExitTwo::Blocks | ExitTwo::StderrToModel => {
            if output.decision != Decision::Deny || output.reason.is_none() {
                output.reason = told.or(Some("exit status 2, and nothing on standard error".into()));
            }
            output.decision = Decision::Deny;
        }
        ExitTwo::StderrToUser => output.system_message = output.system_message.or(told),
        _ => {}
    }
    output
}

fn plain_context(event: &HookEvent, text: &str) -> Option<String> {
    let text = json::trim_start(text).trim_end();
    (event.spec().plain_stdout_is_context && !text.is_empty()).then(|| text.to_owned())
}

/// Reads the JSON answer, or says which field is wrong and what was expected there.
fn object(event: &HookEvent, bytes: &[u8], cut: u64) -> Result<HookOutput, String> {
    let value = json::parse(bytes).map_err(|err| match cut {
        0 => format!(
            "standard output, line {}, column {}: {}, expected one JSON object",
            err.line, err.column, err.problem
        ),
        cut => format!("standard output is over its limit, {cut} bytes were cut off its JSON"),
    })?;
    let Value::Object(mut fields) = value else {
        return Err("expected a JSON object".into());
    };

    let mut output = HookOutput::none();
    match take(&mut fields, "", "continue", "a boolean", Value::as_bool)? {
        Some(false) => {
            output.stop = Some(take(&mut fields, "", "stopReason", "a string", string)?.unwrap_or_default());
        }
        _ => {
            fields.remove("stopReason");
        }
    }
    fields.remove("suppressOutput");
    output.system_message = take(&mut fields, "", "systemMessage", "a string", string)?;
    output.reason = take(&mut fields, "", "reason", "a string", string)?;
    let decision = take(
        &mut fields,
        "",
        "decision",
        "\"block\" or \"approve\"",
        |value| match value.as_str()? {
            "block" | "deny" => Some(Decision::Deny),
            "approve" | "allow" => Some(Decision::Allow),
            _ => None,
        },
    )?;
    output.decision = decision.unwrap_or_default();
    // `approve` ever meant something on tool calls only; elsewhere going on is no decision.
    if output.decision == Decision::Allow && event.spec().decision != DecisionShape::Permission {
        output.decision = Decision::None;
    }
    let specific = take(&mut fields, "", "hookSpecificOutput", "an object", |value| {
        value.as_object().cloned()
    })?;
    if let Some(specific) = specific {
        read_specific(event, specific, &mut output)?;
    }
    output.other = fields;
    Ok(output)
}

fn read_specific(
    event: &HookEvent,
    mut fields: Map<String, Value>,
    output: &mut HookOutput,
) -> Result<(), String> {
    const IN: &str = "hookSpecificOutput.";
    let name = take(&mut fields, IN, "hookEventName", "a string", string)?;
    if let Some(name) = name.filter(|name| name != event.as_str()) {
        return Err(format!(
            "hookSpecificOutput.hookEventName: expected {:?}, found {name:?}",
            event.as_str()
        ));
    }
    let expected = "allow, deny, ask or defer";
    let permission = take(
        &mut fields,
        IN,
        "permissionDecision",
        expected,
        |value| match value.as_str()? {
            "allow" => Some(Decision::Allow),
            "deny" => Some(Decision::Deny),
            "ask" => Some(Decision::Ask),
            "defer" => Some(Decision::Defer),
            _ => None,
        },
    )?;
    output.decision = output.decision.max(permission.unwrap_or_default());
    if let Some(reason) = take(&mut fields, IN, "permissionDecisionReason", "a string", string)? {
        output.reason = Some(reason);
    }
    output.context = take(&mut fields, IN, "additionalContext", "a string", string)?;
    output.updated_input = take(&mut fields, IN, "updatedInput", "an object", |value| {
        value.is_object().then(|| value.clone())
    })?;
    match event.spec().decision {
        DecisionShape::PermissionRequest => {
            if let Some(answer) = take(&mut fields, IN, "decision", "an object", object_of)? {
                read_behavior(answer, output)?;
            }
        }
        DecisionShape::Action => {
            let expected = "accept, decline or cancel";
            let action = take(&mut fields, IN, "action", expected, |value| {
                Action::read(value.as_str()?)
            })?;
            if let Some(action) = action {
                output.decision = output.decision.max(action.decision());
                fields.insert("action".into(), action.as_str().into());
            }
        }
        _ => {}
    }
    output.specific = fields;
    Ok(())
}

/// The `decision` of a PermissionRequest answer.
fn read_behavior(mut answer: Map<String, Value>, output: &mut HookOutput) -> Result<(), String> {
    const IN: &str = "hookSpecificOutput.decision.";
    let behavior = match answer.get("behavior").and_then(Value::as_str) {
        Some("allow") => Decision::Allow,
        Some("deny") => Decision::Deny,
        _ => {
            let found = describe(answer.get("behavior").unwrap_or(&Value::Null));
            return Err(format!("{IN}behavior: expected allow or deny, found {found}"));
        }
    };
    output.decision = output.decision.max(behavior);
    if let Some(message) = take(&mut answer, IN, "message", "a string", string)? {
        output.reason = Some(message);
    }
    output.interrupt = take(&mut answer, IN, "interrupt", "a boolean", Value::as_bool)?.unwrap_or(false);
    let input = take(&mut answer, IN, "updatedInput", "an object", object_of)?;
    output.updated_input = input.map(Value::Object).or(output.updated_input.take());
    let permissions = take(&mut answer, IN, "updatedPermissions", "an array", |value| {
        value.as_array().cloned()
    })?;
    output.updated_permissions = permissions.unwrap_or_default();
    Ok(())
}

/// Takes a field out; null counts as absent, as it does for the host.
fn take<T>(
    fields: &mut Map<String, Value>,
    within: &str,
    name: &str,
    expected: &str,
    read: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match read(&value) {
            Some(read) => Ok(Some(read)),
            None => Err(format!(
                "{within}{name}: expected {expected}, found {}",
                describe(&value)
            )),
        },
    }
}

fn object_of(value: &Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests;
