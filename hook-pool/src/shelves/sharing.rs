//! The limit over all keys, and who has to give way for it.

use std::time::Instant;

use super::{Labelled, Shelves};
use crate::{aftermath::Aftermath, entry::Closing};

impl<K, C, E> Shelves<K, C, E> {
    /// Whether one more in line for shelf `id` would get a connect of its own.
    pub(super) fn may_connect(&mut self, id: usize, now: Instant) -> bool {
        let limits = self.limits;
        let idle_elsewhere = || {
            self.shelves
                .slots()
                .any(|(other, one)| other != id && !one.shelf.idle.is_empty())
        };
        let room = self.total < limits.max_total || idle_elsewhere();
        let shelf = self.shelf(id);
        room && shelf.prober.is_none()
            && shelf.size() < limits.max
            && shelf.parked() == 0
            && shelf.back_off(now).is_none()
            && shelf.connecting() < shelf.at_once(&limits)
    }

    /// How many connects shelf `id` may begin, for which others give way if they have something idle.
    pub(super) fn room_for(&mut self, id: usize, wanted: usize, after: &mut Aftermath<K, C, E>) -> usize {
        if self.starved && self.hungriest().is_some_and(|first| first != id) {
            return 0;
        }
        let waiting = self.shelf(id).parked() > 0;
        while self.total >= self.limits.max_total {
            if !waiting || !self.evict_one(Some(id), Closing::Evicted, after) {
                self.starved |= waiting;
                return 0;
            }
        }
        (self.limits.max_total - self.total).min(wanted)
    }

    /// Closes the connection that has been idle for longest, on any shelf but `except`.
    pub(super) fn evict_one(
        &mut self,
        except: Option<usize>,
        closing: Closing,
        after: &mut Aftermath<K, C, E>,
    ) -> bool {
        let others = self.shelves.slots().filter(|(id, _)| Some(*id) != except);
        let idle =
            others.filter_map(|(id, Labelled { shelf, .. })| Some((id, shelf.idle.front()?.idle_since)));
        let Some((id, _)) = idle.min_by_key(|(_, since)| *since) else {
            return false;
        };
        let keep = self.shelf(id).idle.len() - 1;
        self.close_idle(id, keep, |_| true, closing, after) > 0
    }

    /// The shelf whose first in line has waited longest, of those that only lack room in all.
    pub(super) fn hungriest(&self) -> Option<usize> {
        let hungry = self
            .shelves
            .slots()
            .filter(|(_, one)| one.shelf.is_hungry(&self.limits, self.latest));
        let first = hungry.min_by_key(|(_, one)| one.shelf.first_ticket());
        first.map(|(id, _)| id)
    }

    /// Whether the connection that comes back to shelf `id` is to make room for a key that has none at all and
    /// somebody in line who came before the first in line here.
    pub(super) fn owes_another(&mut self, id: usize) -> bool {
        let here = self.shelf(id).first_ticket();
        self.total >= self.limits.max_total
            && self.hungriest().is_some_and(|other| {
                let other = self.shelf(other);
                other.is_stranded() && other.first_ticket() < here
            })
    }

    /// Gives what room there is, or what is idle, to whoever has waited for it longest.
    pub(super) fn relieve(&mut self, after: &mut Aftermath<K, C, E>) {
        if !self.starved {
            return;
        }
        let Some(id) = self.hungriest() else {
            self.starved = false;
            return;
        };
        if self.total < self.limits.max_total || self.evict_one(Some(id), Closing::Evicted, after) {
            self.shelf(id).nudge(after);
        }
    }
}
