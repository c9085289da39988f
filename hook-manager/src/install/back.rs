//! From files of ours back to the host's settings.

use super::{
    Edits, Plan, Refused, Routing,
    change::{Change, content, diff},
    entry::handlers,
    file::{self, SettingsFile, digest, node},
    moving::{BEFORE, is_entry, is_there},
    print::print,
};
use crate::{
    event::HookEvent,
    source::{
        installed::PAIRS,
        json::{Key, Node, Tree},
    },
};

pub(super) fn uninstall(routing: &Routing, edits: Edits) -> Result<Plan, Refused> {
    let project = &routing.project;
    let mut plan = Plan::default();
    let mut removed = Vec::new();
    let mut is_there_any = false;
    // The personal file first: while its entry is in the shared one, its hooks have to run.
    for (settings, ours_name) in PAIRS {
        if !is_there(project, ours_name) {
            continue;
        }
        is_there_any = true;
        let kept_name = format!("{settings}{BEFORE}");
        let now = file::read(project, settings)?;
        let kept = file::read(project, &kept_name)?;
        let Some(ours) = file::read(project, ours_name)? else {
            continue;
        };
        if ours.noted("before").is_none() {
            return Err(Refused::new(format!(
                "{}: it is not a file that install wrote; expected none of that name",
                ours.name
            )));
        }
        let here = now.as_ref().map(|now| digest(&now.bytes));
        let is_back = here.as_deref() == ours.noted("before");
        let is_kept = kept
            .as_ref()
            .is_some_and(|kept| ours.noted("before") == Some(&digest(&kept.bytes)));
        let is_as_left = is_back || here.as_deref() == ours.noted("after");
        let moved = print(&hooks_of(&ours), "  ", 0);
        let is_moved_as_left = ours.noted("moved") == Some(&digest(moved.as_bytes()));
        let (path, name) = match (&now, project.join(".claude").join(settings)) {
            (Some(now), _) => (now.path.clone(), now.name.clone()),
            (None, path) => (path, format!(".claude/{settings}")),
        };
        let mut set_aside = Vec::new();
        let after = match edits {
            // An uninstall that was interrupted.
            _ if is_back && is_moved_as_left => now.as_ref().map(|now| now.bytes.clone()),
            _ if is_kept && is_as_left && is_moved_as_left => kept.as_ref().map(|kept| kept.bytes.clone()),
            Edits::Refuse => {
                return Err(refused(&name, &ours, &now, &kept, is_kept, is_as_left));
            }
            Edits::Merge => Some(merged(now.as_ref(), &ours, &path, &name)?),
            Edits::SetAside if is_kept => {
                if !is_as_left {
                    set_aside.extend(
                        now.clone()
                            .map(|now| now.bytes)
                            .zip(Some((path.clone(), name.clone()))),
                    );
                }
                if !is_moved_as_left {
                    set_aside.push((ours.bytes.clone(), (ours.path.clone(), ours.name.clone())));
                }
                kept.as_ref().map(|kept| kept.bytes.clone())
            }
            Edits::SetAside => {
                return Err(Refused::new(format!(
                    ".claude/{kept_name}: it is gone or is not the copy that install made, so that nothing can be brought \
                     back from it; expected `--merge`"
                )));
            }
        };
        for (bytes, (path, name)) in set_aside {
            plan.changes.push(set_aside_as(bytes, &path, &name)?);
        }
        let before = now.as_ref().map(|now| now.bytes.clone());
        let like = if now.is_some() {
            path.clone()
        } else {
            ours.path.clone()
        };
        if before != after {
            now.as_ref().map_or(Ok(()), SettingsFile::may_be_changed)?;
            plan.changes.push(Change {
                like: like.clone(),
                path,
                name,
                before,
                after,
                is_copy: false,
            });
        }
        let gone = [(Some(ours), false), (kept, true)];
        for (file, is_copy) in gone
            .into_iter()
            .filter_map(|(file, is_copy)| Some((file?, is_copy)))
        {
            removed.push(Change {
                like: like.clone(),
                path: file.path,
                name: file.name,
                before: Some(file.bytes),
                after: None,
                is_copy,
            });
        }
    }
    plan.changes.extend(removed);
    if !is_there_any {
        plan.notes.push("not installed: nothing to do".into());
    }
    Ok(plan)
}

fn refused(
    name: &str,
    ours: &SettingsFile,
    now: &Option<SettingsFile>,
    kept: &Option<SettingsFile>,
    is_kept: bool,
    is_as_left: bool,
) -> Refused {
    let (what, from) = match (is_kept, is_as_left) {
        (false, _) => (
            format!("{name}{BEFORE}: it is gone, or is not the copy that install made"),
            None,
        ),
        (true, false) => (format!("{name}: it was edited since install"), kept.as_ref()),
        (true, true) => (format!("{}: it was edited since install", ours.name), None),
    };
    let bytes = |file: &Option<SettingsFile>| file.as_ref().map(|file| file.bytes.clone());
    let diff = from.map(|from| diff(name, Some(&from.bytes), bytes(now).as_deref()));
    Refused {
        what: format!(
            "{what}; expected `--merge`, which keeps the edits, or `--force`, which brings back what was before and sets \
             the edited file aside"
        ),
        diff: diff.unwrap_or_default(),
    }
}

/// A place for an edited file that takes nobody else's.
fn set_aside_as(bytes: Vec<u8>, path: &std::path::Path, name: &str) -> Result<Change, Refused> {
    for number in 1..1_000_u32 {
        let ending = match number {
            1 => ".edited".to_owned(),
            number => format!(".edited.{number}"),
        };
        let mut to = path.as_os_str().to_owned();
        to.push(&ending);
        let name = format!("{name}{ending}");
        let found =
            content(to.as_ref()).map_err(|err| Refused::new(format!("{name}: it cannot be read: {err}")))?;
        if found.is_none() {
            return Ok(Change {
                path: to.into(),
                name,
                before: None,
                after: Some(bytes),
                like: path.into(),
                is_copy: true,
            });
        }
    }
    Err(Refused::new(format!(
        "{name}.edited: there are too many of them; expected fewer"
    )))
}

fn hooks_of(file: &SettingsFile) -> Node {
    node(Tree::Object(file.hooks().to_vec()))
}

/// The settings as they are now, with the moved hooks in place of our entries.
fn merged(
    now: Option<&SettingsFile>,
    ours: &SettingsFile,
    path: &std::path::Path,
    name: &str,
) -> Result<Vec<u8>, Refused> {
    let empty;
    let now = match now {
        Some(now) => now,
        None => {
            empty = SettingsFile::new(path.into(), name.into(), b"{\n  \"hooks\": {}\n}\n".to_vec())?;
            &empty
        }
    };
    let now = &now.having_hooks()?;
    let mut events: Vec<(Key, Node)> = Vec::new();
    for (key, groups) in now.hooks() {
        let event = HookEvent::from(&key.name[..]);
        let has_moved = ours.hooks().iter().any(|(one, _)| one.name == key.name);
        let Tree::List(groups) = &groups.value else {
            events.push((key.clone(), groups.clone()));
            continue;
        };
        let is_ours = |group: &&Node| {
            let handlers = handlers(group);
            has_moved && !handlers.is_empty() && handlers.iter().all(|one| is_entry(&event, one))
        };
        let left: Vec<Node> = groups.iter().filter(|group| !is_ours(group)).cloned().collect();
        events.push((key.clone(), node(Tree::List(left))));
    }
    for (key, moved) in ours.hooks() {
        let Tree::List(moved) = &moved.value else {
            return Err(Refused::new(format!(
                "{}: `hooks.{}` is {}; expected a list",
                ours.name,
                key.name,
                moved.describe()
            )));
        };
        match events.iter_mut().find(|(one, _)| one.name == key.name) {
            Some((
                _,
                Node {
                    value: Tree::List(groups),
                    ..
                },
            )) => {
                // One that was put back by hand is there already.
                let printed = |group: &Node| print(group, "", 0);
                let there: Vec<String> = groups.iter().map(printed).collect();
                let back = moved.iter().filter(|group| !there.contains(&printed(group)));
                groups.splice(0..0, back.cloned().collect::<Vec<_>>());
            }
            Some((_, other)) => {
                return Err(Refused::new(format!(
                    "{name}: `hooks.{}` is {}; expected a list",
                    key.name,
                    other.describe()
                )));
            }
            None => events.push((file::key(&key.name[..]), node(Tree::List(moved.clone())))),
        }
    }
    events.retain(|(_, groups)| !matches!(&groups.value, Tree::List(groups) if groups.is_empty()));
    Ok(now.with_hooks(&node(Tree::Object(events))))
}

impl SettingsFile {
    /// The file itself, or with `hooks` in it, if it has none any more.
    fn having_hooks(&self) -> Result<Self, Refused> {
        if self.has_hooks() {
            return Ok(self.clone());
        }
        Self::new(
            self.path.clone(),
            self.name.clone(),
            self.with_a_place_for_hooks(),
        )
    }
}
