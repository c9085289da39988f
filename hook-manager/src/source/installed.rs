//! Projects whose hooks were moved to files of ours by `install`.

use std::collections::HashSet;

use super::{Found, Mark, Problem, Severity, mark, settings::Settings};
use crate::hook::Handler;

/// The host's settings files in `.claude`, each with the file of ours beside it; the one that has precedence first.
pub(crate) const PAIRS: [(&str, &str); 2] = [
    ("settings.local.json", "hook-manager.local.json"),
    ("settings.json", "hook-manager.json"),
];

/// What is still in the host's file is run by the host: it is shown, and not run a second time. The host's own call
/// of this program is no hook at all.
pub(super) fn leave_to_host(settings: &mut Settings, host: &mut HashSet<Mark>) {
    let found = std::mem::take(&mut settings.found).into_iter();
    settings.found = found
        .filter_map(|one| {
            let Found::Hook(mut hook) = one else {
                return Some(one);
            };
            if hook.handler.runs_this_program() {
                settings.problems.push(Problem {
                    severity: Severity::Ignored,
                    origin: hook.origin,
                    what: "calls this manager, which then runs the hooks it was given".into(),
                    expected: None,
                });
                return None;
            }
            host.insert(mark(&hook));
            if let Some(kind) = hook.handler.kind().filter(|_| !is_host_only(&hook.handler)) {
                let kind = format!("{kind} `{}`", hook.handler);
                hook.handler = Handler::HostOnly { kind };
            }
            Some(Found::Hook(hook))
        })
        .collect();
}

fn is_host_only(handler: &Handler) -> bool {
    matches!(handler, Handler::HostOnly { .. })
}
