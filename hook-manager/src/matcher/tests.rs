use serde_json::json;

use super::*;
use HookEvent::{FileChanged, PreModelSwitch, PreToolUse, StopFailure, UserPromptSubmit};

#[test]
fn everything_a_list_of_names_or_a_pattern_is_told_by_its_characters() {
    for (matcher, tool, expected) in [
        ("", "Bash", true),
        ("*", "Bash", true),
        ("Bash", "Bash", true),
        ("Bash", "BashOutput", false),
        ("Bash", "bash", false),
        ("Edit|Write", "Write", true),
        ("Edit, Write", "Write", true),
        (" Edit | Write ", "Edit", true),
        ("Edit|Write", "Edit|Write", false),
        ("Edit|", "", false),
        ("code-reviewer", "code-reviewer", true),
        ("code-reviewer", "my-code-reviewer", false),
        ("mcp__memory", "mcp__memory__read", false),
        ("mcp__memory__.*", "mcp__memory__read", true),
        ("my-plugin:reviewer", "x-my-plugin:reviewer-y", true),
    ] {
        let found = Matcher::new(&PreToolUse, matcher).unwrap().matches_text(tool);
        assert_eq!(found, Ok(expected), "{matcher} {tool}");
    }
}

#[test]
fn file_changed_and_stop_failure_have_a_narrower_idea_of_a_name() {
    for (event, matcher, text, expected) in [
        (StopFailure, "rate_limit", "my_rate_limit", false),
        (StopFailure, "rate-limit", "my-rate-limit", true),
        (StopFailure, "a|b", "b", true),
        (StopFailure, "a, b", "a, b", true),
        (StopFailure, "a, b", "a", false),
        (FileChanged, "Makefile|justfile", "justfile", true),
        (FileChanged, "Makefile", "GNUMakefile", false),
        (FileChanged, ".envrc|.env", ".env", true),
        (FileChanged, "c++.txt|x", "c++.txt", true),
    ] {
        let found = Matcher::new(&event, matcher).map(|matcher| matcher.matches_text(text));
        match matcher {
            // Two plus signs are no JavaScript: loud, although it is a file's name.
            "c++.txt|x" => assert!(found.is_err()),
            _ => assert_eq!(found, Ok(Ok(expected)), "{event} {matcher} {text}"),
        }
    }
    let changed = json!({ "file_path": "/srv/shop/a[1].txt", "event": "change" });
    assert_eq!(
        Matcher::new(&FileChanged, "a[1].txt").unwrap().matches(&changed),
        Ok(true)
    );
}

#[test]
fn an_event_without_a_matcher_ignores_one() {
    for event in [UserPromptSubmit, PreModelSwitch, HookEvent::from("BrandNew")] {
        let matcher = Matcher::new(&event, "(").unwrap();
        assert!(matcher.is_ignored());
        assert_eq!(matcher.matches(&json!({})), Ok(true));
    }
}

#[test]
fn an_input_without_the_field_is_an_error_and_not_a_mismatch() {
    let matcher = Matcher::new(&PreToolUse, "Bash").unwrap();
    for input in [json!({}), json!({ "tool_name": 7 })] {
        let err = matcher.matches(&input).unwrap_err();
        assert!(err.to_string().contains("`tool_name`"), "{err}");
    }
}

/// What Node says to each.
#[test]
fn patterns_mean_what_they_mean_in_javascript() {
    for (pattern, text, expected) in [
        ("Edit.*", "NotebookEdit", true),
        ("^Edit$", "NotebookEdit", false),
        ("^Edit$", "Edit", true),
        ("^Edit$", "Edit\n", false),
        ("mcp__memory__.*", "mcp__memory__read", true),
        ("^mcp__(?!memory)", "mcp__memory__read", false),
        ("^mcp__(?!memory)", "mcp__git__log", true),
        ("(?<=__)write$", "mcp__fs__write", true),
        ("(?<=__)write$", "write", false),
        ("^(a+)\\1$", "aaaa", true),
        ("^(a+)\\1$", "aaa", false),
        ("^(?:(a)|b)\\1$", "b", true),
        ("(?<x>o)\\k<x>", "foot", true),
        ("\\d", "\u{663}", false),
        ("\\d", "a", false),
        ("\\w{2}", "\u{e9}\u{e9}", false),
        ("\\s", "\u{a0}", true),
        ("\\bEdit\\b", "\u{e9}Edit", true),
        ("^.$", "\u{2028}", false),
        ("^[^]$", "\n", true),
        ("[]", "a", false),
        ("a\\/b", "a/b", true),
        ("\\h", "h", true),
        ("\\h", "f", false),
        ("\\A", "A", true),
        ("\\Aa", "a", false),
        ("\\Z", "Z", true),
        ("\\p{L}", "p{L}", true),
        ("a{,2}", "a{,2}", true),
        ("a{,2}", "aa", false),
        ("x{", "x{", true),
        ("\\x41\\u0042", "AB", true),
        ("\\cA", "\u{1}", true),
        ("[\\b]", "\u{8}", true),
        ("\\07", "\u{7}", true),
        ("(a)\\2", "a\u{2}", true),
        ("[a&&b]", "&", true),
        ("[[a]", "[", true),
        ("a#b", "a#b", true),
        ("a.b ", "axb ", true),
        ("BASH.*", "Bash", false),
        ("\\k<n>", "k<n>", true),
    ] {
        let compiled = compile(pattern).unwrap();
        assert_eq!(compiled.is_match(text).unwrap(), expected, "{pattern:?} {text:?}");
    }
}

#[test]
fn what_javascript_refuses_is_refused() {
    for pattern in [
        "(",
        "Bash(",
        "(?i)bash",
        "(?>a)",
        "(?P<n>a)",
        "a++",
        "*.ts",
        "[z-a]",
        "a{2,1}",
        "a)",
        "[a",
        "a\\",
        "(?<n>a)\\k<m>",
    ] {
        let err = Matcher::new(&PreToolUse, pattern).unwrap_err();
        assert!(
            err.to_string()
                .starts_with(&format!("the matcher `{pattern}` cannot be used: ")),
            "{err}"
        );
    }
}

#[test]
fn what_is_not_supported_is_refused_and_not_misread() {
    for pattern in [
        r"(?<=a+)b",
        r"\ud800",
        r"(?=a)*b",
        r"(?s:.)",
        "(?<n>a)|(?<n>b)",
        "a{99999999999}",
        "((a{999}){999}){999}",
    ] {
        assert!(Matcher::new(&PreToolUse, pattern).is_err(), "{pattern}");
    }
    assert!(Matcher::new(&PreToolUse, &"(".repeat(10_000)).is_err());
    assert!(
        Matcher::new(
            &PreToolUse,
            &format!("{}{}", "(a".repeat(3_000), ")".repeat(3_000))
        )
        .is_err()
    );
    assert!(Matcher::new(&PreToolUse, &"a.".repeat(20_000)).is_err());
    assert!(Matcher::new(&PreToolUse, " | ,").is_err());
}

#[test]
fn a_pattern_that_goes_back_for_ever_is_given_up_with_an_error() {
    let matcher = Matcher::new(&PreToolUse, "(a|b|(?!c)ab)*c").unwrap();
    let err = matcher.matches_text(&"ab".repeat(28)).unwrap_err();
    assert!(matches!(err, MatchError::GivenUp { .. }));
    assert!(err.to_string().contains("given up"), "{err}");
    assert_eq!(
        matcher.matches(&json!({ "tool_name": "ab".repeat(28) })),
        Err(err)
    );
}
