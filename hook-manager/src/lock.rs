//! A file's lock, waited for: no system tells anybody when another process lets go of one within a time.

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the lock of an open file, or of an open folder, for as long as that is open; blocks its thread for `patience`
/// at most. Whether it was to be had: `false` says that another one holds it still.
#[expect(clippy::disallowed_methods, reason = "a file's lock cannot be awaited")]
pub(crate) fn take(file: &File, patience: Duration) -> Result<bool, Errno> {
    let until = Instant::now() + patience;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < until => thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(err) => return Err(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_had_when_its_holder_has_let_go_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::create(dir.path().join("lock")).unwrap();
        let holder = open();
        assert_eq!(take(&holder, Duration::ZERO), Ok(true));
        let (began, short) = (Instant::now(), Duration::from_millis(20));
        assert_eq!(take(&open(), short), Ok(false), "another one holds it");
        assert!(began.elapsed() >= short, "it was waited for");
        let waits = thread::spawn({
            let file = open();
            move || take(&file, Duration::from_secs(30))
        });
        drop(holder);
        assert_eq!(waits.join().unwrap(), Ok(true));
        assert_eq!(
            take(&File::open(dir.path()).unwrap(), short),
            Ok(true),
            "a folder has one, too"
        );
    }
}
