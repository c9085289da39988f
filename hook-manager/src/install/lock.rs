//! One at a time: a plan is made and carried out by somebody who is alone with a project's settings.

use std::{fs::File, io, path::Path, sync::Arc, time::Duration};

use rustix::io::Errno;

use super::Refused;
use crate::lock;

/// How long another one is waited for: it takes a moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Held for as long as it lives. The folder itself is locked, so that nothing is left in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lock(#[expect(dead_code, reason = "what is locked is the open folder")] Option<Arc<File>>);

pub(super) fn lock(project: &Path) -> Result<Lock, Refused> {
    // What is wrong with it is told by whoever reads it.
    let Ok(folder) = File::open(project.join(".claude")) else {
        return Ok(Lock(None));
    };
    match lock::take(&folder, PATIENCE) {
        Ok(true) => Ok(Lock(Some(Arc::new(folder)))),
        Ok(false) => Err(Refused::new(
            ".claude: another install or uninstall is under way; expected to be alone with it: try again",
        )),
        // Some file systems lock no folders. Each file is still compared before it is replaced.
        Err(err) if is_never(err) => Ok(Lock(None)),
        Err(err) => {
            let err = io::Error::from(err);
            Err(Refused::new(format!(".claude: it cannot be locked: {err}")))
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
