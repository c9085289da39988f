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
const SCHEMES: &[&str] = &["bearer", "basic"];

/// The text without what looks like a secret: tokens of well-known services, values of what is named like one
/// (`TOKEN=..`, `"password": ".."`, `--api-key ..`), words behind `Bearer` and `Basic`, passwords in addresses, private keys.
pub(super) fn redact(text: &str) -> String {
    if let Some(at) = text.find("PRIVATE KEY-----") {
        let begin = text[..at].rfind("-----BEGIN").unwrap_or(at);
        return format!("{}{GONE}", redact(&text[..begin]));
    }
    let text = without_passwords(text);
    let mut clean = String::with_capacity(text.len());
    let mut before = Before::Nothing;
    for piece in pieces(&text) {
        if !piece.chars().next().is_some_and(is_of_a_word) {
            // Between a name and its value stand quotes, blanks, and a colon or an equals sign: and nothing else.
            let is_sign = piece.contains([':', '=']);
            let is_between = piece
                .chars()
                .all(|c| matches!(c, ' ' | '\t' | ':' | '=' | '"' | '\'' | '\\'));
            before = match before {
                _ if !is_between => Before::Nothing,
                Before::Name if !is_sign => Before::Nothing,
                Before::Name => Before::Value,
                before => before,
            };
            clean.push_str(piece);
            continue;
        }
        let lower = piece.to_ascii_lowercase();
        // `Authorization: Bearer ..`: the scheme is no secret, what follows is.
        let is_scheme = SCHEMES.contains(&&lower[..]);
        let is_secret = match before {
            Before::Value => !is_scheme,
            Before::Scheme => piece.len() >= SHORTEST / 2,
            Before::Nothing | Before::Name => false,
        };
        before = match () {
            () if is_secret || is_token(piece) => Before::Nothing,
            () if is_scheme => Before::Scheme,
            () if !is_name(&lower) => Before::Nothing,
            () if lower.starts_with("--") => Before::Value,
            () => Before::Name,
        };
        clean.push_str(if is_secret || is_token(piece) { GONE } else { piece });
    }
    clean
}

/// What the words so far make of the next one.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// A secret's, if a sign follows.
    Name,
    Value,
    Scheme,
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
        let secret = after[..end]
            .rfind('@')
            .and_then(|at| Some((after[..at].find(':')?, at)));
        match secret {
            Some((colon, at)) => clean.push_str(&format!("{}:{GONE}{}", &after[..colon], &after[at..end])),
            None => clean.push_str(&after[..end]),
        }
        rest = &after[end..];
    }
    clean.push_str(rest);
    clean
}

/// Words, and what stands between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = is_of_a_word(rest.chars().next()?);
        let end = rest.find(|c| is_of_a_word(c) != is_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

/// All that tokens, names and addresses are made of, but for the colon and the equals sign behind a name. (Of an
/// address, what is behind its colons is looked at as words of their own.)
fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@' | '%' | '~')
}

fn is_token(word: &str) -> bool {
    word.len() >= SHORTEST && BEGINNINGS.iter().any(|begin| word.starts_with(begin))
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
    fn secrets_go_and_everything_else_stays() {
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
        for fine in [
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
