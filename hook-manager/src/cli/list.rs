use std::process::ExitCode;

use hook_manager::{Handler, HookManager, HookSpec, Origin, source::Problem};
use serde_json::{Value, json};

use super::{ListArgs, ListOutput, colour::headed, failed, json::origin, print, run::build_to_look, table};

pub(super) fn main(args: &ListArgs) -> ExitCode {
    let manager = match build_to_look(&args.sources) {
        Ok(manager) => manager,
        Err(err) => return failed(args.output, &err),
    };
    let is_told = print(&match args.output {
        ListOutput::Table => text(&args.sources.places(), &manager),
        ListOutput::Json => json(&manager),
    });
    let usable = manager.broken_hooks().next().is_none() && !manager.problems().iter().any(Problem::is_error);
    ExitCode::from(u8::from(!(usable && is_told)))
}

pub(super) fn text(places: &str, manager: &HookManager) -> String {
    let titles = [
        "EVENT",
        "HOOK",
        "MATCHER",
        "TIMEOUT",
        "ON FAILURE",
        "GUARD",
        "RUNS",
        "SOURCE",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    let mut hooks: Vec<&HookSpec> = manager.hooks().collect();
    hooks.sort_by(|a, b| a.event.cmp(&b.event));
    rows.extend(hooks.into_iter().map(|hook| row(manager, hook)));
    let mut text = match rows.len() {
        1 => format!("no hooks were found in {places}\n"),
        _ => headed(&table::columns(&rows)),
    };
    for hook in manager.broken_hooks() {
        let (name, event, reason) = (table::line(&hook.name), &hook.event, table::line(&hook.reason));
        text.push_str(&format!(
            "\nunusable: {name} ({event}), {}: {reason}",
            place(manager, &hook.origin)
        ));
    }
    for problem in manager.problems() {
        text.push_str(&format!(
            "\n{}: {}",
            problem.severity,
            table::line(&problem.to_string())
        ));
    }
    text
}

/// What of the table is cut off: what hooks run, in full.
pub(super) fn cut(manager: &HookManager) -> Vec<String> {
    let whole = manager.hooks().filter_map(|hook| {
        let runs = table::line(&runs(&hook.handler));
        let name = table::line(&hook.name);
        (shorten(&runs) != runs)
            .then(|| format!("{name} ({}) runs: {runs}", table::line(hook.event.as_str())))
    });
    whole.collect()
}

fn row(manager: &HookManager, hook: &HookSpec) -> Vec<String> {
    let matcher = match hook.matcher.text() {
        "" => "*",
        text => text,
    };
    let condition = hook
        .condition
        .as_ref()
        .map(|rule| format!(" if {rule}"))
        .unwrap_or_default();
    let mut runs = runs(&hook.handler);
    for (flag, word) in [
        (hook.background, "async"),
        (hook.idempotent, "retried"),
        (hook.cache.is_some(), "cached"),
    ] {
        if flag {
            runs.push_str(&format!(" ({word})"));
        }
    }
    vec![
        table::line(hook.event.as_str()),
        table::line(&hook.name),
        table::line(&format!("{matcher}{condition}")),
        format!("{} s", hook.effective_timeout().as_secs_f64()),
        hook.effective_on_failure().to_string(),
        if hook.is_guard() { "yes" } else { "no" }.to_owned(),
        shorten(&table::line(&runs)),
        place(manager, &hook.origin),
    ]
}

fn runs(handler: &Handler) -> String {
    match handler {
        Handler::Shell { command, .. } => command.clone(),
        Handler::Exec { program, args } => [std::slice::from_ref(program), args].concat().join(" "),
        Handler::Worker(worker) => format!("{} (worker)", runs(&worker.run)),
        Handler::Http(http) => format!("POST {}", http.url),
        other => format!("{other}: left to the host"),
    }
}

fn shorten(text: &str) -> String {
    match text.chars().count() {
        0..=60 => text.to_owned(),
        _ => text.chars().take(59).chain(['…']).collect(),
    }
}

/// File and line, within the project as far as it is there; the JSON has the whole of it.
fn place(manager: &HookManager, origin: &Origin) -> String {
    let Some(file) = &origin.file else {
        return origin.to_string();
    };
    let project = manager.config().project.as_deref();
    let file = project
        .and_then(|project| file.strip_prefix(project).ok())
        .unwrap_or(file);
    let line = origin.line.map(|line| format!(":{line}")).unwrap_or_default();
    table::line(&format!("{}{line}", file.display()))
}

fn json(manager: &HookManager) -> String {
    let hooks: Vec<Value> = manager
        .hooks()
        .map(|hook| {
            json!({
                "event": hook.event.as_str(),
                "hook": &*hook.name,
                "matcher": hook.matcher.text(),
                "if": hook.condition.as_ref().map(ToString::to_string),
                "runs": runs(&hook.handler),
                "timeout_s": hook.effective_timeout().as_secs_f64(),
                "on_failure": hook.effective_on_failure().to_string(),
                "guard": hook.is_guard(),
                "async": hook.background,
                "idempotent": hook.idempotent,
                "cached": hook.cache.is_some(),
                "env_allow": hook.env_allow.as_deref(),
                "source": origin(&hook.origin),
            })
        })
        .collect();
    let broken: Vec<Value> = manager.broken_hooks().map(|hook| {
        json!({ "event": hook.event.as_str(), "hook": &*hook.name, "reason": hook.reason, "source": origin(&hook.origin) })
    }).collect();
    let problems: Vec<Value> = manager
        .problems()
        .iter()
        .map(|one| json!(one.to_string()))
        .collect();
    format!(
        "{:#}",
        json!({ "hooks": hooks, "unusable": broken, "problems": problems })
    )
}
