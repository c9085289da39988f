//! The example's settings, damaged in every way a small accident can: a guard in there is asked, or fails, or
//! something is told. It never just is not there.

use hook_manager::hook::Origin;

use super::*;

const EXAMPLE: &str = include_str!("../../examples/project/.claude/settings.json");
/// Both guards of the example look at it.
const TOOL: &str = "Bash";

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // Steele, Lea, Flood: Fast splittable pseudorandom number generators (splitmix64).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// One file, loaded again and again.
struct Bench(Project);

impl Bench {
    fn new() -> Self {
        Self(project(EXAMPLE))
    }

    fn load(&self, bytes: &[u8]) -> Loaded {
        fs::write(self.0.dir.path().join(".claude/settings.json"), bytes).unwrap();
        self.0.load()
    }

    /// How many guards are missed without a word.
    fn missed(&self, bytes: &[u8]) -> usize {
        let loaded = self.load(bytes);
        let is_host_only = |hook: &&HookSpec| matches!(hook.handler, Handler::HostOnly { .. });
        // A matcher that was changed into another one is its owner's word.
        let is_for = |matcher: &Matcher| {
            matcher.matches_text(TOOL).unwrap_or(true)
                || !EXAMPLE.contains(&format!("\"{}\"", matcher.text()))
        };
        let asked = loaded.hooks.iter().filter(|hook| {
            hook.event == HookEvent::PreToolUse && is_for(&hook.matcher) && !is_host_only(hook)
        });
        let fails = loaded.broken.iter().filter(|hook| {
            hook.is_for(&HookEvent::PreToolUse)
                && hook.matcher.as_ref().is_none_or(is_for)
                && (hook.guard || hook.on_failure.is_some_and(|policy| policy > OnFailure::Allow))
        });
        let all = loaded.broken.iter().any(|hook| hook.is_whole_source);
        match all || !loaded.problems.iter().all(is_expected) {
            true => 0,
            false => 2_usize.saturating_sub(asked.count() + fails.count()),
        }
    }

    fn holds(&self, bytes: &[u8], how: &str) {
        let missed = self.missed(bytes);
        assert_eq!(missed, 0, "{how}:\n{}", String::from_utf8_lossy(bytes));
    }
}

/// What is told of the undamaged example.
fn is_expected(problem: &Problem) -> bool {
    let Origin { place, .. } = &problem.origin;
    problem.severity == Severity::Ignored && place.starts_with("hooks.Stop")
}

#[test]
fn the_example_is_sound_and_the_test_can_fail() {
    let bench = Bench::new();
    assert_eq!(bench.missed(EXAMPLE.as_bytes()), 0);
    assert!(bench.load(EXAMPLE.as_bytes()).problems.iter().all(is_expected));
    assert_eq!(bench.missed(b"{}"), 2);
}

#[test]
fn no_byte_that_is_lost_added_or_changed_hides_a_guard() {
    let bench = Bench::new();
    let mut random = Random(6);
    let with: &[u8] = b"\"\\{}[]:,0a Z_-|*(\n\0\xff/e";
    for at in 0..EXAMPLE.len() {
        let (before, after) = EXAMPLE.as_bytes().split_at(at);
        let byte = with[random.below(with.len())];
        bench.holds(&[before, &after[1..]].concat(), "lost");
        match random.below(4) {
            0 => bench.holds(&[before, &[byte], after].concat(), "added"),
            1 => bench.holds(&[before, &[byte], &after[1..]].concat(), "changed"),
            2 => bench.holds(
                &[before, &[after[0] ^ 0x20], &after[1..]].concat(),
                "in another case",
            ),
            _ if at > 0 => bench.holds(before, "cut"),
            _ => {}
        }
    }
}

#[test]
fn no_piece_that_is_lost_doubled_or_moved_hides_a_guard() {
    let bench = Bench::new();
    let mut random = Random(8);
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for at in 0..lines.len() {
        let mut other = lines.clone();
        other.insert(at, lines[random.below(lines.len())]);
        bench.holds(other.join("\n").as_bytes(), "a line is doubled");
        let mut other = lines.clone();
        other.swap(at, random.below(lines.len()));
        bench.holds(other.join("\n").as_bytes(), "lines are swapped");
    }
}

/// Every value of a document, by its pointer.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                pointers(value, &format!("{at}/{key}"), all);
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                pointers(value, &format!("{at}/{n}"), all);
            }
        }
        _ => {}
    }
}

#[test]
fn no_value_of_another_kind_hides_a_guard() {
    let bench = Bench::new();
    let example: Value = serde_json::from_str(EXAMPLE).unwrap();
    let mut all = Vec::new();
    pointers(&example, "", &mut all);
    for at in &all {
        for other in [
            json!(null),
            json!(true),
            json!(0),
            json!(-1.5e300),
            json!(1e-300),
            json!(""),
            json!("zzz"),
            json!([]),
            json!([[]]),
            json!({}),
            json!({ "x": null }),
        ] {
            // What was emptied, and another matcher, are their owner's word.
            let before = example.pointer(at).unwrap();
            let is_emptied = (before.is_array() && other == json!([]))
                || (["", "/hooks"].contains(&&at[..]) && other.is_object());
            if is_emptied || (at.ends_with("/matcher") && other.is_string()) {
                continue;
            }
            let mut damaged = example.clone();
            *damaged.pointer_mut(at).unwrap() = other.clone();
            bench.holds(damaged.to_string().as_bytes(), &format!("{at} is {other}"));
        }
    }
}

#[test]
fn no_key_of_another_name_hides_a_guard() {
    let bench = Bench::new();
    for key in [
        "hooks",
        "PreToolUse",
        "matcher",
        "type",
        "command",
        "args",
        "timeout",
        "onFailure",
    ] {
        let mut names = vec![
            key.to_uppercase(),
            format!("{key}s"),
            format!("_{key}"),
            format!("{key}.disabled"),
            format!("//{key}"),
            format!("old {key}"),
            key[1..].to_owned(),
            String::new(),
        ];
        let half = key.len() / 2;
        names.push(format!("{}{}", &key[half..], &key[..half]));
        for name in names {
            let damaged = EXAMPLE.replace(&format!("\"{key}\":"), &format!("{}:", json!(name)));
            bench.holds(damaged.as_bytes(), &format!("{key} is {name:?}"));
        }
    }
}

#[test]
fn an_event_that_is_almost_one_is_an_error_and_not_only_a_warning() {
    let bench = Bench::new();
    for name in [
        "PreTooUse",
        "preToolUse",
        "pre_tool_use",
        "PreToolUsed",
        "PreToolUse ",
    ] {
        let damaged = EXAMPLE.replace("\"PreToolUse\"", &format!("\"{name}\""));
        let loaded = bench.load(damaged.as_bytes());
        let told: Vec<_> = loaded
            .problems
            .iter()
            .filter(|problem| problem.is_error())
            .collect();
        assert!(
            matches!(&told[..], [one] if one.to_string().contains("expected `PreToolUse`?")),
            "{name}: {told:?}"
        );
    }
}
