//! What snapshots look like to a program that is not written in Rust: plain numbers, in base units.

use std::time::{Duration, UNIX_EPOCH};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};

use crate::{Advice, Figure, HistogramSnapshot, SourceSnapshot, StackSnapshot, Status, Value};

/// `count`, and in seconds `sum`, `mean`, `p50`, `p90`, `p99` and `max`.
impl Serialize for HistogramSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("HistogramSnapshot", 8)?;
        fields.serialize_field("count", &self.count())?;
        for (key, value) in [
            ("sum_seconds", self.sum()),
            ("mean_seconds", self.mean()),
            ("p50_seconds", self.quantile(0.5)),
            ("p90_seconds", self.quantile(0.9)),
            ("p99_seconds", self.quantile(0.99)),
            ("max_seconds", self.max()),
        ] {
            fields.serialize_field(key, &secs(value))?;
        }
        fields.serialize_field("invalid", &self.invalid())?;
        fields.end()
    }
}

/// Every field, and `rate`, `success_rate` (`null` while there is none).
#[cfg(feature = "layer")]
impl Serialize for crate::MonitorSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("MonitorSnapshot", 13)?;
        fields.serialize_field("age_seconds", &secs(self.age))?;
        for (key, value) in [
            ("started", self.started),
            ("ok", self.successes),
            ("error", self.failures),
            ("ignored", self.ignored),
            ("rejected", self.rejected),
            ("timeout", self.timeouts),
            ("cancelled", self.cancelled),
            ("panicked", self.panicked),
            ("in_flight", self.in_flight),
        ] {
            fields.serialize_field(key, &value)?;
        }
        fields.serialize_field("rate", &self.rate())?;
        fields.serialize_field("success_rate", &self.success_rate())?;
        fields.serialize_field("latency", &self.latency)?;
        fields.end()
    }
}

/// `healthy`, `degraded` or `unhealthy`.
impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `taken` in seconds since 1970, `status` and `sources`.
impl Serialize for StackSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("StackSnapshot", 3)?;
        let taken = self.taken.duration_since(UNIX_EPOCH).unwrap_or_default();
        fields.serialize_field("taken", &secs(taken))?;
        fields.serialize_field("status", &self.status)?;
        fields.serialize_field("sources", &self.sources)?;
        fields.end()
    }
}

/// `layer`, `name`, `status`, `panicked` and `figures`.
impl Serialize for SourceSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("SourceSnapshot", 5)?;
        fields.serialize_field("layer", self.layer)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("status", &self.status)?;
        fields.serialize_field("panicked", &self.has_panicked)?;
        fields.serialize_field("figures", &self.figures)?;
        fields.end()
    }
}

/// `name`, `labels`, and what it is at under `counter`, `gauge`, `histogram`, or
/// `distribution` (pairs of a value and how often it was seen).
impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Labels<'a>(&'a [crate::Label]);
        impl Serialize for Labels<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(self.0.len()))?;
                for (key, value) in self.0 {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }

        let mut fields = serializer.serialize_struct("Figure", 3)?;
        fields.serialize_field("name", self.name)?;
        fields.serialize_field("labels", &Labels(&self.labels))?;
        match &self.value {
            Value::Counter(value) => fields.serialize_field("counter", value)?,
            Value::Gauge(value) => fields.serialize_field("gauge", value)?,
            Value::Histogram(value) => fields.serialize_field("histogram", value)?,
            Value::Distribution(seen) => fields.serialize_field("distribution", seen)?,
        }
        fields.end()
    }
}

/// `layer`, `name`, `figure`, `limit`, `change` and the whole sentence as `message`.
impl Serialize for Advice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Advice", 6)?;
        fields.serialize_field("layer", &self.layer)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("figure", &self.figure)?;
        fields.serialize_field("limit", &self.limit)?;
        fields.serialize_field("change", self.change())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

fn secs(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
