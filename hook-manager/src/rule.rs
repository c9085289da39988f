//! A handler's `if`: one permission rule, which says what tool calls the hook is for.

use std::{error::Error, fmt, path::Path, sync::Arc};

use serde_json::Value;

use crate::matcher::short;

mod path;
mod shell;

use path::{Bases, PathPattern};

/// One permission rule: `Bash`, `Bash(git *)`, `Edit(*.ts)`.
///
/// | rule | covers |
/// |---|---|
/// | `Edit`, `mcp__memory__*` | every call of that tool; `*` stands for anything |
/// | `Bash(npm run build)` | that command, exactly |
/// | `Bash(git *)` | `git` alone, and with anything behind it; not `gitk` |
/// | `Bash(git:*)` | the same, in its older form |
/// | `Edit(*.ts)`, `Read(src/**)` | paths, as `.gitignore` reads them |
/// | `Read(//etc/**)`, `Read(~/.ssh/**)`, `Read(/src/**)` | paths from the root, from home, from the project |
/// | `WebFetch(domain:example.com)` | addresses of that host and those below it |
///
/// A relative path in a pattern with a slash starts at the session's directory, or at the project. Paths
/// are compared as text: links on the disk are not followed.
///
/// A `Bash` rule is compared with every command of the line: the parts between `;`, `&&`, `||`, `|`, `&`
/// and line ends, and what is inside `$(..)`, backticks and parentheses, each without leading `VAR=x`, and
/// without `timeout`, `time`, `nice`, `nohup`, `stdbuf` and a bare `xargs`. It is enough that one fits. What
/// another program makes of its arguments (`bash -c`, `eval`, `sudo`) is not looked into.
///
/// When nobody can tell (a command line that cannot be read, `$tool -rf x`, a tool whose arguments are not understood),
/// the answer is [`Unclear`](Applies::Unclear), and the hook runs: it may be a guard.
///
/// ```
/// use hook_manager::rule::Rule;
/// use serde_json::json;
///
/// let rule = Rule::parse("Bash(rm *)")?;
/// let call = |command| json!({ "tool_name": "Bash", "tool_input": { "command": command } });
/// assert!(rule.covers(&call("cd /tmp && rm -rf x"), None));
/// assert!(rule.covers(&call("echo $(rm x)"), None));
/// assert!(!rule.covers(&call("echo 'rm x'"), None));
/// assert!(Rule::parse("Bash(rm *").is_err());
/// # Ok::<(), hook_manager::rule::RuleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    text: Arc<str>,
    tool: String,
    calls: Calls,
}

/// Which calls of the tool are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Calls {
    All,
    Command(Command),
    Path(PathPattern),
    Domain(String),
    /// What stands in the parentheses is not understood for this tool.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Command {
    /// `git:*`
    Prefix(String),
    /// Texts with anything between them; one alone must be equal.
    Pattern(Vec<String>),
}

/// Whether a rule is about a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    /// It is.
    Yes,
    /// It is not: the hook stays out of it.
    No,
    /// Nobody can tell, for this reason. The hook runs.
    Unclear(Box<str>),
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// If it is not exactly one rule: the error says what is wrong. Such a hook must not be taken for one
    /// that does not apply: it may be a guard.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let wrong = |why: &str| RuleError {
            text: text.into(),
            why: why.into(),
        };
        let (tool, inside) = split(text.trim()).map_err(wrong)?;
        let calls = match inside {
            None => Calls::All,
            Some(inside) => Calls::read(tool, inside.trim()).map_err(wrong)?,
        };
        Ok(Self {
            text: text.into(),
            tool: tool.into(),
            calls,
        })
    }

    /// Whether a hook with this rule runs for an event with this input: what [`applies`](Self::applies)
    /// says, and yes when that is unclear.
    pub fn covers(&self, input: &Value, project: Option<&Path>) -> bool {
        self.applies(input, project) != Applies::No
    }

    /// Whether this rule is about the tool call of an event with this input.
    ///
    /// `project` is where a pattern such as `/src/**` starts; without it, the session's directory is.
    pub fn applies(&self, input: &Value, project: Option<&Path>) -> Applies {
        let Some(tool) = input.get("tool_name").and_then(Value::as_str) else {
            return Applies::Unclear("the input has no text in `tool_name`".into());
        };
        if !like(&self.tool.split('*').collect::<Vec<_>>(), tool) {
            return Applies::No;
        }
        let argument = |name: &str| input.get("tool_input")?.get(name)?.as_str();
        match &self.calls {
            Calls::All => Applies::Yes,
            Calls::Unknown => Applies::Unclear(format!("what `{}` means is not known", self.text).into()),
            Calls::Command(rule) => match argument("command") {
                Some(command) => rule.applies(command),
                None => Applies::Unclear("the call has no text in `tool_input.command`".into()),
            },
            Calls::Domain(domain) => match argument("url") {
                Some(url) => Applies::of(host(url).is_some_and(|host| is_below(&host, domain))),
                None => Applies::Unclear("the call has no text in `tool_input.url`".into()),
            },
            Calls::Path(pattern) => {
                let cwd = input.get("cwd").and_then(Value::as_str);
                let found = ["file_path", "notebook_path", "path"]
                    .into_iter()
                    .find_map(argument);
                // A search without a path is one of the session's directory.
                let found = found.or(cwd.filter(|_| matches!(tool, "Glob" | "Grep" | "LS")));
                path_applies(pattern, found, cwd, project)
            }
        }
    }

    /// Whether calls can be told apart by this rule. If not, what is in its parentheses is not understood,
    /// and the hook runs for every call of the tool.
    pub fn is_understood(&self) -> bool {
        self.calls != Calls::Unknown
    }

    /// The rule as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Applies {
    fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// The tool's name, and what is in the parentheses behind it.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    let (tool, inside) = match text.find('(') {
        Some(open) => (&text[..open], Some(&text[open + 1..])),
        None => (text, None),
    };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*' | '.' | ':');
    if tool.is_empty() {
        return Err("it has no tool's name; expected one, as in `Bash(git *)`");
    }
    if !tool.chars().all(fine) {
        return Err("expected exactly one rule: a tool's name, and what is meant in parentheses");
    }
    let Some(inside) = inside else {
        return Ok((tool, None));
    };
    let inside = inside.strip_suffix(')').ok_or("expected `)` at its end")?;
    let mut open = 0;
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '(' => open += 1,
            ')' if open == 0 => return Err("expected exactly one rule, found more behind its `)`"),
            ')' => open -= 1,
            _ => {}
        }
    }
    match open {
        0 => Ok((tool, Some(inside))),
        _ => Err("its parentheses do not match; expected `\\(` for one that is meant as it is"),
    }
}

impl Calls {
    fn read(tool: &str, inside: &str) -> Result<Self, &'static str> {
        if matches!(inside, "" | "*") {
            return Ok(Self::All);
        }
        match tool {
            "Bash" => Command::read(inside).map(Self::Command),
            "Read" | "Edit" | "Write" | "MultiEdit" | "NotebookEdit" | "NotebookRead" | "Glob" | "Grep"
            | "LS" => PathPattern::parse(inside).map(Self::Path),
            "WebFetch" => match inside.strip_prefix("domain:") {
                Some(domain) if !domain.trim().is_empty() => Ok(Self::Domain(domain.trim().to_lowercase())),
                _ => Err("expected `domain:` and a host's name"),
            },
            _ => Ok(Self::Unknown),
        }
    }
}

impl Command {
    fn read(text: &str) -> Result<Self, &'static str> {
        if let Some(prefix) = text.strip_suffix(":*") {
            return match prefix.trim() {
                "" => Err("expected a command before `:*`"),
                prefix => Ok(Self::Prefix(unescaped(prefix))),
            };
        }
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let literal = match c {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => chars
                    .next_if(|c| matches!(c, '*' | '\\' | '(' | ')'))
                    .unwrap_or(c),
                c => c,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        Ok(Self::Pattern(parts))
    }

    fn applies(&self, line: &str) -> Applies {
        if self.fits(line.trim()) {
            return Applies::Yes;
        }
        let found = match shell::commands(line) {
            Ok(found) => found,
            Err(why) => return Applies::Unclear(format!("the command line cannot be read: {why}").into()),
        };
        if found
            .iter()
            .any(|one| one.readings().any(|reading| self.fits(&reading)))
        {
            return Applies::Yes;
        }
        match found.iter().any(shell::Simple::is_hidden) {
            true => Applies::Unclear("a command's name is only known when it runs".into()),
            false => Applies::No,
        }
    }

    fn fits(&self, command: &str) -> bool {
        match self {
            Self::Prefix(prefix) => command
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)),
            Self::Pattern(parts) => {
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                // `git *` is also `git` with nothing behind it.
                let bare = match parts.split_last() {
                    Some((&"", rest)) => rest
                        .split_last()
                        .and_then(|(last, rest)| Some((last.strip_suffix(' ')?, rest))),
                    _ => None,
                };
                let bare = bare.is_some_and(|(last, rest)| like(&[rest, &[last]].concat(), command));
                bare || like(&parts, command)
            }
        }
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(
                chars
                    .next_if(|c| matches!(c, '*' | '\\' | '(' | ')'))
                    .unwrap_or(c),
            ),
            c => plain.push(c),
        }
    }
    plain
}

/// Whether `text` is these parts, in this order, with anything between them.
fn like(parts: &[&str], text: &str) -> bool {
    let (first, last, between) = match parts {
        [] => return text.is_empty(),
        [only] => return text == *only,
        [first, between @ .., last] => (first, last, between),
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn path_applies(
    pattern: &PathPattern,
    found: Option<&str>,
    cwd: Option<&str>,
    project: Option<&Path>,
) -> Applies {
    let Some(found) = found else {
        return Applies::Unclear("the call has no text in `tool_input.file_path`".into());
    };
    let home = std::env::var("HOME")
        .or_else(|_| std::env::var("USERPROFILE"))
        .ok();
    let bases = Bases {
        project: project.and_then(Path::to_str),
        cwd,
        home: home.as_deref(),
    };
    let known = path::absolute(found, cwd.or(bases.project), bases.home);
    match known.and_then(|path| pattern.matches(&path, &bases)) {
        Some(yes) => Applies::of(yes),
        None => Applies::Unclear("the directory it starts at is not known".into()),
    }
}

/// The host of an address, in lower case.
fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(host.trim_end_matches('.').to_lowercase())
}

fn is_below(host: &str, domain: &str) -> bool {
    let domain = domain.strip_prefix("*.").unwrap_or(domain);
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    text: Arc<str>,
    why: Box<str>,
}

impl RuleError {
    /// What is wrong with it.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rule `{}` cannot be used: {}", short(&self.text), self.why)
    }
}

impl Error for RuleError {}

#[cfg(test)]
mod tests;
