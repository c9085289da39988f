use http::{HeaderMap, Uri, header};

use super::Format;

/// Whether details are asked for: `?verbose`, `?verbose=1` or `?verbose=true`.
pub(super) fn is_verbose(uri: &Uri) -> bool {
    pairs(uri).any(|(key, value)| key == "verbose" && matches!(value, "" | "1" | "true"))
}

/// `?format=health+json`, or else the `Accept` header.
pub(super) fn format(uri: &Uri, headers: &HeaderMap) -> Format {
    let asked = pairs(uri).find(|(key, _)| *key == "format");
    match asked {
        Some((_, "health+json" | "health%2Bjson" | "health%2bjson")) => Format::HealthJson,
        Some(_) => Format::Json,
        None if prefers_health_json(headers) => Format::HealthJson,
        None => Format::Json,
    }
}

/// The host without its port: of the URI (HTTP/2), or else of the `Host` header.
pub(super) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Option<&'a str>, ()> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = hosts.next().map(|host| host.to_str().map_err(drop)).transpose()?;
    if hosts.next().is_some() {
        return Err(());
    }
    let authority = uri.authority().map(http::uri::Authority::as_str);
    authority.or(header).map(without_port).transpose()
}

/// Strict: what two parsers read in two ways is no name of ours.
fn without_port(authority: &str) -> Result<&str, ()> {
    let end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or(())? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end);
    let is_port = |port: &str| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    match port.strip_prefix(':') {
        Some(port) if is_port(port) => Ok(host),
        None if port.is_empty() => Ok(host),
        _ => Err(()),
    }
}

/// Whether `application/health+json` is named, and is worth as much as `application/json` at least.
fn prefers_health_json(headers: &HeaderMap) -> bool {
    let ranges = || {
        headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(range)
    };
    // The most exact range that takes a type decides how much it is worth.
    let worth = |media: &str| {
        [media, "application/*", "*/*"].iter().find_map(|name| {
            ranges()
                .filter(|(range, _)| range.eq_ignore_ascii_case(name))
                .map(|(_, weight)| weight)
                .max()
        })
    };
    let is_named = ranges().any(|(range, _)| range.eq_ignore_ascii_case("application/health+json"));
    let (health, plain) = (worth("application/health+json"), worth("application/json"));
    is_named && health > Some(0) && health >= plain
}

/// A media range, and its weight in thousandths. A weight that cannot be read is none at all.
fn range(range: &str) -> (&str, u16) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case("q"))
        .map_or(Some(1.0), |(_, weight)| weight.parse::<f64>().ok());
    let weight = weight
        .filter(|weight| (0.0..=1.0).contains(weight))
        .unwrap_or(0.0);
    (name, (weight * 1_000.0) as u16)
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let query = uri.query().unwrap_or_default();
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
