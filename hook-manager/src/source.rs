//! Where hooks come from: settings files, and directories of scripts.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    event::HookEvent,
    hook::{HookSpec, Identity, OnFailure, Origin},
    matcher::Matcher,
    ownership::FileCheck,
};

mod directory;
pub(crate) mod installed;
pub(crate) mod json;
mod limits;
pub(crate) mod place;
mod settings;
pub(crate) mod spelling;

/// Where to look for hooks.
///
/// The order is that of precedence: settings files given by name, in the order given; the project's
/// `.claude/settings.local.json`; its `.claude/settings.json`; the directory of scripts. Hooks are declared
/// in that order, too.
///
/// Where hooks of a settings file were moved by [`install`](crate::install) to a file of ours beside it, that file is
/// read in its place, and what the settings file still has is the host's to run.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A project, whose `.claude` folder is read. Its settings files may be missing.
    pub project: Option<PathBuf>,
    /// More settings files, or a plugin's `hooks.json`. They must be there.
    pub settings: Vec<PathBuf>,
    /// A directory of scripts named `<event>__<name>`. It must be there.
    pub hooks_dir: Option<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The hooks that can run, in declared order.
    pub hooks: Vec<HookSpec>,
    /// The hooks that cannot, in declared order. They must fail where they would have run: one of them
    /// may be a guard.
    pub broken: Vec<BrokenHook>,
    /// What there is to say about the sources.
    pub problems: Vec<Problem>,
    /// The file that switches all hooks off, if there is one: `hooks` and `broken` are empty then.
    pub disabled_by: Option<PathBuf>,
}

/// A hook that was declared but cannot run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokenHook {
    /// Its name: given, taken from its script, or else the place it was declared in.
    pub name: Arc<str>,
    /// The event it was declared for; `*` where a [whole source](Self::is_whole_source) is meant.
    pub event: HookEvent,
    /// Which of those events it was for. `None` when that cannot be read either: all of them.
    pub matcher: Option<Matcher>,
    /// What is wrong with it, as a sentence.
    pub reason: String,
    /// What its failure means for the caller, if that can be read.
    pub on_failure: Option<OnFailure>,
    /// Whether it guards its event: the rule of [`HookSpec::is_guard`], as far as it can be applied.
    pub guard: bool,
    /// Where it was declared.
    pub origin: Origin,
    /// Whether it stands for a whole source that cannot be read, and so for whatever hooks were in there:
    /// it fails at every event.
    pub is_whole_source: bool,
}

impl BrokenHook {
    /// Whether it has to fail at this event.
    pub fn is_for(&self, event: &HookEvent) -> bool {
        self.is_whole_source || self.event == *event
    }

    /// A source that cannot be read. Nobody knows what was in it: it may have been a guard.
    fn whole_source(name: &str, reason: String, origin: Origin) -> Self {
        Self {
            name: name.into(),
            event: HookEvent::from("*"),
            matcher: None,
            reason,
            on_failure: Some(OnFailure::Ask),
            guard: true,
            origin,
            is_whole_source: true,
        }
    }
}

/// Something a reader of the settings should know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub origin: Origin,
    /// What was found.
    pub what: String,
    /// What would have been right, where that can be said.
    pub expected: Option<String>,
}

impl Problem {
    /// Whether something cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Something was left out on purpose, by the host's rules or by ours.
    Ignored,
    /// It works, but probably not as it was meant.
    Warning,
    /// A hook cannot be used, or a file cannot be read.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ignored => "ignored",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// `settings.json:12:9: hooks.Stop[0].hooks[0].timeout is -1, expected a positive number of seconds`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.origin.place.is_empty() { ": " } else { " " };
        write!(f, "{}{between}{}", self.origin, self.what)?;
        match &self.expected {
            Some(expected) => write!(f, ", expected {expected}"),
            None => Ok(()),
        }
    }
}

/// Whether a file of this name in a [directory of hooks](Sources::hooks_dir) may be a hook: not where it is hidden, a backup,
/// of a kind that runs nothing, such as `.md` and `.log`, or without the `__` behind an event's name.
pub fn may_be_hook(file_name: &str) -> bool {
    directory::may_be_hook(file_name)
}

/// Reads all sources. What cannot be used is in [`Loaded::broken`] and [`Loaded::problems`]; it never
/// takes the rest with it.
///
/// Reads files, and blocks its thread while it does.
pub fn load(sources: &Sources) -> Loaded {
    load_beside(sources, HashSet::new(), FileCheck::Off)
}

/// The same beside hooks that have names already; and files that others can change count as ones that cannot be read.
pub(crate) fn load_beside(
    sources: &Sources,
    names: HashSet<(HookEvent, Arc<str>)>,
    check: FileCheck,
) -> Loaded {
    let project = sources.project.as_deref();
    let mut loaded = Loaded::default();
    let mut found = Vec::new();
    let mut limits = limits::HttpLimits::default();
    // The first file that says something about it, in order of precedence, decides.
    let mut disabled: Option<(bool, PathBuf)> = None;
    let mut host = HashSet::new();
    for File { path, must_exist, of } in sources.files() {
        let mut settings = match check.check(&path, project) {
            Ok(()) => settings::read(&path, must_exist),
            Err(why) => settings::refused(&path, why),
        };
        if of == Whose::Host {
            installed::leave_to_host(&mut settings, &mut host);
        }
        loaded.problems.extend(settings.problems);
        found.extend(settings.found.into_iter().map(|one| (of, one)));
        limits.join(settings.http_urls, settings.http_env);
        disabled = disabled.or(settings.disable_all_hooks.map(|disabled| (disabled, path)));
    }
    if let Some(path) = &sources.hooks_dir {
        let directory = match check.check(path, project) {
            Ok(()) => directory::read(path),
            Err(why) => directory::refused(path, why),
        };
        loaded.problems.extend(directory.problems);
        found.extend(directory.found.into_iter().map(|one| (Whose::Named, one)));
    }
    if let Some((true, path)) = disabled {
        let what = format!("`disableAllHooks` is true: {} hooks do not run", found.len());
        loaded.problems.push(Problem {
            severity: Severity::Ignored,
            origin: Origin::settings(&path),
            what,
            expected: None,
        });
        loaded.disabled_by = Some(path);
        return loaded;
    }
    let mut known = Known {
        names,
        first: HashMap::new(),
    };
    for (of, one) in found {
        match limits.apply(one, &mut loaded.problems) {
            // Not moved yet, or back already: the host runs it.
            Found::Hook(hook) if of == Whose::Ours && host.contains(&mark(&hook)) => {}
            Found::Hook(mut hook) => match known.same(&hook) {
                Some(first) => {
                    let first = &mut loaded.hooks[first];
                    loaded.problems.push(repeated(first, &hook));
                    first.absorb(&hook);
                }
                None => {
                    known.first.insert(mark(&hook), loaded.hooks.len());
                    hook.name = known.name(&hook.event, &hook.name);
                    loaded.hooks.push(*hook);
                }
            },
            Found::Broken(mut hook) => {
                hook.name = known.name(&hook.event, &hook.name);
                loaded.broken.push(*hook);
            }
        }
    }
    loaded
}

/// What stands for a source that is not used because others can change it.
fn refused(name: &str, origin: Origin, why: String) -> (Found, Problem) {
    let what = match why.split_once(": ") {
        // The origin says where.
        Some((_, what)) => what.to_owned(),
        None => why.clone(),
    };
    let reason = format!("{why}; the hooks in it are not run");
    let broken = Found::Broken(Box::new(BrokenHook::whole_source(name, reason, origin.clone())));
    let problem = Problem {
        severity: Severity::Error,
        origin,
        what,
        expected: None,
    };
    (broken, problem)
}

/// One settings file to read.
struct File {
    path: PathBuf,
    must_exist: bool,
    of: Whose,
}

/// Who runs the hooks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// We do: it was named, or is a project's and nothing was installed.
    Named,
    /// We do: they were moved there.
    Ours,
    /// The host does: it is what `install` left in the host's own file.
    Host,
}

impl Sources {
    /// The settings files; the one that has precedence first.
    fn files(&self) -> impl Iterator<Item = File> {
        let named = self.settings.iter().map(|file| File {
            path: file.clone(),
            must_exist: true,
            of: Whose::Named,
        });
        let claude = self.project.as_ref().map(|project| project.join(".claude"));
        // One that cannot be looked at is read, and then complained of.
        let ours_of = move |claude: &Path, ours: &str| {
            let ours = claude.join(ours);
            ours.symlink_metadata().is_ok().then_some(ours)
        };
        let mut installed = installed::PAIRS.iter();
        let is_installed = claude
            .as_deref()
            .is_some_and(|claude| installed.any(|(_, ours)| ours_of(claude, ours).is_some()));
        // Both: what is written into the other one later is the host's as well.
        let of = if is_installed { Whose::Host } else { Whose::Named };
        let of_project = installed::PAIRS.into_iter().flat_map(move |(settings, ours)| {
            let ours = claude.as_deref().and_then(|claude| ours_of(claude, ours));
            let ours = ours.map(|path| File {
                path,
                must_exist: true,
                of: Whose::Ours,
            });
            let settings = claude.as_ref().map(|claude| File {
                path: claude.join(settings),
                must_exist: false,
                of,
            });
            ours.into_iter().chain(settings)
        });
        named.chain(of_project)
    }
}

/// What a source found, in its order.
#[derive(Debug)]
enum Found {
    Hook(Box<HookSpec>),
    Broken(Box<BrokenHook>),
}

/// What makes a hook a copy of another: one with another matcher is none, for each runs where the other does not.
type Mark = (Identity, Box<str>);

fn mark(hook: &HookSpec) -> Mark {
    (hook.identity(), hook.matcher.text().into())
}

/// The hooks so far, to recognise a second copy and a second use of a name.
struct Known {
    first: HashMap<Mark, usize>,
    names: HashSet<(HookEvent, Arc<str>)>,
}

impl Known {
    /// The first copy of a hook.
    fn same(&self, hook: &HookSpec) -> Option<usize> {
        self.first.get(&mark(hook)).copied()
    }

    /// The name, with a number behind it if it is taken.
    fn name(&mut self, event: &HookEvent, name: &Arc<str>) -> Arc<str> {
        let numbered = (2..).map(|number| format!("{name}#{number}").into());
        let mut free = std::iter::once(Arc::clone(name)).chain(numbered);
        let free = free.find(|name| self.names.insert((event.clone(), Arc::clone(name))));
        free.unwrap_or_else(|| Arc::clone(name))
    }
}

/// Says that a copy was left out, and louder if it was to be treated in another way.
fn repeated(first: &HookSpec, copy: &HookSpec) -> Problem {
    let treated = |hook: &HookSpec| {
        (
            (hook.timeout, hook.on_failure, hook.is_guard()),
            (hook.idempotent, hook.cache.clone(), hook.background),
        )
    };
    let same = treated(first) == treated(copy);
    let (severity, which) = match same {
        true => (Severity::Ignored, ""),
        false => (Severity::Warning, ", with other settings"),
    };
    Problem {
        severity,
        origin: copy.origin.clone(),
        what: format!(
            "is declared before{which}, as {} ({}), and runs once, under the stricter policy",
            first.name, first.origin
        ),
        expected: None,
    }
}
