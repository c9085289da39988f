use std::ops::Range;

/// No slot.
const NIL: usize = usize::MAX;

/// Slots in a vector, any of which may stand in a line.
///
/// Whoever holds the number of a slot can step out of the middle of the line: every operation is
/// O(1), and nothing is allocated once the vector has grown.
#[derive(Debug)]
pub(crate) struct Line<T> {
    nodes: Vec<Node<T>>,
    vacant: usize,
    first: usize,
    last: usize,
    standing: usize,
    occupied: usize,
}

#[derive(Debug)]
struct Node<T> {
    /// `None` while vacant; `next` is then the next vacant slot.
    value: Option<T>,
    standing: bool,
    prev: usize,
    next: usize,
}

impl<T> Line<T> {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            vacant: NIL,
            first: NIL,
            last: NIL,
            standing: 0,
            occupied: 0,
        }
    }

    /// Puts `value` into a slot, outside the line.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> usize {
        self.occupied += 1;
        let mut slot = self.vacant;
        if slot == NIL {
            slot = self.grow();
        }
        let node = &mut self.nodes[slot];
        self.vacant = node.next;
        node.value = Some(value);
        slot
    }

    /// One more vacant slot, the only one.
    #[cold]
    fn grow(&mut self) -> usize {
        self.nodes.push(Node {
            value: None,
            standing: false,
            prev: NIL,
            next: NIL,
        });
        self.nodes.len() - 1
    }

    /// Empties the slot, stepping out of the line first.
    pub(crate) fn remove(&mut self, slot: usize) -> Option<T> {
        self.leave(slot);
        let node = &mut self.nodes[slot];
        let value = node.value.take()?;
        node.next = self.vacant;
        self.vacant = slot;
        self.occupied -= 1;
        Some(value)
    }

    /// Empties the slot of one who does not stand in line, where it is.
    #[inline]
    pub(crate) fn vacate(&mut self, slot: usize) {
        let node = &mut self.nodes[slot];
        debug_assert!(!node.standing && node.value.is_some());
        node.value = None;
        node.next = self.vacant;
        self.vacant = slot;
        self.occupied -= 1;
    }

    /// The first in line steps out of it, and keeps its slot.
    #[inline]
    pub(crate) fn step_up(&mut self) -> Option<&mut T> {
        let slot = self.first()?;
        self.leave(slot);
        self.get_mut(slot)
    }

    /// Steps to the end of the line, unless already in it.
    #[inline]
    pub(crate) fn join(&mut self, slot: usize) {
        let last = self.last;
        let node = &mut self.nodes[slot];
        debug_assert!(node.value.is_some(), "a vacant slot cannot stand in line");
        if node.standing {
            return;
        }
        node.standing = true;
        node.prev = last;
        node.next = NIL;
        match last {
            NIL => self.first = slot,
            last => self.nodes[last].next = slot,
        }
        self.last = slot;
        self.standing += 1;
    }

    /// Steps to the front of the line, unless already in it.
    pub(crate) fn join_front(&mut self, slot: usize) {
        let first = self.first;
        let node = &mut self.nodes[slot];
        debug_assert!(node.value.is_some(), "a vacant slot cannot stand in line");
        if node.standing {
            return;
        }
        node.standing = true;
        node.prev = NIL;
        node.next = first;
        match first {
            NIL => self.last = slot,
            first => self.nodes[first].prev = slot,
        }
        self.first = slot;
        self.standing += 1;
    }

    /// Steps out of the line, from wherever in it, and keeps the slot.
    #[inline]
    pub(crate) fn leave(&mut self, slot: usize) {
        let node = &mut self.nodes[slot];
        if !node.standing {
            return;
        }
        node.standing = false;
        let (prev, next) = (node.prev, node.next);
        match prev {
            NIL => self.first = next,
            prev => self.nodes[prev].next = next,
        }
        match next {
            NIL => self.last = prev,
            next => self.nodes[next].prev = prev,
        }
        self.standing -= 1;
    }

    /// The slot that has stood in line the longest.
    #[inline]
    pub(crate) fn first(&self) -> Option<usize> {
        (self.first != NIL).then_some(self.first)
    }

    #[inline]
    pub(crate) fn get(&self, slot: usize) -> Option<&T> {
        self.nodes.get(slot)?.value.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.nodes.get_mut(slot)?.value.as_mut()
    }

    /// How many stand in line.
    #[inline]
    pub(crate) fn standing(&self) -> usize {
        self.standing
    }

    /// How many slots are taken, in line or not.
    #[inline]
    pub(crate) fn occupied(&self) -> usize {
        self.occupied
    }

    /// The slots that stand in line, in order.
    pub(crate) fn in_line(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(self.first(), |slot| {
            let next = self.nodes[*slot].next;
            (next != NIL).then_some(next)
        })
    }

    /// The numbers of all slots, taken or not.
    pub(crate) fn numbers(&self) -> Range<usize> {
        0..self.nodes.len()
    }

    /// All slots that are taken, in no particular order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (usize, &T)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(slot, node)| Some((slot, node.value.as_ref()?)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn order(line: &mut Line<char>) -> String {
        std::iter::from_fn(|| line.remove(line.first()?)).collect()
    }

    #[test]
    fn anyone_may_step_out_of_the_line_and_the_rest_keep_their_order() {
        for (leaves, rest) in [(0, "bcd"), (1, "acd"), (2, "abd"), (3, "abc")] {
            let mut line = Line::new();
            let slots = ['a', 'b', 'c', 'd'].map(|value| line.insert(value));
            slots.iter().for_each(|slot| line.join(*slot));
            line.leave(slots[leaves]);
            line.leave(slots[leaves]);
            assert_eq!(line.standing(), 3);
            assert_eq!(order(&mut line), rest);
            assert_eq!(line.slots().count(), 1);
        }
    }

    #[test]
    fn whoever_steps_to_the_front_is_next() {
        let mut line = Line::new();
        for (value, front) in [('a', true), ('b', false), ('c', true), ('d', true)] {
            let slot = line.insert(value);
            if front {
                line.join_front(slot);
            } else {
                line.join(slot);
            }
            line.join_front(slot);
        }
        assert_eq!(line.in_line().count(), line.standing());
        assert_eq!(order(&mut line), "dcab");
    }

    #[test]
    fn a_vacated_slot_is_used_again_and_whoever_joins_goes_to_the_end() {
        let mut line = Line::new();
        let a = line.insert('a');
        let b = line.insert('b');
        line.join(b);
        line.join(a);
        line.join(b);
        assert_eq!(line.remove(b), Some('b'));
        assert_eq!(line.remove(b), None);
        assert_eq!(line.insert('c'), b);
        line.join(b);
        assert_eq!(order(&mut line), "ac");
        assert_eq!(line.occupied(), 0);
    }
}
