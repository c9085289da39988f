/// Whether a response is kept.
///
/// Closures `Fn(&K, &V) -> bool` are judges, of the key and the response. The request is not among
/// the arguments: it went to the inner service, and few requests can be cloned. What the decision
/// needs of it belongs into the key; a request that is never to be stored gets no key at all.
///
/// ```
/// use hook_cache::StoreIf;
///
/// let ok_only = |_path: &String, status: &u16| *status == 200;
/// assert!(ok_only.store_if(&"/".to_owned(), &200));
/// assert!(!ok_only.store_if(&"/".to_owned(), &503));
/// ```
pub trait StoreIf<K, V> {
    /// Whether `value`, which was just loaded for `key`, is stored and given to those who asked for
    /// it meanwhile.
    ///
    /// A panic in here is the caller's, and another caller takes the load over.
    fn store_if(&self, key: &K, value: &V) -> bool;
}

impl<F, K, V> StoreIf<K, V> for F
where
    F: Fn(&K, &V) -> bool,
{
    #[inline]
    fn store_if(&self, key: &K, value: &V) -> bool {
        self(key, value)
    }
}

/// The default judge: every response is kept. Errors never reach a judge, they are never stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreAll;

impl<K, V> StoreIf<K, V> for StoreAll {
    #[inline]
    fn store_if(&self, _key: &K, _value: &V) -> bool {
        true
    }
}
