//! A manager that comes after another one, because its settings have changed.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::{
    manager::HookManager,
    stack::own::Own,
    state::{identity, key, runnable},
};

impl HookManager {
    /// Puts the cached answers of `before` into this manager, for hooks that are the same in both: same event, name,
    /// handler, matcher, `if` and cache rule. Returns how many there were.
    ///
    /// For a process that builds a manager anew because some of its settings have changed. Where there is a
    /// [`state_dir`](crate::HookManagerBuilder::state_dir), [saving](Self::save) the one of before hands over figures,
    /// circuits and estimates; where there is none, or it could not be saved, circuits and estimates are handed over here, too.
    pub fn succeed(&self, before: &Self) -> usize {
        let former: HashMap<String, (&Own, String)> = runnable(&before.0.entries)
            .filter_map(|(entry, own)| Some((key(entry), (own, identity(entry.spec()?)))))
            .collect();
        // Where it could not be saved, nobody else has handed it over.
        let is_kept = self.0.store.is_some() && before.state_error().is_none();
        let mut count = 0;
        for (entry, own) in runnable(&self.0.entries) {
            let Some((former, as_before)) = former.get(&key(entry)) else {
                continue;
            };
            if entry.spec().is_none_or(|spec| identity(spec) != *as_before) {
                continue;
            }
            if !is_kept {
                own.estimate.restore(&former.estimate.save());
                if let (Some(runs), Some(former)) = (&own.watched, &former.watched) {
                    runs.restore(former.all());
                }
                if let (Some(breaker), Some(saved)) = (&own.breaker, &former.breaker) {
                    breaker.restore(&saved.save());
                    if former.is_told() {
                        own.tell_once();
                    }
                }
            }
            count += answers(own, former);
        }
        count
    }
}

/// As long as they are good by what is said now.
fn answers(own: &Own, former: &Own) -> usize {
    let (Some(cache), Some(theirs), Some(ttl)) = (&own.cache, &former.cache, own.ttl) else {
        return 0;
    };
    let now = Instant::now();
    let mut answers = Vec::new();
    // Asked about each that could be served, and condemns none.
    theirs.invalidate_if(|key, answer| {
        let left = ttl.saturating_sub(now.saturating_duration_since(answer.at));
        if !left.is_zero() {
            answers.push((key.clone(), answer.clone(), left));
        }
        false
    });
    let count = answers.len();
    for (key, answer, left) in answers {
        cache.cache().insert_with_ttl(key, answer, left);
    }
    count
}
