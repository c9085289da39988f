use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{About, CheckReport, Format, Report};
use crate::Status;

// `Map` is a `BTreeMap`: keys come out sorted, so that two reports can be compared line by line.

pub(super) fn report(report: &Report, about: &About, format: Format, verbose: bool) -> Bytes {
    let checks: Map<String, Value> = report
        .checks
        .iter()
        .map(|check| {
            let entry = match format {
                Format::Json => Value::Object(plain(check, verbose)),
                Format::HealthJson => Value::Array(vec![Value::Object(health(check, verbose))]),
            };
            (check.name.to_string(), entry)
        })
        .collect();
    let mut body = match format {
        Format::Json => json!({
            "status": status(report.status),
            "timestamp": timestamp(report.timestamp),
            "checks": checks,
        }),
        Format::HealthJson => json!({ "status": pass(report.status), "checks": checks }),
    };
    if verbose && format == Format::HealthJson {
        for (key, value) in &about.fields {
            body[*key] = value.as_str().into();
        }
    }
    Bytes::from(body.to_string())
}

fn plain(check: &CheckReport, verbose: bool) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("status".into(), status(check.status).into());
    if !verbose {
        return entry;
    }
    entry.insert("required".into(), check.required.into());
    entry.insert("consecutive_failures".into(), check.consecutive_failures.into());
    let mut put = |key: &str, value: Option<Value>| value.map(|v| entry.insert(key.into(), v));
    put("output", check.output.clone().map(Value::from));
    put("reason", check.reason.map(|reason| reason.as_str().into()));
    put("duration_ms", check.took.map(millis));
    put("time", check.time.map(|time| timestamp(time).into()));
    put(
        "last_success",
        check.last_success.map(|time| timestamp(time).into()),
    );
    entry
}

fn health(check: &CheckReport, verbose: bool) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("status".into(), pass(check.status).into());
    let mut put = |key: &str, value: Option<Value>| value.map(|v| entry.insert(key.into(), v));
    put("time", check.time.map(|time| timestamp(time).into()));
    put("componentType", check.component.map(Value::from));
    if verbose {
        put("output", check.output.clone().map(Value::from));
        put("observedValue", check.took.map(millis));
        put("observedUnit", check.took.map(|_| "ms".into()));
        put("consecutiveFailures", Some(check.consecutive_failures.into()));
        put(
            "lastSuccess",
            check.last_success.map(|time| timestamp(time).into()),
        );
    }
    entry
}

fn millis(took: Duration) -> Value {
    // Microseconds are all anyone can use; more digits are noise.
    ((took.as_secs_f64() * 1e6).round() / 1e3).into()
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Healthy => "healthy",
        Status::Degraded => "degraded",
        Status::Unhealthy => "unhealthy",
    }
}

fn pass(status: Status) -> &'static str {
    match status {
        Status::Healthy => "pass",
        Status::Degraded => "warn",
        Status::Unhealthy => "fail",
    }
}

/// RFC 3339, in UTC, to the millisecond. The calendar is Howard Hinnant's `civil_from_days`.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, of_day) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let date = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(millis)), text);
        }
    }
}
