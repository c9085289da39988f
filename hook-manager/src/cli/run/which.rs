//! Whether the event that was asked for is the one that was meant.

use hook_manager::{HookEvent, HookManager};

/// What to make of the event on the command line.
pub(super) enum Which {
    /// It is what it says.
    AsAsked,
    /// It is run as asked, and there is something to say about it.
    Noted(String),
    /// Its hooks would be passed over: it is another event, most likely.
    Misspelt {
        /// The event whose hooks have to be asked.
        meant: HookEvent,
        why: String,
    },
}

/// Compares the event asked for with the name in the input, and with the hooks there are.
///
/// An unknown event is passed through, for hosts grow new ones: where a hook is declared for it, or where the
/// input bears the same name. If neither is so, and the input's name or the spelling shows which event it is,
/// running no hook at all would let pass what a guard was to look at.
pub(super) fn which(manager: &HookManager, asked: &HookEvent, named: Option<&str>) -> Which {
    let other = named.filter(|name| *name != asked.as_str());
    if asked.is_known() {
        return match other {
            Some(other) => Which::Noted(format!(
                "the input's hook_event_name is {other}; it is run as {asked}, as asked"
            )),
            None => Which::AsAsked,
        };
    }
    let is_declared = manager.hooks().any(|hook| hook.event == *asked)
        || manager.broken_hooks().any(|hook| hook.event == *asked);
    let by_spelling = asked.meant().map(HookEvent::from);
    let unknown = format!("{asked} is not an event this version knows");
    if is_declared || named == Some(asked.as_str()) {
        let other = other
            .map(|other| format!("; the input's hook_event_name is {other}"))
            .unwrap_or_default();
        let near = by_spelling.filter(|_| other.is_empty() && !is_declared);
        let near = near
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default();
        return Which::Noted(format!("{unknown}, and is passed through{other}{near}"));
    }
    let by_input = other.map(HookEvent::from).filter(HookEvent::is_known);
    match (by_input, by_spelling) {
        (Some(meant), _) => Which::Misspelt {
            why: format!(
                "{unknown}, and no hook is declared for it; the input's hook_event_name is {meant}: expected `run {meant}`"
            ),
            meant,
        },
        (None, Some(meant)) => Which::Misspelt {
            why: format!(
                "{unknown}, and no hook is declared for it; did you mean {meant}? An input whose hook_event_name is {asked} is passed through"
            ),
            meant,
        },
        (None, None) => Which::Noted(format!("{unknown}, and is passed through")),
    }
}
