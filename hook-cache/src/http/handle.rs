use std::{fmt, future::Future, sync::Arc, time::Duration};

use hook_monitor::{Gather, Source};

use super::layer::{ALL, Shared};
use crate::CacheStats;

/// Looks into an [`HttpCacheLayer`](super::HttpCacheLayer) from outside, and empties it.
#[derive(Clone)]
pub struct HttpCacheHandle {
    pub(super) shared: Arc<Shared>,
}

impl HttpCacheHandle {
    /// Whatever is stored for `uri` is not served any more, in all variants; nor is what is loaded for it right now.
    ///
    /// The URI is a path with its query, `/report?year=1`, for whatever host; or that of one host as clients name it, in
    /// lower case: `example.org/report?year=1`. Where nothing is stored for it, nothing happens.
    pub fn invalidate(&self, uri: &str) {
        self.shared.cache.invalidate_tag(uri);
    }

    /// Nothing that is stored or loaded right now is served any more.
    pub fn invalidate_all(&self) {
        self.shared.cache.invalidate_tag(ALL);
        self.shared.cache.invalidate_all();
    }

    /// A task that takes out what is dead every `period`, a millisecond at a time, until the cache is gone; see
    /// [`ResultCache::sweeper`](crate::ResultCache::sweeper). To be spawned, where a cache that nobody uses is to give
    /// back its memory.
    pub fn sweeper(&self, period: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.shared.cache.sweeper(period)
    }

    /// The figures since the layer was made. What was stored under a URI that varies counts as two entries.
    pub fn stats(&self) -> CacheStats {
        self.shared.cache.stats()
    }
}

impl Source for HttpCacheHandle {
    fn layer(&self) -> &'static str {
        "cache"
    }

    fn name(&self) -> &str {
        &self.shared.cache.config().name
    }

    fn read(&self, into: &mut dyn Gather) {
        self.shared.cache.counts().read(self.shared.cache.fill(), into);
    }
}

impl fmt::Debug for HttpCacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpCacheHandle")
            .field(&self.shared.cache)
            .finish()
    }
}
