use std::{
    fmt,
    hash::Hash,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use hook_monitor::{Gather, Source, Status};

use super::Registry;
use crate::{breaker::CircuitBreaker, config::State, gate::Kinds};

/// The circuits of a [`KeyedBreakerLayer`](crate::KeyedBreakerLayer), to look at and to change by hand.
///
/// Circuits come with the first call for their key. A handle that is kept to one of them keeps it from being evicted.
///
/// As a [`Source`] it gives figures of all circuits together: a key is the user's, and no label.
pub struct KeyedCircuits<K>(pub(super) Arc<Registry<K>>);

impl<K: Hash + Eq + Clone> KeyedCircuits<K> {
    /// The circuit for `key`, if there is one.
    pub fn get(&self, key: &K) -> Option<CircuitBreaker> {
        self.0.get(key)
    }

    /// The circuit for `key`, made if need be: to force one open before there is any call, say. `None` if there is
    /// room for no more, and none can be evicted.
    pub fn get_or_create(&self, key: K) -> Option<CircuitBreaker> {
        self.0.get_or_create(key)
    }

    /// Every key and its circuit, in no order.
    pub fn list(&self) -> Vec<(K, CircuitBreaker)> {
        self.0.list()
    }

    /// [Resets](CircuitBreaker::reset) the circuit for `key`, and says whether there is one.
    pub fn reset(&self, key: &K) -> bool {
        let circuit = self.get(key);
        circuit.inspect(CircuitBreaker::reset).is_some()
    }

    /// Resets every circuit.
    pub fn reset_all(&self) {
        for (_, circuit) in self.list() {
            circuit.reset();
        }
    }

    /// [Opens](CircuitBreaker::force_open) the circuit for `key` by hand, made if need be, and says whether there is
    /// one now.
    pub fn force_open(&self, key: K) -> bool {
        let circuit = self.get_or_create(key);
        circuit.inspect(CircuitBreaker::force_open).is_some()
    }

    /// How many calls went through without a circuit, because there were as many as may be and none could be evicted.
    pub fn unguarded(&self) -> u64 {
        self.0.unguarded.load(Relaxed)
    }
}

impl<K: Hash + Eq + Clone + Send + Sync> Source for KeyedCircuits<K> {
    fn layer(&self) -> &'static str {
        "breaker"
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    /// Degraded while any circuit refuses calls or only probes. Calls that went unguarded are a figure of their own.
    fn status(&self) -> Status {
        let all_let_in = self.list().iter().all(|(_, circuit)| circuit.state().lets_in());
        if all_let_in {
            Status::Healthy
        } else {
            Status::Degraded
        }
    }

    fn read(&self, into: &mut dyn Gather) {
        let circuits = self.list();
        for state in State::ALL {
            let is_in_it = |(_, circuit): &&(K, CircuitBreaker)| circuit.state() == state;
            let count = circuits.iter().filter(is_in_it).count();
            into.gauge(
                "hook_breaker_circuits",
                &[("state", state.as_str())],
                count as f64,
            );
        }
        into.gauge("hook_breaker_circuits_max", &[], self.0.most() as f64);
        // After the list, which keeps those in it from being evicted: no circuit is missed, and none counted twice.
        let mut sums = self.0.past();
        for (_, circuit) in &circuits {
            for (sum, count) in sums.iter_mut().zip(circuit.gate().totals()) {
                *sum += count;
            }
        }
        Kinds::read(sums, into);
        let unguarded = self.unguarded();
        into.counter("hook_breaker_calls_total", &[("kind", "unguarded")], unguarded);
        into.counter("hook_breaker_evictions_total", &[], self.0.evicted.load(Relaxed));
    }
}

// By hand: keys are shared.
impl<K> Clone for KeyedCircuits<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for KeyedCircuits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyedCircuits").field(&self.0).finish()
    }
}
