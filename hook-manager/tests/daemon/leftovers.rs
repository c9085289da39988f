//! What a daemon that was killed has left running.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    daemon_support::{Daemon, wait_for, wait_until},
    support::Project,
};

/// Its first thread ends, and another one goes on.
const HEADLESS: &str = "\
import ctypes, os, threading, time
def go():
    while open('/proc/self/stat').read().rpartition(')')[2].split()[0] != 'Z':
        time.sleep(0.01)
    open('headless', 'w').write(str(os.getpid()))
    time.sleep(300)
threading.Thread(target=go).start()
ctypes.CDLL(None).pthread_exit(None)
";

#[test]
fn a_hook_whose_first_thread_has_ended_is_found_like_others() {
    let project = Project::with_hook(
        "Stop",
        json!({ "type": "command", "async": true, "command": "exec python3 headless.py" }),
    );
    project.file("headless.py", HEADLESS);
    let daemon = Daemon::start(&project, &[]);
    assert_eq!(project.run("Stop", "{}", &["--daemon", "always"]).code, 0);
    let said = project.path().join("headless");
    wait_for(&said);
    wait_until("it says who it is", || {
        !fs::read_to_string(&said).unwrap().is_empty()
    });
    let pid = fs::read_to_string(&said).unwrap();
    daemon.signal(Signal::KILL);
    daemon.end();
    // A zombie has one, for as long as nobody takes it away.
    let threads = Path::new("/proc").join(&pid).join("task");
    let lives = || fs::read_dir(&threads).is_ok_and(|threads| threads.count() > 1);
    assert!(lives(), "that is the limit of SIGKILL");
    let _next = Daemon::start(&project, &[]);
    wait_until("it is ended", || !lives());
}

#[test]
fn what_is_in_the_place_of_a_daemons_files_is_named() {
    let project = Project::with_hook("Stop", json!({ "type": "command", "command": "true" }));
    let daemon = Daemon::start(&project, &[]);
    let socket = daemon.socket();
    daemon.signal(Signal::TERM);
    daemon.end();
    let at = project.path().to_str().unwrap();
    for kind in ["lock", "log"] {
        let file = socket.with_extension(kind);
        let _ = fs::remove_file(&file);
        fs::create_dir(&file).unwrap();
        let ran = match kind {
            "lock" => project.command(&["serve", "--project", at], ""),
            _ => project.run("Stop", "{}", &["--daemon", "auto"]),
        };
        let name = format!("{}: ", file.display());
        assert!(
            ran.stderr.contains(&name) && ran.stderr.contains("; expected a file"),
            "{kind}: {ran:?}"
        );
        fs::remove_dir(&file).unwrap();
    }
}
