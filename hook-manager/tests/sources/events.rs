//! Events, as sources name them.

use super::*;

/// Every event's input, with what its matcher is compared with.
#[test]
fn the_matcher_input_of_every_sample_event_is_found() {
    let expected = |event: &HookEvent| match event {
        HookEvent::SessionStart => Some("startup"),
        HookEvent::Setup => Some("init"),
        HookEvent::InstructionsLoaded => Some("session_start"),
        HookEvent::UserPromptExpansion => Some("release"),
        HookEvent::PreToolUse
        | HookEvent::PermissionRequest
        | HookEvent::PermissionDenied
        | HookEvent::PostToolUseFailure => Some("Bash"),
        HookEvent::PostToolUse => Some("Write"),
        HookEvent::Notification => Some("permission_prompt"),
        HookEvent::SubagentStart | HookEvent::SubagentStop => Some("Explore"),
        HookEvent::StopFailure => Some("rate_limit"),
        HookEvent::ConfigChange => Some("project_settings"),
        HookEvent::DirectoryAdded => Some("slash_command"),
        HookEvent::FileChanged => Some(".envrc"),
        HookEvent::PreCompact => Some("manual"),
        HookEvent::PostCompact => Some("auto"),
        HookEvent::Elicitation | HookEvent::ElicitationResult => Some("vault"),
        HookEvent::SessionEnd => Some("prompt_input_exit"),
        _ => None,
    };
    let samples = include_str!("../fixtures/events.jsonl");
    let mut seen = Vec::new();
    for line in samples.lines() {
        let input: Value = serde_json::from_str(line).unwrap();
        let event = HookEvent::from(input["hook_event_name"].as_str().unwrap());
        let found = event.spec().find_matcher_input(&input);
        assert_eq!(found, expected(&event), "{event}");
        if let Some(found) = found {
            let exact = Matcher::new(&event, &format!("^{}$", found.replace('.', r"\."))).unwrap();
            assert_eq!(exact.matches(&input), Ok(true), "{event}");
            assert_eq!(
                Matcher::new(&event, "nothing_like_it").unwrap().matches(&input),
                Ok(false),
                "{event}"
            );
        }
        seen.push(event);
    }
    seen.sort();
    assert_eq!(seen, HookEvent::ALL, "a sample of every event");
}

#[test]
fn an_unknown_event_passes_through_under_its_own_name() {
    let event = HookEvent::from("BrandNew");
    assert_eq!(
        (event.as_str(), event.is_known(), event.to_string()),
        ("BrandNew", false, "BrandNew".into())
    );
    assert_eq!("Stop".parse(), Ok(HookEvent::Stop));
    assert_eq!(serde_json::to_value(&event).unwrap(), json!("BrandNew"));
    assert_eq!(
        serde_json::from_value::<HookEvent>(json!("Stop")).unwrap(),
        HookEvent::Stop
    );
    let seven = [
        "SessionStart",
        "SessionEnd",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "SubagentStart",
        "SubagentStop",
    ];
    assert!(HookEvent::ALL.iter().map(HookEvent::as_str).take(7).eq(seven));
}

#[test]
fn documented_timeouts_are_the_defaults() {
    for (event, millis) in [
        (HookEvent::PreToolUse, 600_000),
        (HookEvent::UserPromptSubmit, 30_000),
        (HookEvent::MessageDisplay, 10_000),
        (HookEvent::SessionEnd, 1_500),
        (HookEvent::from("BrandNew"), 600_000),
    ] {
        assert_eq!(
            event.spec().default_timeout,
            Duration::from_millis(millis),
            "{event}"
        );
    }
}
