use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, StatusCode,
    header::{
        AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, COOKIE, DATE, ETAG, EXPIRES,
        HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
        PRAGMA, RANGE, SET_COOKIE, TRANSFER_ENCODING, UPGRADE, VARY,
    },
};

/// What `Cache-Control` says, of a request or a response (RFC 9111, 5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) must_revalidate: bool,
    pub(super) only_if_cached: bool,
    pub(super) min_fresh: bool,
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
}

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            // What cannot be read may well have said no.
            let Ok(value) = value.to_str() else {
                found.no_store = true;
                continue;
            };
            // What is quoted for ever may hide a no.
            if !is_balanced(value) {
                found.no_store = true;
            }
            for directive in split_unquoted(value) {
                found.add(directive.trim());
            }
        }
        found
    }

    fn add(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
            None => (directive, None),
        };
        // A time that is no number is no time at all (4.2.1); of two the shorter one counts.
        let seconds = value.and_then(seconds).unwrap_or(0);
        let shorter = |before: Option<u64>| Some(before.map_or(seconds, |before| before.min(seconds)));
        match name.to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            // With field names it is about those; taken for the whole it is on the safe side.
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "only-if-cached" => self.only_if_cached = true,
            "min-fresh" => self.min_fresh = true,
            "max-age" => self.max_age = shorter(self.max_age),
            "s-maxage" => self.s_maxage = shorter(self.s_maxage),
            _ => {}
        }
    }
}

/// The parts between commas that are not within quotes.
fn split_unquoted(value: &str) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    value.split(move |c| !quotes.within(c) && c == ',')
}

fn is_balanced(value: &str) -> bool {
    let mut quotes = Quotes::default();
    value.chars().for_each(|c| {
        quotes.within(c);
    });
    !quotes.open
}

/// Where quoted strings begin and end; a backslash within one keeps the next character from ending it (RFC 9110, 5.6.4).
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether `c`, which comes next, is within quotes.
    fn within(&mut self, c: char) -> bool {
        if self.escaped {
            self.escaped = false;
        } else if self.open && c == '\\' {
            self.escaped = true;
        } else if c == '"' {
            self.open = !self.open;
        }
        self.open
    }
}

/// A number of seconds: digits and nothing else. One too large is as large as can be (1.2.2).
fn seconds(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

/// What a request wants of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing: it is somebody's own, or asks for a part or another protocol, or on a condition that only the origin
    /// can judge.
    Bypass,
    /// A response from the origin, which may then be stored.
    Fresh,
    Anything,
    OnlyCached,
    /// A response from the origin, which is not to be asked.
    Neither,
}

pub(super) fn wish(headers: &HeaderMap) -> Wish {
    let own = [AUTHORIZATION, COOKIE];
    let partial = [
        RANGE,
        IF_RANGE,
        IF_MATCH,
        IF_UNMODIFIED_SINCE,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    let asked = Directives::of(headers);
    if has_body || asked.no_store || own.iter().chain(&partial).any(|name| headers.contains_key(name)) {
        return Wish::Bypass;
    }
    let pragma = !headers.contains_key(CACHE_CONTROL)
        && headers
            .get(PRAGMA)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"no-cache"));
    // A request that sets a limit of its own to the age is answered by the origin.
    let fresh = asked.no_cache || asked.max_age.is_some() || asked.min_fresh || pragma;
    match (fresh, asked.only_if_cached) {
        (true, true) => Wish::Neither,
        (true, false) => Wish::Fresh,
        (false, true) => Wish::OnlyCached,
        (false, false) => Wish::Anything,
    }
}

/// Whether the client has a response already and asks whether it is still right.
pub(super) fn is_conditional(headers: &HeaderMap) -> bool {
    [IF_NONE_MATCH, IF_MODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// For how long a response that was so old when it came may be served from a shared cache; none if it may not be stored.
///
/// Zero is for one that the origin is to be asked about each time, and can be.
pub(super) fn lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    default: Option<Duration>,
    aged: u64,
) -> Option<Duration> {
    let cacheable = matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 410);
    let said = Directives::of(headers);
    let personal = headers.contains_key(SET_COOKIE) || said.private;
    let never = personal || said.no_store || headers.contains_key(CONTENT_RANGE);
    if !cacheable || never {
        return None;
    }
    let explicit = said
        .s_maxage
        .or(said.max_age)
        .map(Duration::from_secs)
        .or_else(|| expires_in(headers));
    let fresh = if said.no_cache {
        Duration::ZERO
    } else {
        explicit.or(default)?
    };
    let left = fresh.saturating_sub(Duration::from_secs(aged));
    (!left.is_zero() || has_validator(headers)).then_some(left)
}

/// Whether the origin can be asked if it is still right.
pub(super) fn has_validator(headers: &HeaderMap) -> bool {
    [ETAG, LAST_MODIFIED]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// Whether it may be served past its time, in the place of an error (4.2.4). `s-maxage` forbids that too (5.2.2.10).
pub(super) fn may_be_stale(headers: &HeaderMap) -> bool {
    let said = Directives::of(headers);
    !(said.must_revalidate || said.no_cache || said.s_maxage.is_some())
}

fn expires_in(headers: &HeaderMap) -> Option<Duration> {
    headers.get(EXPIRES)?;
    // A date that cannot be read, `0` above all, lies in the past (5.3).
    let Some(expires) = date(headers, EXPIRES) else {
        return Some(Duration::ZERO);
    };
    let from = date(headers, DATE).unwrap_or_else(SystemTime::now);
    Some(expires.duration_since(from).unwrap_or(Duration::ZERO))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let value = headers.get(name)?.to_str().ok()?;
    httpdate::parse_http_date(value).ok()
}

/// How old it was when it was asked for, in seconds: as it says, or as its date tells, whichever is more (4.2.3). `took`
/// is how long it took to come.
pub(super) fn age(headers: &HeaderMap, took: Duration) -> u64 {
    let told = headers
        .get(AGE)
        .and_then(|age| seconds(age.to_str().ok()?.trim()))
        .unwrap_or(0);
    let apparent = date(headers, DATE)
        .and_then(|date| SystemTime::now().duration_since(date).ok())
        .unwrap_or_default();
    told.max(apparent.saturating_sub(took).as_secs())
}

/// The header fields of the request that a response depends on; none if on what nobody can know.
pub(super) fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(VARY) {
        for name in value
            .to_str()
            .ok()?
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            names.push(
                HeaderName::from_bytes(name.as_bytes())
                    .ok()
                    .filter(|_| name != "*")?,
            );
        }
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_within_quotes_do_not_divide() {
        let parts: Vec<_> = split_unquoted(r#"private="a, no-store", max-age=5"#).collect();
        assert_eq!(parts, [r#"private="a, no-store""#, " max-age=5"]);
    }
}
