//! One answer out of many.

use std::{io, time::Duration};

use hook_manager::{Decision, Hook, HookOutput};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{EVENT, manager, request, run, says};

#[tokio::test(start_paused = true)]
async fn the_most_restrictive_decision_stands_and_says_who_made_it() {
    let manager = manager([
        says("a", HookOutput::allow("fine")),
        says("b", HookOutput::ask("sure?")),
        says("c", HookOutput::deny("first no").context("one")),
        says("d", HookOutput::deny("second no").context("two")),
    ]);
    let merged = run(&manager).await.merged;
    assert_eq!(merged.decision, Decision::Deny);
    assert_eq!(
        merged.decided_by.iter().map(|by| &**by).collect::<Vec<_>>(),
        ["c", "d"]
    );
    assert_eq!(merged.reason.as_deref(), Some("first no\nsecond no"));
    assert_eq!(merged.contexts, ["one", "two"]);
}

#[tokio::test(start_paused = true)]
async fn rewrites_apply_in_declared_order_whoever_is_faster_and_none_undoes_another() {
    let rewrite = |name: &str, input: Value, ms: u64| {
        Hook::function(name, EVENT, move |_| {
            let input = input.clone();
            async move {
                sleep(Duration::from_millis(ms)).await;
                Ok::<_, io::Error>(HookOutput::none().updated_input(input))
            }
        })
    };
    for (slow, fast) in [(30, 1), (1, 30)] {
        let manager = manager([
            rewrite("safer", json!({ "command": "ls -l", "timeout": 5 }), slow),
            rewrite(
                "patient",
                json!({ "command": "ls", "timeout": 60, "note": "x" }),
                fast,
            ),
        ]);
        let merged = run(&manager).await.merged;
        assert_eq!(
            merged.updated_input,
            Some(json!({ "command": "ls -l", "timeout": 60, "note": "x" }))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn rewrites_of_parts_of_one_field_apply_both() {
    let rewrite = |name: &str, input: Value| says(name, HookOutput::none().updated_input(input));
    let manager = manager([
        rewrite("a", json!({ "o": { "a": 9, "b": 1 } })),
        rewrite("b", json!({ "o": { "a": 1, "b": 9, "c": 3 } })),
    ]);
    let input = json!({ "tool_name": "X", "tool_input": { "o": { "a": 1, "b": 1 } } });
    let merged = manager.execute(request(input)).await.merged;
    assert_eq!(
        merged.updated_input,
        Some(json!({ "o": { "a": 9, "b": 9, "c": 3 } }))
    );
}
