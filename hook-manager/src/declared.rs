use std::{future::Future, sync::Arc, time::Duration};

use hook_monitor::BoxError;
use tower::{Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    config::BuildError,
    environment::is_pattern,
    event::HookEvent,
    hook::{
        CacheKey, CacheRule, Handler, HookSpec, Http, IfDependencyFails, OnFailure, OnOpen, Origin, Priority,
        Schedule, Shell, Worker,
    },
    http,
    in_process::UserService,
    matcher::Matcher,
    output::HookOutput,
    request::HookRequest,
    rule::Rule,
};

/// A hook declared in code.
///
/// ```
/// use hook_manager::{Hook, HookEvent, HookManager, HookOutput, HookRequest};
///
/// let no_sudo = Hook::function("no-sudo", HookEvent::PreToolUse, |req: HookRequest| async move {
///     match req.field("/tool_input/command") {
///         Some(command) if command.starts_with("sudo ") => Ok(HookOutput::deny("no sudo here")),
///         _ => Ok::<_, std::io::Error>(HookOutput::none()),
///     }
/// });
/// let manager = HookManager::builder().hook(no_sudo.matching("Bash").guard()).build()?;
/// # Ok::<(), hook_manager::BuildError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct Hook {
    name: String,
    event: HookEvent,
    what: What,
    matcher: String,
    condition: Option<String>,
    timeout: Option<Duration>,
    on_failure: Option<OnFailure>,
    on_open: Option<OnOpen>,
    guard: Option<bool>,
    idempotent: bool,
    cache: Option<CacheRule>,
    schedule: Schedule,
    env_allow: Option<Vec<String>>,
}

#[derive(Debug)]
enum What {
    Program(Handler),
    Service(UserService),
}

impl Hook {
    /// A program and its arguments, started without a shell.
    pub fn program<A: Into<String>>(
        name: impl Into<String>,
        event: HookEvent,
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let args = args.into_iter().map(Into::into).collect();
        Self::new(
            name.into(),
            event,
            What::Program(Handler::Exec {
                program: program.into(),
                args,
            }),
        )
    }

    /// A program that is started once, stays, and answers one event after the other: each comes as one line of
    /// JSON on its standard input, and is answered with one line of JSON on its standard output.
    ///
    /// There are up to four of its processes at a time; see [`Worker`] for that and the other figures.
    /// A process that fails to answer, or does not do so in time, is never asked again.
    ///
    /// ```
    /// # use hook_manager::{Hook, HookEvent, HookManager, HookRequest};
    /// # tokio::runtime::Runtime::new().map(|rt| rt.block_on(async {
    /// let seen = r#"while read -r event; do echo '{"systemMessage": "seen"}'; done"#;
    /// let hook = Hook::worker("seen", HookEvent::Stop, "sh", ["-c", seen]);
    /// let manager = HookManager::builder().hook(hook).build()?;
    /// for _ in 0..3 {
    ///     let report = manager.execute(HookRequest::parse(HookEvent::Stop, "{}")?).await;
    ///     assert_eq!(report.merged.system_messages, ["seen"]);
    /// }
    /// assert_eq!(manager.shutdown().await, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).expect("the example above works"));
    /// ```
    pub fn worker<A: Into<String>>(
        name: impl Into<String>,
        event: HookEvent,
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        let run = Handler::exec(program, args);
        Self::worker_with(name, event, Worker::new(run))
    }

    /// A program that stays, with figures of your own. See [`worker`](Self::worker).
    pub fn worker_with(name: impl Into<String>, event: HookEvent, worker: Worker) -> Self {
        Self::new(name.into(), event, What::Program(Handler::Worker(worker)))
    }

    /// An endpoint that the event is posted to, over HTTP connections that are kept. What a success says is read
    /// as a program's standard output would be; see [`Http`] for headers.
    ///
    /// ```
    /// use hook_manager::{Hook, HookEvent, Http};
    ///
    /// let hook = Hook::http("scan", HookEvent::PostToolUse, Http::new("http://127.0.0.1:8080/scan"));
    /// ```
    pub fn http(name: impl Into<String>, event: HookEvent, http: Http) -> Self {
        Self::new(name.into(), event, What::Program(Handler::Http(http)))
    }

    /// A command line for `sh -c`.
    pub fn shell(name: impl Into<String>, event: HookEvent, command: impl Into<String>) -> Self {
        let handler = Handler::Shell {
            command: command.into(),
            shell: Shell::Sh,
        };
        Self::new(name.into(), event, What::Program(handler))
    }

    /// An asynchronous function of this process. It must not block its thread.
    pub fn function<F, Fut, E>(name: impl Into<String>, event: HookEvent, function: F) -> Self
    where
        F: FnMut(HookRequest) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<HookOutput, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::service(name, event, service_fn(function))
    }

    /// A service of this process: anything tower can build, with layers of your own.
    pub fn service<S>(name: impl Into<String>, event: HookEvent, service: S) -> Self
    where
        S: Service<HookRequest, Response = HookOutput> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError> + 'static,
        S::Future: Send + 'static,
    {
        let service = BoxCloneSyncService::new(service.map_err(Into::into));
        Self::new(name.into(), event, What::Service(service))
    }

    fn new(name: String, event: HookEvent, what: What) -> Self {
        Self {
            name,
            event,
            what,
            matcher: String::new(),
            condition: None,
            timeout: None,
            on_failure: None,
            on_open: None,
            guard: None,
            idempotent: false,
            cache: None,
            schedule: Schedule::default(),
            env_allow: None,
        }
    }

    /// Runs only where this matcher matches, in the settings files' own syntax; otherwise always.
    pub fn matching(mut self, matcher: impl Into<String>) -> Self {
        self.matcher = matcher.into();
        self
    }

    /// Runs only for tool calls that this permission rule covers, such as `Bash(git *)`.
    pub fn only_if(mut self, rule: impl Into<String>) -> Self {
        self.condition = Some(rule.into());
        self
    }

    /// The time one attempt may take; by default the event's documented one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What a failure of this hook means for the action. By default `Ask` for guards of tool calls,
    /// `Allow` for all others.
    pub fn on_failure(mut self, policy: OnFailure) -> Self {
        self.on_failure = Some(policy);
        self
    }

    /// Runs before hooks that are no guards, whatever their names.
    pub fn guard(mut self) -> Self {
        self.guard = Some(true);
        self
    }

    /// May be run again after a failure: running twice does no more than running once.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Its answer may be kept and given again for an equal input.
    pub fn cached(mut self, rule: CacheRule) -> Self {
        self.cache = Some(rule);
        self
    }

    /// What an open circuit of this hook means for the action. By default the same as any other failure.
    pub fn on_open(mut self, policy: OnOpen) -> Self {
        self.on_open = Some(policy);
        self
    }

    /// How early it gets its place; by default by its name, see [`HookSpec::effective_priority`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.schedule.priority = Some(priority);
        self
    }

    /// Begins only when this other hook of the same event has ended, if that one runs for the same input. May be
    /// called several times.
    pub fn depends_on(mut self, hook: impl Into<Arc<str>>) -> Self {
        self.schedule.depends_on.push(hook.into());
        self
    }

    /// What happens when a hook it depends on failed or was skipped: by default guards fail too, and others are
    /// skipped.
    pub fn if_dependency_fails(mut self, policy: IfDependencyFails) -> Self {
        self.schedule.if_dependency_fails = Some(policy);
        self
    }

    /// Does not run beside a hook that [writes](Self::writes) this, whatever the name stands for.
    pub fn reads(mut self, what: impl Into<String>) -> Self {
        self.schedule.reads.push(what.into());
        self
    }

    /// Does not run beside a hook that reads or writes this, in any session, at any event.
    pub fn writes(mut self, what: impl Into<String>) -> Self {
        self.schedule.writes.push(what.into());
        self
    }

    /// Whether it may run beside other hooks of its event. By default it may.
    pub fn parallel(mut self, may: bool) -> Self {
        self.schedule.exclusive = !may;
        self
    }

    /// How many of it may run at once, over all sessions: from 1. By default as many as there are places.
    pub fn max_concurrent(mut self, n: usize) -> Self {
        self.schedule.max_concurrent = Some(n);
        self
    }

    /// How often it may run in a minute; by default the manager's limit.
    pub fn max_runs_per_minute(mut self, n: u32) -> Self {
        self.schedule.max_runs_per_minute = Some(n);
        self
    }

    /// How often it may run in a session; by default the manager's limit.
    pub fn max_runs_per_session(mut self, n: u32) -> Self {
        self.schedule.max_runs_per_session = Some(n);
        self
    }

    /// Has a program see these variables of the environment and no others, beside a few that programs need: `PATH`,
    /// `LANG`, `LC_ALL`, `LC_CTYPE`, `TZ`, `TMPDIR`, and those that tell it about the project and the session. A star at the
    /// end of a name stands for any rest. By default it sees all of them, as with hosts.
    ///
    /// ```
    /// use hook_manager::{Hook, HookEvent};
    ///
    /// let hook = Hook::shell("deploy", HookEvent::Stop, "./deploy.sh").env_allow(["HOME", "AWS_*"]);
    /// ```
    pub fn env_allow<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.env_allow = Some(names.into_iter().map(Into::into).collect());
        self
    }

    pub(crate) fn into_spec(self) -> Result<(HookSpec, Option<UserService>), BuildError> {
        let bad = |problem: String| BuildError::Hook {
            hook: self.name.clone(),
            problem,
        };
        if self.name.trim().is_empty() || self.name.chars().any(char::is_control) {
            return Err(bad("its name: expected visible text".into()));
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(bad("timeout: expected more than zero, found 0".into()));
        }
        if self.schedule.max_concurrent == Some(0) {
            return Err(bad("max_concurrent: expected 1 or more, found 0".into()));
        }
        let wrong = |name: &&String| !is_pattern(name);
        if let Some(name) = self.env_allow.iter().flatten().find(wrong) {
            return Err(bad(format!(
                "env_allow: expected variables' names, such as HOME or AWS_*, found {name:?}"
            )));
        }
        let matcher = Matcher::new(&self.event, &self.matcher).map_err(|err| bad(err.to_string()))?;
        let condition = match &self.condition {
            Some(_) if !self.event.spec().is_tool_event => {
                return Err(bad(format!(
                    "only_if: expected an event about a tool, found {}",
                    self.event
                )));
            }
            Some(text) => Some(Rule::parse(text).map_err(|err| bad(err.to_string()))?),
            None => None,
        };
        if let Some(CacheKey::Fields(fields)) = self.cache.as_ref().map(|rule| &rule.key) {
            // Anything else is nowhere in any input: one answer for all of them.
            let wrong = fields.iter().find(|field| !field.starts_with('/'));
            let wrong = wrong.map(String::as_str).or(fields.is_empty().then_some("none"));
            if let Some(found) = wrong {
                let expected = "expected a JSON pointer such as \"/tool_input/command\"";
                return Err(bad(format!("cache: fields: {expected}, found {found:?}")));
            }
        }
        match &self.what {
            What::Program(Handler::Http(http)) => check_http(http).map_err(bad)?,
            What::Program(Handler::Worker(worker)) => worker.check().map_err(bad)?,
            _ => {}
        }
        let (handler, service) = match self.what {
            What::Program(handler) => (handler, None),
            What::Service(service) => (Handler::InProcess, Some(service)),
        };
        let spec = HookSpec {
            name: Arc::from(self.name),
            event: self.event,
            matcher,
            condition,
            handler,
            timeout: self.timeout,
            on_failure: self.on_failure,
            on_open: self.on_open,
            guard: self.guard,
            idempotent: self.idempotent,
            cache: self.cache,
            background: false,
            schedule: self.schedule,
            status_message: None,
            env_allow: self.env_allow.map(Into::into),
            origin: Origin::builder(),
        };
        Ok((spec, service))
    }
}

fn check_http(http: &Http) -> Result<(), String> {
    http::usable(&http.url).map_err(|err| format!("url: expected http://.., found {:?}: {err}", http.url))?;
    let wrong = |(name, _): &&(String, String)| !http::is_header_name(name) || http::forbidden(name);
    match http.headers.iter().find(wrong) {
        Some((name, _)) => Err(format!("headers: expected one about the content, found {name:?}")),
        None => Ok(()),
    }
}
