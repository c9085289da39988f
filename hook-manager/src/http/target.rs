use std::fmt;

use http::{HeaderValue, Uri};

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Target {
    host: String,
    port: u16,
    /// As it stands in the `Host` header.
    pub(super) authority: HeaderValue,
    pub(super) path: Uri,
}

/// Why a URL cannot be posted to by this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is `https`.
    Tls,
    /// It is no URL, or none of HTTP.
    Wrong(String),
}

/// Whether this version can post to `url`.
pub(crate) fn usable(url: &str) -> Result<(), Unusable> {
    Target::of(url).map(drop)
}

impl Target {
    pub(super) fn of(url: &str) -> Result<Self, Unusable> {
        let wrong = |what: &str| Unusable::Wrong(what.to_owned());
        let uri: Uri = url.parse().map_err(|err| wrong(&format!("{err}")))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(Unusable::Tls),
            Some(other) => return Err(wrong(&format!("its scheme is {other}"))),
            None => return Err(wrong("it has no scheme")),
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it has a user in it, which belongs into a header"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str() == host => 80,
            None => return Err(wrong("its port is no number up to 65535")),
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|err| wrong(&err.to_string()))?,
            path: path.parse().map_err(|err| wrong(&format!("{err}")))?,
        })
    }

    pub(super) fn address(&self) -> (String, u16) {
        (self.host.clone(), self.port)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => f.write_str("this version does not speak https: only the host can run it"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_url_is_taken_apart_or_named_as_what_it_is() {
        for (url, host, port, path) in [
            ("http://localhost:8080/pre?x=1", "localhost", 8080, "/pre?x=1"),
            ("http://127.0.0.1", "127.0.0.1", 80, "/"),
            ("HTTP://[::1]:9/", "::1", 9, "/"),
        ] {
            let target = Target::of(url).unwrap();
            assert_eq!(target.address(), (host.to_owned(), port), "{url}");
            assert_eq!(target.path.to_string(), path, "{url}");
        }
        assert_eq!(usable("https://hooks.example/"), Err(Unusable::Tls));
        for url in [
            "localhost:80",
            "/pre",
            "ftp://x/",
            "http://u:p@h/",
            "http:///x",
            "http://h:99999/",
            "http://h:x/",
            "",
        ] {
            assert!(matches!(usable(url), Err(Unusable::Wrong(_))), "{url}");
        }
    }
}
