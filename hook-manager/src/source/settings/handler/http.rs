//! `http` handlers: a URL, headers, and the variables these may use.

use super::{
    super::super::{
        Severity,
        json::{Node, Tree},
    },
    HandlerReader,
};
use crate::{
    hook::{Handler, Http},
    http::{self, Unusable},
};

impl HandlerReader<'_, '_, '_> {
    pub(super) fn http(&mut self) -> Option<Handler> {
        let Some(node) = self.node.get("url") else {
            self.refuse(self.node, "url", "is missing".into(), "`\"url\": \"http://..\"`");
            return None;
        };
        let Some(url) = node.text() else {
            self.wrong(node, "url", "a text such as \"http://localhost:8080/hooks\"");
            return None;
        };
        match http::usable(url) {
            Ok(()) => {}
            Err(err @ Unusable::Tls) => {
                let (origin, what) = (self.origin(node, "url"), format!("is {}: {err}", node.describe()));
                let expected = "http://.., such as an endpoint on the loopback";
                self.file.say(Severity::Warning, origin, what, expected);
            }
            Err(Unusable::Wrong(why)) => {
                let what = format!("is {}, which cannot be used: {why}", node.describe());
                self.refuse(
                    node,
                    "url",
                    what,
                    "an address such as \"http://localhost:8080/hooks\"",
                );
                return None;
            }
        }
        let (headers, allowed_env) = (self.headers(), self.allowed_env());
        let mut http = Http::new(url);
        http.headers = headers;
        http.allowed_env = allowed_env;
        Some(Handler::Http(http))
    }

    fn headers(&mut self) -> Vec<(String, String)> {
        let Some(node) = self.node.get("headers") else {
            return Vec::new();
        };
        let Some(entries) = node.object() else {
            self.wrong(node, "headers", "an object of texts");
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (key, value) in entries {
            let field = format!("headers[{:?}]", crate::matcher::short(&key.name));
            let at_key = Node {
                at: key.at,
                value: Tree::Null,
            };
            match value.text().filter(|text| !text.contains(['\n', '\r', '\0'])) {
                _ if !http::is_header_name(&key.name) => {
                    self.refuse(
                        &at_key,
                        &field,
                        "is no name of a header".into(),
                        "one such as \"Authorization\"",
                    );
                }
                _ if http::forbidden(&key.name) => {
                    let what = "says how the message is framed";
                    self.refuse(&at_key, &field, what.into(), "headers that are about its content");
                }
                Some(text) => headers.push((key.name.clone(), text.to_owned())),
                None => self.wrong(value, &field, "a text of one line"),
            }
        }
        headers
    }

    fn allowed_env(&mut self) -> Vec<String> {
        let Some(node) = self.node.get("allowedEnvVars") else {
            return Vec::new();
        };
        let Tree::List(list) = &node.value else {
            self.wrong(node, "allowedEnvVars", "a list of names");
            return Vec::new();
        };
        let mut names = Vec::new();
        for (at, one) in list.iter().enumerate() {
            match one.text() {
                Some(name) => names.push(name.to_owned()),
                None => self.wrong(one, &format!("allowedEnvVars[{at}]"), "a name of a variable"),
            }
        }
        names
    }
}
