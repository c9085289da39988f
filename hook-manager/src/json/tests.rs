use serde_json::json;

use super::*;

fn read(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|err| panic!("{text}: {err:?}"))
}

fn refused(text: impl AsRef<[u8]>) -> String {
    let err = parse(text.as_ref()).unwrap_err();
    format!("{}:{} {}", err.line, err.column, err.problem)
}

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

#[test]
fn half_a_surrogate_pair_is_read_as_the_replacement_character() {
    for (text, read_as) in [
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ude00!""#, "\u{fffd}!"),
        (r#""\ud83d\n""#, "\u{fffd}\n"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\ud83d\ud83d\uDE00""#, "\u{fffd}\u{1f600}"),
        (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        (r#""\u0041\u0042""#, "AB"),
        (r#""\ud83d\ude00\ude00""#, "\u{1f600}\u{fffd}"),
    ] {
        assert_eq!(read(text), read_as, "{text}");
    }
    assert_eq!(read(r#"{"\udfff": 1}"#), json!({ "\u{fffd}": 1 }));
}

#[test]
fn lists_may_nest_as_deep_as_is_said_and_no_deeper() {
    let deepest = read(&nested(MOST_LEVELS));
    assert_eq!(deepest.to_string(), nested(MOST_LEVELS));
    assert_eq!(
        refused(nested(MOST_LEVELS + 1)),
        "1:513 nested more than 512 levels deep"
    );
    assert_eq!(
        refused("{\"a\":".repeat(1_000_000)),
        "1:2561 nested more than 512 levels deep"
    );
    // Side by side is not nested, and a bracket in a string is text.
    read(&format!("[{}[]]", "[],{},".repeat(1000)));
    read(&format!("[\"{}\"]", "[{".repeat(1000)));
}

#[test]
fn numbers_keep_every_digit_however_large() {
    for text in [
        "1e+999",
        "-0",
        "0.10",
        "123456789012345678901234567890",
        "-1.5e-7",
    ] {
        assert_eq!(read(text).to_string(), text);
    }
    assert!(read("1e999").is_number());
    assert_eq!(read("[2, -3, 0.5]"), json!([2, -3, 0.5]));
}

#[test]
fn a_key_that_serde_json_uses_for_itself_is_a_key() {
    for value in [json!("12"), json!("no number"), json!([])] {
        let value = json!({ "$serde_json::private::Number": value });
        assert_eq!(read(&value.to_string()), value);
    }
}

#[test]
fn what_is_no_utf8_is_read_as_the_replacement_character_and_moves_no_place() {
    let value = parse(b"{\"a\": \"x\xff\xc3y\"}").unwrap();
    assert_eq!(value, json!({ "a": "x\u{fffd}\u{fffd}y" }));
    assert_eq!(refused(b"[\n\"\xff\xff\", \xff]"), "2:7 expected value");
    assert_eq!(refused("[\"äöü\", x]"), "1:9 expected value");
}

#[test]
fn what_javascript_trims_may_stand_around_the_value() {
    assert_eq!(read("\u{feff} \u{a0}\n{} \u{feff}\n"), json!({}));
    assert_eq!(refused("{\u{a0}}"), "1:2 key must be a string");
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, problem) in [
        ("", "1:1 EOF while parsing a value"),
        ("{", "1:1 EOF while parsing an object"),
        ("{\"a\"", "1:4 EOF while parsing an object"),
        ("[1,\n", "2:1 EOF while parsing a list"),
        ("\"ab", "1:3 EOF while parsing a string"),
        ("\"ab\\", "1:4 EOF while parsing a string"),
        ("tru", "1:3 EOF while parsing a value"),
        ("-", "1:1 EOF while parsing a value"),
        ("{\"a\": }", "1:7 expected value"),
        ("nul1", "1:4 expected value"),
        ("{\"a\": 1,}", "1:9 trailing comma"),
        ("[1,]", "1:4 trailing comma"),
        ("{a: 1}", "1:2 key must be a string"),
        ("{\"a\" 1}", "1:6 expected `:`"),
        ("{\"a\": 1 \"b\"}", "1:9 expected `,` or `}`"),
        ("[1 2]", "1:4 expected `,` or `]`"),
        ("{}\n{}", "2:1 trailing characters"),
        ("01", "1:2 trailing characters"),
        ("[1.]", "1:4 invalid number"),
        ("[+1]", "1:2 expected value"),
        ("[1e+]", "1:5 invalid number"),
        ("\"\\x\"", "1:3 invalid escape"),
        ("\"\\u+123\"", "1:3 invalid escape"),
        ("\"\\u12ä4\"", "1:3 invalid escape"),
        (
            "\"\t\"",
            "1:2 control character (\\u0000-\\u001F) found while parsing a string",
        ),
    ] {
        assert_eq!(refused(text), problem, "{text}");
    }
}

/// Everything a few characters can spell, which is where readers differ.
#[test]
fn it_reads_what_serde_json_reads_and_refuses_what_serde_json_refuses() {
    const PIECES: [&str; 17] = [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u00e9", "a", "1", "0", "-", ".", "e", " ", "true",
    ];
    let mut texts = vec![String::new()];
    let mut read = 0;
    for _ in 0..4 {
        texts = texts
            .iter()
            .flat_map(|text| PIECES.map(|piece| format!("{text}{piece}")))
            // What begins wrong stays wrong, and there would be millions.
            .filter(|text| serde_json::from_str::<Value>(text).map_or_else(|err| err.is_eof(), |_| true))
            .collect();
        for text in texts
            .iter()
            .flat_map(|text| PIECES.map(|piece| format!("{text}{piece}")))
        {
            let theirs = serde_json::from_str::<Value>(&text).ok();
            assert_eq!(parse(text.as_bytes()).ok(), theirs, "{text}");
            read += usize::from(theirs.is_some());
        }
    }
    assert!(read > 100, "only {read} texts were JSON at all");
}
