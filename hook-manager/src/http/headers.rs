use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request,
    header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::Full;

use super::target::Target;
use crate::{error::HookError, hook, request::HookRequest};

/// Whether a text can be a header's name.
pub(crate) fn is_header_name(name: &str) -> bool {
    name.parse::<HeaderName>().is_ok()
}

/// Whether a header says how the message itself is framed, which is not its owner's to say.
pub(crate) fn forbidden(name: &str) -> bool {
    const FRAMING: [&str; 6] = [
        "connection",
        "content-length",
        "expect",
        "transfer-encoding",
        "upgrade",
        "te",
    ];
    FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

/// The event as a request. Its body is the request's own bytes, not a copy.
pub(super) fn message(
    target: &Target,
    http: &hook::Http,
    req: &HookRequest,
) -> Result<Request<Full<Bytes>>, HookError> {
    let mut message = Request::new(Full::new(Bytes::from_owner(Body(req.clone()))));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = target.path.clone();
    let headers = message.headers_mut();
    headers.insert(HOST, target.authority.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let agent = concat!("hook-manager/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &http.headers {
        let unusable = |what: &str| HookError::CouldNotStart(format!("the header {name}: {what}").into());
        // Never the value itself: it may be a secret.
        let filled = fill(value, &http.allowed_env, |variable| {
            req.var(variable)?.into_string().ok()
        });
        let value = HeaderValue::from_str(filled.trim())
            .map_err(|_| unusable("its value has a byte that no header can have"))?;
        let name = name
            .parse::<HeaderName>()
            .map_err(|err| unusable(&err.to_string()))?;
        headers.insert(name, value);
    }
    Ok(message)
}

struct Body(HookRequest);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// Puts variables in: those that are allowed, by their values, and all others as nothing.
fn fill(text: &str, allowed: &[String], variable: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, behind) = match after.strip_prefix('{') {
            Some(inside) => match inside.split_once('}') {
                Some((name, behind)) if is_variable(name) => (name, behind),
                _ => ("", after),
            },
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                after.split_at(end.unwrap_or(after.len()))
            }
        };
        rest = behind;
        match is_variable(name) {
            true if allowed.iter().any(|allowed| allowed == name) => {
                filled.push_str(&variable(name).unwrap_or_default());
            }
            true => {}
            false => {
                filled.push('$');
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn is_variable(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(fine) && name.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_variables_are_put_in() {
        let allowed = ["TOK".to_owned(), "EMPTY".to_owned()];
        let variable = |name: &str| (name != "EMPTY").then(|| format!("<{name}>"));
        for (text, expected) in [
            ("Bearer $TOK", "Bearer <TOK>"),
            ("${TOK}x$TOK-y", "<TOK>x<TOK>-y"),
            ("$HOME and ${HOME}", " and "),
            ("$TOKEN$EMPTY.", "."),
            ("5$ $5 $ {TOK} ${TOK ${} $", "5$ $5 $ {TOK} ${TOK ${} $"),
        ] {
            assert_eq!(fill(text, &allowed, variable), expected, "{text}");
        }
    }
}
