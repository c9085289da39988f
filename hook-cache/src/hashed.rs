use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A key and its hash, which is found once per call and used by every table of the cache.
///
/// So a `Hash` of the user's never runs under a lock, and a table that grows asks for none.
#[derive(Clone, Debug)]
pub struct Hashed<K> {
    pub(crate) hash: u64,
    pub(crate) key: K,
}

impl<K: Eq> PartialEq for Hashed<K> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.key == other.key
    }
}

impl<K: Eq> Eq for Hashed<K> {}

impl<K> Hash for Hashed<K> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes the hash that it is given.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given(u64);

pub(crate) type GivenHash = BuildHasherDefault<Given>;

impl Hasher for Given {
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only hashes are hashed");
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
