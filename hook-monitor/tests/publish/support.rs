//! A source that tells what a test has to tell.

use hook_monitor::{Gather, Monitor, Source, prometheus::Exporter};

use crate::scrape::Scrape;

/// A source that tells whatever a closure tells.
pub(crate) struct Tells<F>(pub(crate) &'static str, pub(crate) String, pub(crate) F);

impl<F: Fn(&mut dyn Gather) + Send + Sync> Source for Tells<F> {
    fn layer(&self) -> &'static str {
        self.0
    }

    fn name(&self) -> &str {
        &self.1
    }

    fn read(&self, into: &mut dyn Gather) {
        (self.2)(into);
    }
}

pub(crate) fn tells(name: &str, tell: impl Fn(&mut dyn Gather) + Send + Sync + 'static) -> Monitor {
    let monitor = Monitor::new();
    monitor.register(Tells("told", name.to_owned(), tell)).unwrap();
    monitor
}

#[track_caller]
pub(crate) fn parsed(exporter: &Exporter) -> Scrape {
    let text = exporter.render();
    Scrape::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}
