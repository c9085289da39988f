//! From the host's settings to files of ours.

use std::{collections::HashMap, fs, path::Path};

use super::{
    Plan, Refused, Routing,
    change::{Change, content},
    entry::{Figures, Moved, field, handlers},
    file::{self, SettingsFile, digest, node, object, text},
    print::print,
};
use crate::{
    config::{self, Config},
    event::{HandlerKind, HookEvent},
    hook::{Handler, Shell},
    source::{
        self, Sources,
        installed::PAIRS,
        json::{Key, Node, Tree},
    },
};

/// What the copy of a settings file is called, behind its name.
pub(super) const BEFORE: &str = ".before-hook-manager";

/// One settings file, and what becomes of its hooks.
struct Side {
    file: SettingsFile,
    ours: &'static str,
    /// By event, in the order of the file.
    moved: Vec<(HookEvent, Vec<Node>)>,
    left: Vec<(Key, Vec<Node>)>,
}

pub(super) fn install(routing: &Routing) -> Result<Plan, Refused> {
    let project = &routing.project;
    if routing.program.rsplit('/').next() != Some("hook-manager") {
        return Err(Refused::new(format!(
            "{}: expected a program named hook-manager, or its own entries would not be known again",
            routing.program
        )));
    }
    let mut plan = Plan::default();
    let mut sides = Vec::new();
    let mut is_installed = false;
    for (settings, ours) in PAIRS {
        let Some(now) = file::read(project, settings)? else {
            continue;
        };
        let before = match standing(project, &now, settings, ours)? {
            Standing::Free => now.clone(),
            Standing::Installed(before) => {
                is_installed = true;
                before
            }
        };
        let side = Side::new(before, ours, routing, &mut plan.notes)?;
        sides.push((now, side));
    }
    usable(project)?;
    let events = moved_events(&sides);
    if events.is_empty() {
        plan.notes.insert(0, "no hook can be moved: nothing to do".into());
        return Ok(plan);
    }
    let figures = figures(project)?;
    let entries: HashMap<HookEvent, (String, Node)> = events
        .into_iter()
        .map(|event| {
            let of_event = |side: &'_ Side| side.moved.iter().any(|(one, _)| *one == event);
            // Shared before personal: the last of the pairs.
            let owner = sides.iter().rev().find(|(_, side)| of_event(side));
            let owner = owner.map(|(_, side)| side.file.name.clone()).unwrap_or_default();
            let groups = sides
                .iter()
                .flat_map(|(_, side)| side.moved.iter().filter(|(one, _)| *one == event))
                .flat_map(|(_, groups)| groups)
                .collect();
            let entry = Moved {
                event: &event,
                groups,
            };
            let entry = entry.entry(&routing.program, &figures);
            (event, (owner, entry))
        })
        .collect();
    let mut ours = Vec::new();
    let mut settings = Vec::new();
    for (now, side) in sides.iter().filter(|(_, side)| !side.moved.is_empty()) {
        let after = side.file.with_hooks(&side.hooks(&entries));
        if after != now.bytes {
            now.may_be_changed()?;
        }
        let kept = Change {
            path: project.join(".claude").join(format!("{}{BEFORE}", side.base())),
            name: format!("{}{BEFORE}", side.file.name),
            before: None,
            after: Some(side.file.bytes.clone()),
            like: side.file.path.clone(),
            is_copy: true,
        };
        let moved = Change {
            path: project.join(".claude").join(side.ours),
            name: format!(".claude/{}", side.ours),
            before: None,
            after: Some(side.ours(&after)),
            like: side.file.path.clone(),
            is_copy: false,
        };
        ours.extend([kept, moved]);
        settings.push(Change {
            path: side.file.path.clone(),
            name: side.file.name.clone(),
            before: Some(now.bytes.clone()),
            after: Some(after),
            like: side.file.path.clone(),
            is_copy: false,
        });
    }
    // The entries before what they make superfluous: the shared file before the personal one.
    settings.reverse();
    plan.changes = ours.into_iter().chain(settings).collect();
    for change in &mut plan.changes {
        let found = content(&change.path)
            .map_err(|err| Refused::new(format!("{}: it cannot be read: {err}", change.name)))?;
        change.before = found;
    }
    plan.changes.retain(|change| change.before != change.after);
    if plan.is_empty() && is_installed {
        plan.notes.insert(0, "already installed: nothing to do".into());
    }
    Ok(plan)
}

enum Standing {
    Free,
    /// With the file as it was before.
    Installed(SettingsFile),
}

/// Whether a settings file was installed already.
fn standing(
    project: &Path,
    now: &SettingsFile,
    settings: &str,
    ours: &'static str,
) -> Result<Standing, Refused> {
    let Some(marks) = file::read(project, ours)? else {
        return match file::read(project, &format!("{settings}{BEFORE}"))? {
            Some(kept) if kept.bytes != now.bytes => Err(Refused::new(format!(
                "{}: it is in the way, and would be lost; expected none of that name",
                kept.name
            ))),
            _ => Ok(Standing::Free),
        };
    };
    let here = digest(&now.bytes);
    if marks.noted("before") == Some(&here) {
        // It was interrupted before it came to this file.
        return Ok(Standing::Free);
    }
    if marks.noted("before").is_none() {
        return Err(Refused::new(format!(
            ".claude/{ours}: it is not a file that install wrote; expected none of that name"
        )));
    }
    let kept = file::read(project, &format!("{settings}{BEFORE}"))?;
    let is_ours = marks.noted("after") == Some(&here);
    match kept.filter(|kept| marks.noted("before") == Some(&digest(&kept.bytes))) {
        Some(kept) if is_ours => {
            let (path, name) = (now.path.clone(), now.name.clone());
            SettingsFile::new(path, name, kept.bytes).map(Standing::Installed)
        }
        _ => Err(Refused::new(format!(
            "{}: already installed, and edited since; the host itself runs the hooks that were added. To move them too: \
             `hook-manager uninstall --merge`, then `hook-manager install`",
            now.name
        ))),
    }
}

/// A hook that cannot be used is the host's to pass over; with us it would fail, and loudly.
fn usable(project: &Path) -> Result<(), Refused> {
    let loaded = source::load(&Sources {
        project: Some(project.into()),
        ..Sources::default()
    });
    match loaded.problems.iter().find(|problem| problem.is_error()) {
        Some(problem) => Err(Refused::new(format!("{problem}; mend or remove it first"))),
        None => Ok(()),
    }
}

/// What the command works with where the entry says nothing else.
fn figures(project: &Path) -> Result<Figures, Refused> {
    let mut config = Config::default();
    let path = project.join(".claude/hook-manager.toml");
    let are_said = path.symlink_metadata().is_ok();
    if are_said {
        config::read_file(&mut config, &path).map_err(|err| Refused::new(err.to_string()))?;
    }
    Ok(Figures {
        deadline: config.deadline,
        at_once: (!are_said).then_some(config.max_concurrent_hooks),
    })
}

fn moved_events(sides: &[(SettingsFile, Side)]) -> Vec<HookEvent> {
    let mut events: Vec<HookEvent> = Vec::new();
    for (event, _) in sides.iter().flat_map(|(_, side)| &side.moved) {
        if !events.contains(event) {
            events.push(event.clone());
        }
    }
    events
}

impl Side {
    fn new(
        file: SettingsFile,
        ours: &'static str,
        routing: &Routing,
        notes: &mut Vec<String>,
    ) -> Result<Self, Refused> {
        let mut side = Self {
            ours,
            moved: Vec::new(),
            left: Vec::new(),
            file,
        };
        for (key, groups) in side.file.hooks().to_vec() {
            let event = HookEvent::from(&key.name[..]);
            // Else an error, which is told with all others.
            let Tree::List(all) = groups.value else { continue };
            if side.left.iter().any(|(one, _)| one.name == key.name) {
                return Err(Refused::new(format!(
                    "{}:{}:{}: `{}` stands here a second time, and one of them would be lost; expected one",
                    side.file.name, key.at.line, key.at.column, key.name
                )));
            }
            let is_asked = routing.events.is_empty() || routing.events.contains(&event);
            let why = (!event.is_known())
                .then_some("this version does not know the event")
                .or_else(|| mixed(&event, &all).then_some(
                    "some of its groups name the files to be watched and some do not, which one entry cannot say",
                ));
            let calls_us = all.iter().flat_map(handlers).any(|one| is_entry(&event, one));
            let why = why.or_else(|| calls_us.then_some("the event calls this program already"));
            let (mut moved, mut left) = (Vec::new(), Vec::new());
            for group in all {
                let mut keep = |handler: &Node| {
                    let why = why.or_else(|| stays(&event, handler));
                    if let (Some(why), true) = (why, is_asked) {
                        let at = handler.at;
                        let place = format!("{}:{}:{}", side.file.name, at.line, at.column);
                        notes.push(format!("{place}: left to the host on {event}: {why}"));
                    }
                    why.is_some() || !is_asked
                };
                let (stay, go): (Vec<Node>, Vec<Node>) =
                    handlers(&group).iter().cloned().partition(&mut keep);
                if go.is_empty() {
                    left.push(group);
                    continue;
                }
                if !stay.is_empty() {
                    left.push(with_handlers(&group, stay));
                }
                moved.push(with_handlers(&group, go));
            }
            if !moved.is_empty() {
                side.moved.push((event, moved));
            }
            side.left.push((key, left));
        }
        Ok(side)
    }

    fn base(&self) -> &str {
        self.file.name.rsplit('/').next().unwrap_or_default()
    }

    /// What the settings file has in place of its hooks.
    fn hooks(&self, entries: &HashMap<HookEvent, (String, Node)>) -> Node {
        let events = self.left.iter().filter_map(|(key, left)| {
            let entry = entries.get(&HookEvent::from(&key.name[..]));
            let entry = entry.filter(|(owner, _)| *owner == self.file.name);
            let groups: Vec<Node> = entry
                .map(|(_, entry)| entry.clone())
                .into_iter()
                .chain(left.iter().cloned())
                .collect();
            (!groups.is_empty()).then(|| (key.name.clone(), node(Tree::List(groups))))
        });
        object(events)
    }

    /// The file of ours. It knows the settings file before and after by their digests.
    fn ours(&self, after: &[u8]) -> Vec<u8> {
        let hooks = self.moved.iter().map(|(event, groups)| {
            let groups = node(Tree::List(groups.clone()));
            (event.as_str(), groups)
        });
        let hooks = object(hooks);
        let described = format!(
            "The hooks of {}, moved here by `hook-manager install`. Edit them as before; `hook-manager uninstall` moves them back.",
            self.base()
        );
        let marks = [
            ("before", text(digest(&self.file.bytes))),
            ("after", text(digest(after))),
            ("moved", text(digest(print(&hooks, "  ", 0).as_bytes()))),
        ];
        let whole = object([
            ("description", text(described)),
            ("hookManager", object(marks)),
            ("hooks", hooks),
        ]);
        format!("{}\n", print(&whole, "  ", 0)).into_bytes()
    }
}

/// Whether some groups of `FileChanged` have a matcher, which names the files to watch, and some have none.
fn mixed(event: &HookEvent, groups: &[Node]) -> bool {
    let is_all = |group: &Node| matches!(group.get("matcher").and_then(Node::text), None | Some("" | "*"));
    *event == HookEvent::FileChanged && groups.iter().any(is_all) && !groups.iter().all(is_all)
}

/// Why a handler stays with the host, if it does.
fn stays(event: &HookEvent, handler: &Node) -> Option<&'static str> {
    let kind = field(handler, "type").and_then(HandlerKind::find);
    let Some(kind @ (HandlerKind::Command | HandlerKind::Http)) = kind else {
        return Some("only the host can run it");
    };
    let is_on = |name: &str| matches!(handler.get(name).map(|node| &node.value), Some(Tree::Bool(true)));
    if !event.spec().handlers.contains(&kind) {
        return Some("the host runs no hooks of its type there");
    }
    if is_on("async") || is_on("asyncRewake") {
        return Some("it runs in the background, and only the host can tell the model later what it said");
    }
    let command = field(handler, "command").unwrap_or_default().to_owned();
    let run = match handler.get("args").map(|node| &node.value) {
        Some(Tree::List(args)) => Handler::Exec {
            program: command,
            args: args.iter().filter_map(Node::text).map(str::to_owned).collect(),
        },
        _ => Handler::Shell {
            command,
            shell: Shell::Sh,
        },
    };
    run.runs_this_program().then_some("it calls this program already")
}

fn with_handlers(group: &Node, handlers: Vec<Node>) -> Node {
    let mut group = group.clone();
    if let Tree::Object(entries) = &mut group.value {
        for (_, node) in entries.iter_mut().filter(|(key, _)| key.name == "hooks") {
            node.value = Tree::List(handlers.clone());
        }
    }
    group
}

/// Whether a file of a project's `.claude` is there at all.
pub(super) fn is_there(project: &Path, file: &str) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};

    let looked = fs::symlink_metadata(project.join(".claude").join(file));
    // What may not be looked at is told by whoever reads it.
    !looked.is_err_and(|err| matches!(err.kind(), NotFound | NotADirectory))
}

/// Whether a handler is the entry that install leaves.
pub(super) fn is_entry(event: &HookEvent, handler: &Node) -> bool {
    stays(event, handler) == Some("it calls this program already")
}
