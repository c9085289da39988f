//! What looks like a secret does not stay in the trace: a hook's reason often quotes the command it is about.

/// What stands in its place.
const GONE: &str = "[redacted]";
/// How the tokens of well-known services begin; shorter words are none.
const BEGINNINGS: &[&str] = &[
    "AIza",
    "AKIA",
    "ASIA",
    "SG.",
    "dop_v1_",
    "eyJ",
    "gho_",
    "ghp_",
    "ghr_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "hf_",
    "npm_",
    "pypi-",
    "rk_live_",
    "shpat_",
    "sk-",
    "sk_live_",
    "sk_test_",
    "xapp-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
];
const SHORTEST: usize = 16;
/// In the names of what is kept secret.
const NAMES: &[&str] = &[
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "auth",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "private_key",
    "private-key",
    "pwd",
    "secret",
    "token",
];
/// Words behind which a secret stands.
const SCHEMES: &[&str] = &["basic", "bearer"];
/// The same, but only in the value of what is named like a secret.
const RARER_SCHEMES: &[&str] = &["apikey", "bot", "digest", "token"];

/// The text without what looks like a secret: tokens of well-known services, values of what is named like one
/// (`TOKEN=..`, `"password": ".."`, `--api-key ..`), words behind `Bearer` and `Basic`, passwords in addresses, private keys.
pub(super) fn redact(text: &str) -> String {
    if let Some(at) = text.find("PRIVATE KEY-----") {
        let begin = text[..at].rfind("-----BEGIN").unwrap_or(at);
        return format!("{}{GONE}", redact(&text[..begin]));
    }
    let text = without_passwords(text);
    let mut clean = String::with_capacity(text.len());
    let (mut rest, mut before) = (&text[..], Before::Nothing);
    while let Some(first) = rest.chars().next() {
        let is_word = is_of_a_word(first);
        let end = rest.find(|c| is_of_a_word(c) != is_word).unwrap_or(rest.len());
        let piece = &rest[..end];
        if is_word {
            let lower = piece.to_ascii_lowercase();
            before = match () {
                () if SCHEMES.contains(&&lower[..]) => Before::Scheme,
                () if !is_name(&lower) => Before::Nothing,
                () if lower.starts_with("--") => Before::Value,
                () if lower.contains("auth") => Before::Header,
                () => Before::Name,
            };
            clean.push_str(&without_tokens(piece));
            rest = &rest[end..];
            continue;
        }
        // Between a name and its value stand quotes, blanks, and a colon or an equals sign: and nothing else.
        let is_between = |c: char| matches!(c, ' ' | '\t' | ':' | '=' | '"' | '\'' | '\\');
        let between = &piece[..piece.find(|c| !is_between(c)).unwrap_or(end)];
        let is_next = match before {
            Before::Nothing => false,
            Before::Name | Before::Header => between.contains([':', '=']),
            Before::Value | Before::Scheme => !between.is_empty(),
        };
        if !is_next {
            before = Before::Nothing;
            clean.push_str(piece);
            rest = &rest[end..];
            continue;
        }
        clean.push_str(between);
        rest = &rest[between.len()..];
        let value = value(rest, between);
        let lower = value
            .split([' ', '\t'])
            .next()
            .unwrap_or(value)
            .to_ascii_lowercase();
        // `Authorization: Bearer ..`: the scheme is no secret, what follows is. A password may be of such words.
        let may_have_scheme = before == Before::Header || !between.ends_with(['"', '\'']);
        if may_have_scheme && before != Before::Scheme && is_scheme(&lower) && rest.len() > lower.len() {
            clean.push_str(&rest[..lower.len()]);
            rest = &rest[lower.len()..];
            before = Before::Scheme;
            continue;
        }
        let is_secret = match before {
            Before::Scheme => value.len() >= SHORTEST / 2,
            _ => !value.is_empty() && !is_reference(value),
        };
        if is_secret {
            clean.push_str(GONE);
            rest = &rest[value.len()..];
        }
        before = Before::Nothing;
    }
    clean
}

/// What the words so far make of the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A secret's, if a sign follows.
    Name,
    /// The same, with a scheme before the secret, most likely.
    Header,
    Value,
    Scheme,
}

fn is_scheme(lower: &str) -> bool {
    SCHEMES.contains(&lower) || RARER_SCHEMES.contains(&lower)
}

/// All of a value at the beginning of a text, by what stands before it: up to the quote that closes it, or up to where a word
/// ends.
fn value<'a>(text: &'a str, between: &str) -> &'a str {
    let quote = between.chars().next_back().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ';' | '|' | '<' | '>');
        let value = &text[..text.find(ends).unwrap_or(text.len())];
        return value.trim_end_matches([',', ')', ']', '}', ':', '.', '\\']);
    };
    // In a text within a text the quotes are escaped themselves.
    let is_escaped = between.ends_with(&['\\', quote][..].iter().collect::<String>());
    let mut escapes = false;
    for (at, c) in text.char_indices() {
        match c {
            '\\' if is_escaped && text[at + 1..].starts_with(quote) => return &text[..at],
            '\\' => escapes = !escapes,
            c if c == quote && !escapes => return &text[..at],
            _ => escapes = false,
        }
    }
    text
}

/// A variable's name in place of a value, or what a shell is to run for it: no secret.
fn is_reference(value: &str) -> bool {
    let Some(name) = value.strip_prefix('$') else {
        return value.starts_with('`');
    };
    let name = name.strip_prefix('{').unwrap_or(name);
    let name = name.strip_suffix('}').unwrap_or(name);
    value.starts_with("$(")
        || name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Without the passwords of addresses: `https://me:secret@host`.
fn without_passwords(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>'))
            .unwrap_or(after.len());
        clean.push_str(before);
        // Whoever has an `@` in his password writes it as it is.
        let (who, host) = after[..end].split_at(after[..end].rfind('@').unwrap_or(0));
        match who.split_once(':') {
            Some((name, _)) => clean.push_str(&format!("{name}:{GONE}{host}")),
            // A token in a name's place.
            None if who.len() >= SHORTEST
                && who.contains(|c: char| c.is_ascii_digit())
                && !who.contains('.') =>
            {
                clean.push_str(&format!("{GONE}{host}"));
            }
            None => clean.push_str(&after[..end]),
        }
        rest = &after[end..];
    }
    clean.push_str(rest);
    clean
}

/// All that tokens, names and addresses are made of, but for the colon and the equals sign behind a name. (Of an
/// address, what is behind its colons is looked at as words of their own.)
fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@' | '%' | '~')
}

fn is_token(word: &str) -> bool {
    word.len() >= SHORTEST && BEGINNINGS.iter().any(|begin| word.starts_with(begin))
}

/// The word, without the tokens in it: an address or a path may have one in the middle.
fn without_tokens(word: &str) -> String {
    let parts = word.split_inclusive(['/', '@']).map(|part| {
        let token = part.trim_end_matches(['/', '@']);
        match is_token(token) {
            true => format!("{GONE}{}", &part[token.len()..]),
            false => part.to_owned(),
        }
    });
    parts.collect()
}

fn is_name(lower: &str) -> bool {
    let name = lower.trim_start_matches('-');
    // `author` is none.
    let has = |one: &&str| match *one {
        "auth" => {
            name == "auth" || name == "authorization" || name.ends_with("_auth") || name.ends_with("-auth")
        }
        one => name.contains(one),
    };
    !name.contains('/') && NAMES.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go() {
        // No such tokens were ever given out.
        let github = format!("ghp_{}", "a1".repeat(18));
        for (text, clean) in [
            (
                "curl -H 'Authorization: Bearer abcdef123456'",
                "curl -H 'Authorization: Bearer [redacted]'",
            ),
            (
                "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7 deploy",
                "AWS_SECRET_ACCESS_KEY=[redacted] deploy",
            ),
            (
                r#"{"password": "hunter2", "user": "me"}"#,
                r#"{"password": "[redacted]", "user": "me"}"#,
            ),
            (r#"{\"token\": \"hunter2\"}"#, r#"{\"token\": \"[redacted]\"}"#),
            (
                "run --api-key abc --port 80",
                "run --api-key [redacted] --port 80",
            ),
            ("run --token=abc", "run --token=[redacted]"),
            (
                "git push https://me:s3cr:t@x.example/a.git",
                "git push https://me:[redacted]@x.example/a.git",
            ),
            (
                &format!("uses {github}, twice {github}")[..],
                "uses [redacted], twice [redacted]",
            ),
            ("key AKIAIOSFODNN7EXAMPLE", "key [redacted]"),
            (
                "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
                "a [redacted]",
            ),
        ] {
            assert_eq!(redact(text), clean);
        }
    }

    #[test]
    fn nothing_of_a_secret_stays_whatever_is_in_it() {
        let github = format!("ghp_{}", "a1".repeat(18));
        for (text, clean) in [
            ("DB_PASSWORD=hunter!2#x deploy", "DB_PASSWORD=[redacted] deploy"),
            (
                r#"{"password": "!hunter2", "a": 1}"#,
                r#"{"password": "[redacted]", "a": 1}"#,
            ),
            (
                r#"{"password": "correct horse, battery"}"#,
                r#"{"password": "[redacted]"}"#,
            ),
            (
                r#"{"password": "a\"b", "a": 1}"#,
                r#"{"password": "[redacted]", "a": 1}"#,
            ),
            (
                r#"{\"password\": \"a b\", \"a\": 1}"#,
                r#"{\"password\": \"[redacted]\", \"a\": 1}"#,
            ),
            ("password: '$2y$10$abc/def.' x", "password: '[redacted]' x"),
            (r#"{"password": "$ecret"}"#, r#"{"password": "[redacted]"}"#),
            (r#"{"password": "basic abc"}"#, r#"{"password": "[redacted]"}"#),
            ("token: Bearer abcdef123456", "token: Bearer [redacted]"),
            ("PASSPHRASE='it is a secret'", "PASSPHRASE='[redacted]'"),
            ("token='never closed, for it was cut", "token='[redacted]"),
            (
                "run --password 'a b' --port 80",
                "run --password '[redacted]' --port 80",
            ),
            ("?token=a(b)&user=me", "?token=[redacted])&user=me"),
            (
                "Authorization: Basic dXNlcjpwdw==",
                "Authorization: Basic [redacted]",
            ),
            (
                "Authorization: Token 9944b09199c62bcf",
                "Authorization: Token [redacted]",
            ),
            (
                "\"Authorization\": \"token 9944b09199c62bcf\"",
                "\"Authorization\": \"token [redacted]\"",
            ),
            (
                &format!("git clone https://{github}@github.com/me/a.git")[..],
                "git clone https://[redacted]@github.com/me/a.git",
            ),
            (
                &format!("git clone https://{github}:x-oauth-basic@github.com/a"),
                "git clone https://[redacted]:[redacted]@github.com/a",
            ),
            (
                "curl https://0123456789abcdef01234567@x.example/1",
                "curl https://[redacted]@x.example/1",
            ),
            (&format!("see secrets/{github}/x"), "see secrets/[redacted]/x"),
        ] {
            assert_eq!(redact(text), clean);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for fine in [
            "TOKEN=$TOKEN deploy",
            "export PASSWORD=\"${DB_PASSWORD}\"",
            "TOKEN=$(cat ~/.token) deploy",
            "git clone https://github.com/me/a.git",
            "https://me@x.example/a",
            "the token is missing",
            "no password given: ask",
            "basic auth failed, author: me",
            "src/token.rs:12: expected `=`",
            "https://x.example:8080/a@b",
            "sk-short, ghp_short",
            "tokens/secret.txt: is a secret",
            "rm -rf / is denied",
            "ü: größer",
            "",
        ] {
            assert_eq!(redact(fine), fine);
        }
    }
}
