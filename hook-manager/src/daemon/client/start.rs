//! A daemon that is started because somebody needs one.

use std::{
    env, fs, io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    GREETING,
    talk::{Foreign, Talk},
};
use crate::{
    cli::RunArgs,
    daemon::place::{Place, with_name},
};

/// The log of daemons that were started on demand is begun anew when it is larger than that.
const LOG_LIMIT: u64 = 1 << 20;

/// Starts a daemon that outlives us. Whoever starts it knows nothing of how it fares; its log does.
pub(super) fn start(args: &RunArgs, place: &Place) -> io::Result<()> {
    let sources = &args.sources;
    place.create()?;
    // Another daemon may write to it at this moment, of which this one will be told that it serves already.
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(place.log())
        .map_err(|err| with_name(&place.log(), &err, "a file for its log"))?;
    if log.metadata()?.len() > LOG_LIMIT {
        log.set_len(0)?;
    }
    // Through a shell that is gone at once, so that the daemon is no child of ours: what is, is taken for left behind by
    // a hook when we end.
    let mut command = Command::new("/bin/sh");
    command
        // It holds no file or pipe open that is the asker's.
        .args(["-c", "\"$@\" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &", "sh"])
        .arg(env::current_exe()?)
        .arg("serve")
        .arg("--project")
        .arg(std::path::absolute(&sources.project)?);
    for file in &sources.settings {
        command.arg("--settings").arg(std::path::absolute(file)?);
    }
    if let Some(dir) = &sources.hooks_dir {
        command.arg("--hooks-dir").arg(std::path::absolute(dir)?);
    }
    if args.require_trust {
        command.arg("--require-trust");
    }
    command
        .current_dir("/")
        // Where a hook starts it, it is none of that hook's.
        .env_remove("HOOK_RUN_BY")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("the shell could not start it")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no runtime here, and nothing to be told by"
)]
pub(super) fn started(args: &RunArgs, place: &Place, patience: Duration) -> Result<Talk, String> {
    let until = Instant::now() + patience;
    for turn in 0_u32.. {
        // Again and again: one that is about to end may still hold the place, and a second one gives way.
        if turn % 50 == 0 {
            start(args, place).map_err(|err| err.to_string())?;
        }
        let left = until.saturating_duration_since(Instant::now());
        match Talk::open(place, left.max(GREETING), Foreign::IsAskedToGo) {
            Ok(talk) => return Ok(talk),
            // Why it did not come up, it has told nobody else.
            Err(trouble) if Instant::now() >= until => {
                return Err(format!("{trouble}; its log is {}", place.log().display()));
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    Err("no daemon has come up".into())
}
