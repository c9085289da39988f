//! What settings allow `http` hooks to do: `allowedHttpHookUrls` and `httpHookAllowedEnvVars`.

use std::sync::Arc;

use super::{BrokenHook, Found, Problem, Severity};
use crate::hook::{Handler, HookSpec};

/// The lists of all files, joined. `None`: no file has one, and nothing is limited.
#[derive(Debug, Default)]
pub(super) struct HttpLimits {
    pub(super) urls: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
}

impl HttpLimits {
    pub(super) fn join(&mut self, urls: Option<Vec<String>>, env: Option<Vec<String>>) {
        for (have, more) in [(&mut self.urls, urls), (&mut self.env, env)] {
            if let Some(more) = more {
                have.get_or_insert_default().extend(more);
            }
        }
    }

    /// Applies them to a hook: one whose address is not allowed cannot be used.
    pub(super) fn apply(&self, found: Found, problems: &mut Vec<Problem>) -> Found {
        let Found::Hook(mut hook) = found else {
            return found;
        };
        let Handler::Http(http) = &mut hook.handler else {
            return Found::Hook(hook);
        };
        if let Some(env) = &self.env {
            http.allowed_env.retain(|name| env.contains(name));
        }
        let is_allowed = |urls: &Vec<String>| urls.iter().any(|pattern| matches(pattern, &http.url));
        if self.urls.as_ref().is_none_or(is_allowed) {
            return Found::Hook(hook);
        }
        let what = format!(
            "has the url {:?}, which `allowedHttpHookUrls` does not allow",
            http.url
        );
        problems.push(Problem {
            severity: Severity::Error,
            origin: hook.origin.clone(),
            what: what.clone(),
            expected: None,
        });
        Found::Broken(Box::new(refused(&hook, what)))
    }
}

fn refused(hook: &HookSpec, reason: String) -> BrokenHook {
    BrokenHook {
        name: Arc::clone(&hook.name),
        event: hook.event.clone(),
        matcher: Some(hook.matcher.clone()),
        reason: format!("it {reason}"),
        on_failure: Some(hook.effective_on_failure()),
        guard: hook.is_guard(),
        origin: hook.origin.clone(),
        is_whole_source: false,
    }
}

/// Whether a pattern, in which `*` stands for any text, is all of `url`.
fn matches(pattern: &str, url: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = url.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text_and_everything_else_is_itself() {
        for (pattern, url, expected) in [
            ("http://a/x", "http://a/x", true),
            ("http://a/x", "http://a/xy", false),
            ("http://a/*", "http://a/x/y", true),
            ("http://a/*", "http://ab/", false),
            ("*", "http://a", true),
            ("http://*/hooks", "http://a/b/hooks", true),
            ("http://*/hooks", "http://a/hooks/b", false),
            ("http://a*a", "http://a", false),
            ("http://*.b/*/c", "http://a.b/x/c", true),
            ("", "http://a", false),
        ] {
            assert_eq!(matches(pattern, url), expected, "{pattern} {url}");
        }
    }
}
