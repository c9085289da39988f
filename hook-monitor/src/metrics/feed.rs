use std::collections::HashMap;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Level, Metadata, Recorder, Unit};

use super::{
    catalog::{CATALOG, Kind},
    news::{Count, add_values, begin_anew, begin_values_anew, pass_on, pass_on_values},
    rules::{self, Nonsense},
};
use crate::{Gather, HistogramSnapshot, Label};

/// Label sets one source may have for one metric. The rest is folded into `other`.
const LABEL_SETS: usize = 256;
/// Series one source may have.
const SERIES: usize = 1_024;
const OTHER: &str = "other";

static METADATA: Metadata<'static> = Metadata::new("hook_monitor", Level::INFO, Some("hook_monitor"));

/// What has been said to one recorder, over all sources.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// A metric has one kind, whoever came first.
    kinds: HashMap<&'static str, Kind>,
}

impl Said {
    fn kind(&mut self, name: &'static str, kind: Kind) -> Kind {
        let known = || CATALOG.iter().find(|family| family.name == name);
        let kind = || known().map_or(kind, |family| family.kind);
        *self.kinds.entry(name).or_insert_with(kind)
    }
}

/// What was counted on the way, whichever recorder it goes to.
#[derive(Debug, Default)]
pub(super) struct Mishaps {
    pub(super) overflow: u64,
    pub(super) invalid: [u64; Nonsense::ALL.len()],
}

/// The series of one source, in the order in which it told them.
#[derive(Default)]
pub(super) struct Series {
    told: Vec<Told>,
    /// Where the next figure is likely to be.
    next: usize,
}

struct Told {
    name: &'static str,
    labels: Vec<Label>,
    handle: Handle,
    /// Whether it stands for all label sets that there was no room for.
    is_other: bool,
    /// What told this is gone. Another may begin anew, where it goes back, or be the same again.
    is_left: bool,
}

enum Handle {
    /// With what those before it have counted that had its name, what it has, and what the sum for `other` is so far.
    Counter(Counter, Count),
    Gauge(Gauge, f64),
    /// With what was passed on so far, and what is to be.
    Histogram(Histogram, Box<HistogramSnapshot>, Box<HistogramSnapshot>),
    /// The same, by value.
    Distribution(Histogram, Vec<(f64, u64)>, Vec<(f64, u64)>),
}

/// Passes the figures of one source on to a recorder.
pub(super) struct Feed<'a> {
    recorder: &'a dyn Recorder,
    layer: &'static str,
    name: &'a str,
    series: &'a mut Series,
    said: &'a mut Said,
    mishaps: &'a mut Mishaps,
    /// Whether anything was added up under `other`.
    folded: bool,
}

impl Mishaps {
    pub(super) fn count(&mut self, what: Nonsense, n: u64) {
        self.invalid[what as usize] += n;
    }
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        recorder: &'a dyn Recorder,
        (layer, name): (&'static str, &'a str),
        series: &'a mut Series,
        said: &'a mut Said,
        mishaps: &'a mut Mishaps,
    ) -> Self {
        series.next = 0;
        Self {
            recorder,
            layer,
            name,
            series,
            said,
            mishaps,
            folded: false,
        }
    }

    /// The series of that name and labels, or the one that stands for it.
    #[inline]
    fn find(&mut self, kind: Kind, name: &'static str, labels: &[Label]) -> Option<&mut Told> {
        self.find_as(kind, false, name, labels)
    }

    #[inline]
    fn find_as(
        &mut self,
        kind: Kind,
        by_value: bool,
        name: &'static str,
        labels: &[Label],
    ) -> Option<&mut Told> {
        let is_it = |told: &Told| is_same(told.name, name) && told.labels == labels;
        let place = match self.series.told.get(self.series.next) {
            Some(told) if is_it(told) => Some(self.series.next),
            _ => self.series.told.iter().position(is_it),
        };
        let place = match place {
            Some(place) => place,
            None => self.add(kind, by_value, name, labels)?,
        };
        self.series.next = place + 1;
        let told = &mut self.series.told[place];
        if told.handle.kind() != kind || matches!(told.handle, Handle::Distribution(..)) != by_value {
            self.mishaps.count(Nonsense::Kind, 1);
            return None;
        }
        self.folded |= told.is_other;
        Some(told)
    }

    #[cold]
    fn add(&mut self, kind: Kind, by_value: bool, name: &'static str, labels: &[Label]) -> Option<usize> {
        let of_name = self.series.told.iter().filter(|told| told.name == name).count();
        if of_name >= LABEL_SETS {
            self.mishaps.overflow += 1;
            let labels: Vec<Label> = labels.iter().map(|(key, _)| (*key, OTHER)).collect();
            let is_it = |told: &Told| told.name == name && told.labels == labels;
            let place = match self.series.told.iter().position(is_it) {
                Some(place) => place,
                // Other keys than before: one more set of those, and no further.
                None if of_name >= 2 * LABEL_SETS => return None,
                None => self.register(kind, by_value, name, &labels)?,
            };
            self.series.told[place].is_other = true;
            return Some(place);
        }
        self.register(kind, by_value, name, labels)
    }

    fn register(
        &mut self,
        kind: Kind,
        by_value: bool,
        name: &'static str,
        labels: &[Label],
    ) -> Option<usize> {
        let refused = if self.series.told.len() >= SERIES {
            Some(Nonsense::TooMany)
        } else if let Err(why) = rules::check(name, labels) {
            Some(why)
        } else if self.said.kind(name, kind) != kind {
            Some(Nonsense::Kind)
        } else {
            None
        };
        if let Some(why) = refused {
            self.mishaps.count(why, 1);
            return None;
        }
        describe(self.recorder, kind, name);
        let mut all: Vec<metrics::Label> = rules::identity(name, labels, self.layer, self.name)
            .into_iter()
            .map(|(key, value)| metrics::Label::new(key, value.to_owned()))
            .collect();
        all.extend(
            labels
                .iter()
                .map(|(key, value)| metrics::Label::from_static_parts(key, value)),
        );
        let key = Key::from_parts(name, all);
        let nothing = || Box::new(HistogramSnapshot::empty());
        let handle = match kind {
            Kind::Counter => {
                Handle::Counter(self.recorder.register_counter(&key, &METADATA), Count::default())
            }
            Kind::Gauge => Handle::Gauge(self.recorder.register_gauge(&key, &METADATA), 0.0),
            Kind::Histogram if by_value => {
                let histogram = self.recorder.register_histogram(&key, &METADATA);
                Handle::Distribution(histogram, Vec::new(), Vec::new())
            }
            Kind::Histogram => {
                let histogram = self.recorder.register_histogram(&key, &METADATA);
                Handle::Histogram(histogram, nothing(), nothing())
            }
        };
        self.series.told.push(Told {
            name,
            labels: labels.to_vec(),
            handle,
            is_other: false,
            is_left: false,
        });
        Some(self.series.told.len() - 1)
    }

    /// Passes on what several label sets have added up to.
    pub(super) fn flush(&mut self) {
        if !self.folded {
            return;
        }
        for told in &mut self.series.told {
            if !told.is_other {
                continue;
            }
            let is_left = &mut told.is_left;
            match &mut told.handle {
                Handle::Counter(counter, count) => {
                    let sum = std::mem::take(&mut count.sum);
                    count.tell(counter, sum, std::mem::take(is_left));
                }
                Handle::Gauge(gauge, sum) => gauge.set(std::mem::take(sum)),
                Handle::Histogram(histogram, told, sum) => {
                    let sum = std::mem::replace(&mut **sum, HistogramSnapshot::empty());
                    begin_anew(told, &sum, std::mem::take(is_left));
                    pass_on(histogram, told, &sum);
                }
                Handle::Distribution(histogram, told, sum) => {
                    let sum = std::mem::take(sum);
                    begin_values_anew(told, &sum, std::mem::take(is_left));
                    pass_on_values(histogram, told, &sum);
                }
            }
        }
    }
}

impl Gather for Feed<'_> {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        if let Some(told) = self.find(Kind::Counter, name, labels) {
            match &mut told.handle {
                Handle::Counter(_, count) if told.is_other => count.sum = count.sum.wrapping_add(value),
                Handle::Counter(counter, count) => {
                    count.tell(counter, value, std::mem::take(&mut told.is_left));
                }
                _ => {}
            }
        }
    }

    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        if !value.is_finite() {
            self.mishaps.count(Nonsense::Value, 1);
            return;
        }
        if let Some(told) = self.find(Kind::Gauge, name, labels) {
            match &mut told.handle {
                Handle::Gauge(_, sum) if told.is_other => *sum += value,
                Handle::Gauge(gauge, _) => gauge.set(value),
                _ => {}
            }
        }
    }

    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
        let mut invalid = 0;
        if let Some(told) = self.find(Kind::Histogram, name, labels) {
            match &mut told.handle {
                Handle::Histogram(_, _, sum) if told.is_other => {
                    let so_far = std::mem::replace(&mut **sum, HistogramSnapshot::empty());
                    **sum = so_far.merged(value);
                }
                Handle::Histogram(histogram, so_far, _) => {
                    begin_anew(so_far, value, std::mem::take(&mut told.is_left));
                    invalid = pass_on(histogram, so_far, value);
                }
                _ => {}
            }
        }
        self.mishaps.count(Nonsense::Duration, invalid);
    }

    fn distribution(&mut self, name: &'static str, labels: &[Label], seen: &[(f64, u64)]) {
        let mut invalid = 0;
        if let Some(told) = self.find_as(Kind::Histogram, true, name, labels) {
            match &mut told.handle {
                Handle::Distribution(_, _, sum) if told.is_other => invalid = add_values(sum, seen),
                Handle::Distribution(histogram, so_far, _) => {
                    begin_values_anew(so_far, seen, std::mem::take(&mut told.is_left));
                    invalid = pass_on_values(histogram, so_far, seen);
                }
                _ => {}
            }
        }
        self.mishaps.count(Nonsense::Value, invalid);
    }
}

impl Series {
    pub(super) fn is_new(&self) -> bool {
        self.told.is_empty()
    }

    /// The source is gone: what went up and down is at zero from here on. What was counted stays, and another source of
    /// the same name counts on from there.
    pub(super) fn retire(&mut self) {
        for told in &mut self.told {
            match &mut told.handle {
                Handle::Gauge(gauge, _) => gauge.set(0.0),
                Handle::Counter(..) | Handle::Histogram(..) | Handle::Distribution(..) => told.is_left = true,
            }
        }
    }
}

impl Handle {
    fn kind(&self) -> Kind {
        match self {
            Self::Counter(..) => Kind::Counter,
            Self::Gauge(..) => Kind::Gauge,
            Self::Histogram(..) | Self::Distribution(..) => Kind::Histogram,
        }
    }
}

pub(super) fn own(recorder: &dyn Recorder, name: &'static str, labels: &[Label], value: u64) {
    describe(recorder, Kind::Counter, name);
    let labels: Vec<_> = labels
        .iter()
        .map(|(key, value)| metrics::Label::from_static_parts(key, value))
        .collect();
    let key = Key::from_parts(name, labels);
    recorder.register_counter(&key, &METADATA).absolute(value);
}

fn describe(recorder: &dyn Recorder, kind: Kind, name: &'static str) {
    let Some(family) = CATALOG.iter().find(|family| family.name == name) else {
        return;
    };
    let (key, unit, help): (KeyName, Option<Unit>, _) = (name.into(), Some(family.unit), family.help.into());
    match kind {
        Kind::Counter => recorder.describe_counter(key, unit, help),
        Kind::Gauge => recorder.describe_gauge(key, unit, help),
        Kind::Histogram => recorder.describe_histogram(key, unit, help),
    }
}

/// Mostly it is the same literal.
#[inline]
fn is_same(one: &'static str, other: &'static str) -> bool {
    std::ptr::eq(one, other) || one == other
}
