use serde_json::json;

use super::*;

fn bash(rule: &str, command: &str) -> Applies {
    let input = json!({ "tool_name": "Bash", "cwd": "/srv/shop", "tool_input": { "command": command } });
    Rule::parse(rule).unwrap().applies(&input, None)
}

#[test]
fn bash_rules_are_compared_with_every_command_of_the_line() {
    for (rule, command, expected) in [
        ("Bash", "anything", true),
        ("Bash(*)", "anything", true),
        ("Bash()", "anything", true),
        ("Bash(git *)", "git status", true),
        ("Bash(git *)", "git", true),
        ("Bash(git *)", "gitk", false),
        ("Bash(git*)", "gitk", true),
        ("Bash(git:*)", "git push", true),
        ("Bash(git:*)", "git", true),
        ("Bash(git:*)", "gitk", false),
        ("Bash(npm run build)", "npm run build", true),
        ("Bash(npm run build)", "npm run build --x", false),
        ("Bash(git * main)", "git push origin main", true),
        ("Bash(git * main)", "git push origin dev", false),
        ("Bash(* --force)", "git push --force", true),
        ("Bash(rm *)", "A=1 B='x y' rm -rf x", true),
        ("Bash(rm *)", "ls; rm x", true),
        ("Bash(rm *)", "ls && rm x || true", true),
        ("Bash(rm *)", "ls | rm x", true),
        ("Bash(rm *)", "ls & rm x", true),
        ("Bash(rm *)", "ls\nrm x", true),
        ("Bash(rm *)", "echo \"$(rm x)\"", true),
        ("Bash(rm *)", "echo `rm x`", true),
        ("Bash(rm *)", "(cd x; rm y)", true),
        ("Bash(rm *)", "if true; then rm y; fi", true),
        ("Bash(rm *)", "for i in a b; do rm $i; done", true),
        ("Bash(rm *)", "timeout 5 rm y", true),
        ("Bash(rm *)", "find . | xargs rm", true),
        ("Bash(rm *)", "'r'm   y", true),
        ("Bash(rm *)", "2>/dev/null rm y", true),
        ("Bash(rm *)", "cat <<E\n$(rm y)\nE", true),
        ("Bash(rm *)", "echo 'rm x'", false),
        ("Bash(rm *)", "echo rm x", false),
        ("Bash(rm *)", "ls # ; rm x", false),
        ("Bash(rm *)", "cat <<'E'\n$(rm y)\nE", false),
        (r"Bash(echo \*)", "echo *", true),
        (r"Bash(echo \*)", "echo x", false),
        (r"Bash(echo \()", "echo (", true),
        ("Bash(python -c \"print(1)\")", "python -c \"print(1)\"", true),
        ("Ba*", "x", true),
        ("Edit", "x", false),
        ("bash", "x", false),
    ] {
        let expected = if expected { Applies::Yes } else { Applies::No };
        assert_eq!(bash(rule, command), expected, "{rule} {command}");
    }
}

#[test]
fn a_hook_runs_when_nobody_can_tell_what_a_command_does() {
    for command in [
        "echo 'a",
        "echo $(ls",
        "case x in a) rm y;; esac",
        "$tool -rf x",
        "r? x",
        "ls; `which rm` x",
    ] {
        assert!(
            matches!(bash("Bash(rm *)", command), Applies::Unclear(_)),
            "{command}"
        );
    }
    let rule = Rule::parse("Bash(rm *)").unwrap();
    for input in [
        json!({}),
        json!({ "tool_name": "Bash" }),
        json!({ "tool_name": "Bash", "tool_input": { "command": 1 } }),
    ] {
        assert!(rule.covers(&input, None), "{input}");
    }
}

#[test]
fn path_rules_look_where_each_tool_keeps_its_path() {
    let call =
        |tool: &str, input: Value| json!({ "tool_name": tool, "cwd": "/srv/shop/api", "tool_input": input });
    for (rule, input, expected) in [
        (
            "Edit(*.ts)",
            call("Edit", json!({ "file_path": "/srv/shop/api/a.ts" })),
            true,
        ),
        (
            "Edit(*.ts)",
            call("Edit", json!({ "file_path": "/srv/shop/api/a.rs" })),
            false,
        ),
        (
            "Edit(*.ts)",
            call("Write", json!({ "file_path": "/srv/shop/api/a.ts" })),
            false,
        ),
        (
            "Edit(src/**)",
            call("Edit", json!({ "file_path": "/srv/shop/src/a.ts" })),
            true,
        ),
        (
            "Edit(src/**)",
            call("Edit", json!({ "file_path": "src/a.ts" })),
            true,
        ),
        (
            "Edit(/src/**)",
            call("Edit", json!({ "file_path": "/srv/shop/api/src/a.ts" })),
            false,
        ),
        (
            "Read(//etc/**)",
            call("Read", json!({ "file_path": "/etc/passwd" })),
            true,
        ),
        (
            "Read(//etc/**)",
            call("Read", json!({ "file_path": "/srv/../etc/passwd" })),
            true,
        ),
        (
            "Grep(/api/**)",
            call("Grep", json!({ "path": "src", "pattern": "x" })),
            true,
        ),
        ("Grep(api)", call("Grep", json!({ "pattern": "x" })), true),
        (
            "NotebookEdit(*.ipynb)",
            call("NotebookEdit", json!({ "notebook_path": "/n.ipynb" })),
            true,
        ),
        ("Edit(*.ts)", call("Edit", json!({})), true),
        (
            "WebFetch(domain:example.com)",
            call("WebFetch", json!({ "url": "https://a.Example.com:8080/x" })),
            true,
        ),
        (
            "WebFetch(domain:example.com)",
            call("WebFetch", json!({ "url": "https://notexample.com/" })),
            false,
        ),
        (
            "WebFetch(domain:example.com)",
            call("WebFetch", json!({ "url": "https://example.com@evil.org/" })),
            false,
        ),
        ("mcp__fs__*", call("mcp__fs__write", json!({})), true),
        ("mcp__fs__*", call("mcp__git__log", json!({})), false),
        // Not understood: every call of the tool.
        ("Agent(Explore)", call("Agent", json!({})), true),
        ("Agent(Explore)", call("Bash", json!({})), false),
    ] {
        let found = Rule::parse(rule)
            .unwrap()
            .covers(&input, Some(Path::new("/srv/shop")));
        assert_eq!(found, expected, "{rule} {input}");
    }
}

#[test]
fn what_is_not_one_rule_is_refused_with_the_reason() {
    for (rule, why) in [
        ("", "no tool's name"),
        ("(git *)", "no tool's name"),
        ("Bash(git *", "expected `)`"),
        ("Bash(git *) Edit(x)", "exactly one rule"),
        ("Bash(git *), Bash(rm *)", "exactly one rule"),
        ("Bash || Edit", "exactly one rule"),
        ("Bash(echo ()", "do not match"),
        ("Bash(:*)", "before `:*`"),
        ("Edit(!x)", "excludes"),
        ("Edit(/)", "names no path"),
        ("WebFetch(example.com)", "`domain:`"),
    ] {
        let err = Rule::parse(rule).unwrap_err();
        assert!(err.to_string().contains(why), "{rule}: {err}");
    }
}
