//! Which hook waits for which: names made into places, and circles found.

use std::collections::HashMap;

use crate::{
    config::BuildError,
    event::HookEvent,
    hook::{HookSpec, Identity, OriginKind},
    source::{BrokenHook, Problem, Severity, spelling::nearest},
};

/// A hook that is declared, and can be used or not.
pub(crate) enum Candidate<T> {
    Hook(Box<HookSpec>, T),
    Broken(Box<BrokenHook>),
}

impl<T> Candidate<T> {
    fn key(&self) -> (&HookEvent, &str) {
        match self {
            Self::Hook(spec, _) => (&spec.event, &spec.name),
            Self::Broken(hook) => (&hook.event, &hook.name),
        }
    }

    /// A hook that cannot be used because of whom it waits for: it fails at its event, for it may be a guard.
    fn break_it(&mut self, what: &str, expected: &str, problems: &mut Vec<Problem>) {
        let Self::Hook(spec, _) = self else { return };
        problems.push(Problem {
            severity: Severity::Error,
            origin: spec.origin.clone(),
            what: what.into(),
            expected: Some(expected.into()),
        });
        *self = Self::Broken(Box::new(BrokenHook {
            name: spec.name.clone(),
            event: spec.event.clone(),
            matcher: Some(spec.matcher.clone()),
            reason: format!("{what}, expected {expected}"),
            on_failure: spec.on_failure,
            guard: spec.is_guard(),
            origin: spec.origin.clone(),
            is_whole_source: false,
        }));
    }
}

/// For each hook the places of those it waits for: of the first with the same handler.
///
/// A hook of the program's own with a dependency that makes no sense is an error; one from a file becomes broken, and a
/// problem says why.
pub(crate) fn resolve<T>(
    hooks: &mut [Candidate<T>],
    problems: &mut Vec<Problem>,
) -> Result<Vec<Vec<usize>>, BuildError> {
    let mut needs = vec![Vec::new(); hooks.len()];
    let found: Vec<_> = {
        let names: Names<'_> = hooks
            .iter()
            .enumerate()
            .map(|(at, hook)| (hook.key(), at))
            .collect();
        hooks.iter().map(|hook| places(hook, &names)).collect()
    };
    for (at, found) in found.into_iter().enumerate() {
        match found {
            Ok(places) => needs[at] = places,
            Err((what, expected)) => {
                if let Some(name) = own(&hooks[at]) {
                    let problem = format!("{what}, expected {expected}");
                    return Err(BuildError::Hook { hook: name, problem });
                }
                hooks[at].break_it(&what, &expected, problems);
            }
        }
    }
    let firsts = firsts(hooks);
    // Of copies of a handler one runs, for all of them: whoever waits for one waits for that, and none for itself.
    for (at, needs) in needs.iter_mut().enumerate() {
        needs.iter_mut().for_each(|need| *need = firsts[*need]);
        needs.retain(|need| *need != firsts[at]);
    }
    while let Some(circle) = circle(&together(&needs, &firsts)) {
        let mut names: Vec<String> = circle.iter().map(|at| hooks[*at].key().1.to_owned()).collect();
        names.extend(names.first().cloned());
        let waiting = (0..hooks.len()).filter(|at| circle.contains(&firsts[*at]) && !needs[*at].is_empty());
        let waiting: Vec<usize> = waiting.filter(|at| own(&hooks[*at]).is_none()).collect();
        if waiting.is_empty() {
            return Err(BuildError::Cycle { hooks: names });
        }
        let what = format!("waits for itself in a circle: {}", names.join(" -> "));
        for at in waiting {
            hooks[at].break_it(&what, "one of them to go first", problems);
            needs[at].clear();
        }
    }
    Ok(needs)
}

/// For each hook the first with the same handler.
fn firsts<T>(hooks: &[Candidate<T>]) -> Vec<usize> {
    let mut first: HashMap<Identity, usize> = HashMap::new();
    let places = hooks.iter().enumerate().map(|(at, hook)| match hook {
        Candidate::Hook(spec, _) => *first.entry(spec.identity()).or_insert(at),
        Candidate::Broken(_) => at,
    });
    places.collect()
}

/// What all copies of a handler wait for, at the place of the first.
fn together(needs: &[Vec<usize>], firsts: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new(); needs.len()];
    for (needs, first) in needs.iter().zip(firsts) {
        all[*first].extend(needs);
    }
    all
}

/// The name of a hook that the program itself declared.
fn own<T>(hook: &Candidate<T>) -> Option<String> {
    match hook {
        Candidate::Hook(spec, _) if spec.origin.kind == OriginKind::Builder => Some(spec.name.to_string()),
        _ => None,
    }
}

/// The last of each name.
type Names<'a> = HashMap<(&'a HookEvent, &'a str), usize>;

fn places<T>(hook: &Candidate<T>, names: &Names<'_>) -> Result<Vec<usize>, (String, String)> {
    let Candidate::Hook(spec, _) = hook else {
        return Ok(Vec::new());
    };
    let place = |name: &str| {
        names.get(&(&spec.event, name)).copied().ok_or_else(|| {
            let of_event = names.keys().filter(|(event, _)| **event == spec.event);
            let expected = match nearest(name, of_event.map(|(_, name)| *name)) {
                Some(near) => format!("`{near}`?"),
                None => format!("the name of a hook of {}", spec.event),
            };
            (format!("depends on `{name}`, which there is not"), expected)
        })
    };
    spec.schedule.depends_on.iter().map(|name| place(name)).collect()
}

/// Places that wait for each other in a circle, if there are any.
fn circle(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        OnTheWay,
        Done,
    }
    let mut seen = vec![Seen::Not; needs.len()];
    // Each place on the way with how many of its needs were followed. No recursion: the way may be thousands long.
    let mut way: Vec<(usize, usize)> = Vec::new();
    for start in 0..needs.len() {
        if seen[start] != Seen::Not {
            continue;
        }
        seen[start] = Seen::OnTheWay;
        way.push((start, 0));
        while let Some((at, followed)) = way.last_mut() {
            let Some(next) = needs[*at].get(*followed).copied() else {
                seen[*at] = Seen::Done;
                way.pop();
                continue;
            };
            *followed += 1;
            match seen[next] {
                Seen::Done => {}
                Seen::OnTheWay => {
                    let from = way.iter().position(|(one, _)| *one == next).unwrap_or(0);
                    return Some(way[from..].iter().map(|(one, _)| *one).collect());
                }
                Seen::Not => {
                    seen[next] = Seen::OnTheWay;
                    way.push((next, 0));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_mere_diamonds_are_not() {
        for (needs, expected) in [
            (vec![vec![1], vec![2], vec![0]], Some(vec![0, 1, 2])),
            (vec![vec![0]], Some(vec![0])),
            (vec![vec![], vec![2], vec![1]], Some(vec![1, 2])),
            (vec![vec![1, 2], vec![3], vec![3], vec![]], None),
        ] {
            assert_eq!(circle(&needs), expected, "{needs:?}");
        }
    }
}
