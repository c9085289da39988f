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
        None if accepts_health_json(headers) => Format::HealthJson,
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
    Ok(authority.or(header).map(without_port))
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.find(']').map_or(host, |end| &host[..=end]);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn accepts_health_json(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("application/health+json"));
            named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
    let query = uri.query().unwrap_or_default();
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}
