use std::time::Duration;

/// How long a program may run, and how much it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time from the start to the result, whatever happens. Default: 60 s.
    pub timeout: Duration,
    /// The time between SIGTERM and SIGKILL, for what is still there at the deadline, or stayed
    /// behind in the background. Default: 2 s.
    pub grace: Duration,
    /// The bytes of standard output that are kept. The rest is read and counted. Default: 1 MiB.
    pub stdout: usize,
    /// The bytes of standard error that are kept. Default: 1 MiB.
    pub stderr: usize,
    /// How long output is awaited after the program has ended, where a background child holds the
    /// pipes open; in all, and never past the deadline. Default: 100 ms.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(2),
            stdout: 1024 * 1024,
            stderr: 1024 * 1024,
            drain: Duration::from_millis(100),
        }
    }
}
