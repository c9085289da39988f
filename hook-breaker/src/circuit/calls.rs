use crate::policy::Tally;

/// The last so many calls: a ring of bits, of which only those of failures and slow calls are ever looked at.
///
/// A run of successes is written as a whole, and costs at most the length of the ring in words.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    failed: Bits,
    slow: Bits,
    /// Where the next call goes.
    head: usize,
    len: usize,
    size: usize,
}

/// Bits, and how many of them are set.
#[derive(Clone, Debug)]
struct Bits {
    words: Box<[u64]>,
    set: usize,
}

impl Calls {
    pub(crate) fn new(size: u32, has_slow: bool) -> Self {
        let size = size as usize;
        Self {
            failed: Bits::new(size),
            slow: Bits::new(if has_slow { size } else { 0 }),
            head: 0,
            len: 0,
            size,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.failed.clear();
        self.slow.clear();
        (self.head, self.len) = (0, 0);
    }

    pub(crate) fn push(&mut self, failed: bool, slow: bool) {
        self.failed.write(self.head, failed);
        self.slow.write(self.head, slow);
        self.advance(1);
    }

    /// `n` calls that neither failed nor were slow.
    pub(crate) fn push_successes(&mut self, n: u64) {
        let mut rest = usize::try_from(n).map_or(self.size, |n| n.min(self.size));
        while rest > 0 {
            let span = rest.min(self.size - self.head);
            self.failed.unset(self.head, span);
            self.slow.unset(self.head, span);
            self.advance(span);
            rest -= span;
        }
    }

    /// How many it holds at most.
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    fn advance(&mut self, by: usize) {
        self.head = (self.head + by) % self.size;
        self.len = (self.len + by).min(self.size);
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            calls: self.len as u64,
            failures: self.failed.set as u64,
            slow_calls: self.slow.set as u64,
            ..Tally::default()
        }
    }

    /// Whether each call failed and whether it was slow, the oldest first.
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (bool, bool)> {
        let oldest = self.head + self.size - self.len;
        (0..self.len).map(move |place| {
            let index = (oldest + place) % self.size;
            (self.failed.read(index), self.slow.read(index))
        })
    }
}

impl Bits {
    fn new(size: usize) -> Self {
        Self {
            words: vec![0; size.div_ceil(64)].into(),
            set: 0,
        }
    }

    fn clear(&mut self) {
        self.words.fill(0);
        self.set = 0;
    }

    /// Without words, every bit is unset.
    fn write(&mut self, index: usize, bit: bool) {
        let Some(word) = self.words.get_mut(index / 64) else {
            return;
        };
        let mask = 1 << (index % 64);
        self.set = self.set + usize::from(bit) - usize::from(*word & mask != 0);
        *word = *word & !mask | if bit { mask } else { 0 };
    }

    fn read(&self, index: usize) -> bool {
        self.words
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Unsets `span` bits from `index` on; stops as soon as none is set anywhere.
    fn unset(&mut self, mut index: usize, mut span: usize) {
        while span > 0 && self.set > 0 {
            let (offset, word) = (index % 64, &mut self.words[index / 64]);
            let here = span.min(64 - offset);
            let mask = (u64::MAX >> (64 - here)) << offset;
            self.set -= (*word & mask).count_ones() as usize;
            *word &= !mask;
            index += here;
            span -= here;
        }
    }
}
