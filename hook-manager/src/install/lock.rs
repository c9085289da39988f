//! One at a time: a plan is made and carried out by somebody who is alone with a project's settings.

use std::{
    fs::File,
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::Refused;

/// How long another one is waited for: it takes a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held for as long as it lives. The folder itself is locked, so that nothing is left in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lock(#[expect(dead_code, reason = "what is locked is the open folder")] Option<Arc<File>>);

#[expect(
    clippy::disallowed_methods,
    reason = "the system tells nobody when another process lets go within a time"
)]
pub(super) fn lock(project: &Path) -> Result<Lock, Refused> {
    // What is wrong with it is told by whoever reads it.
    let Ok(folder) = File::open(project.join(".claude")) else {
        return Ok(Lock(None));
    };
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(Some(Arc::new(folder)))),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            Err(Errno::WOULDBLOCK) => {
                return Err(Refused::new(
                    ".claude: another install or uninstall is under way; expected to be alone with it: try again",
                ));
            }
            // Some file systems lock no folders. Each file is still compared before it is replaced.
            Err(Errno::INTR) => {}
            Err(err) if is_never(err) => return Ok(Lock(None)),
            Err(err) => {
                let err = io::Error::from(err);
                return Err(Refused::new(format!(".claude: it cannot be locked: {err}")));
            }
        }
    }
}

fn is_never(err: Errno) -> bool {
    [
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::NOLCK,
        Errno::BADF,
        Errno::INVAL,
    ]
    .contains(&err)
}
