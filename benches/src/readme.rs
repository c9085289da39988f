//! The table of claims in the front page: a real run's, put there by a command and never by hand.

use serde_json::Value;

use crate::claims::{HEAD, TARGETS};

/// Where the table begins and ends in the front page.
pub const BEGIN: &str = "<!-- claims: begin -->";
/// See [`BEGIN`].
pub const END: &str = "<!-- claims: end -->";

/// The page with the table of these results instead of the one it has. `machine` is said above it.
///
/// # Errors
///
/// If the page has no place for it, or the results are none of `claims.json`; in words.
pub fn with_table(page: &str, results: &str, machine: &str) -> Result<String, String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .ok_or_else(|| format!("the page has no line {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or_else(|| format!("the page has no line {END}"))?;
    Ok(format!(
        "{before}{BEGIN}\n{machine}\n\n{}\n{END}{after}",
        table(results)?
    ))
}

fn table(results: &str) -> Result<String, String> {
    let rows: Vec<Value> = serde_json::from_str(results)
        .map_err(|err| format!("claims.json: expected a list of objects: {err}"))?;
    let mut table = HEAD.to_owned();
    for row in &rows {
        let word = |key: &str| {
            row[key]
                .as_str()
                .map(|text| text.replace('|', "\\|"))
                .ok_or_else(|| format!("claims.json: expected a text {key:?} in {row}"))
        };
        let verdict = match row["pass"].as_bool() {
            Some(true) => "PASS",
            Some(false) => "FAIL",
            None => {
                return Err(format!(
                    "claims.json: expected true or false for \"pass\" in {row}"
                ));
            }
        };
        let (figure, how) = match word("measured")?.split_once(": ") {
            Some((figure, how)) => (figure.to_owned(), how.to_owned()),
            None => ("-".to_owned(), word("measured")?),
        };
        table += &format!(
            "| `{}` | {} | {} | {figure} ({how}) | {} | {verdict} |\n",
            word("id")?,
            word("claim")?,
            word("target")?,
            word("peer")?
        );
    }
    Ok(table)
}

/// What is wrong with the table in a page, line by line: its head, its rows, their order, and what each promises.
pub fn drift(page: &str) -> Vec<String> {
    let Some((_, rest)) = page.split_once(BEGIN) else {
        return vec![format!("the page has no line {BEGIN}")];
    };
    let table = rest.split_once(END).map_or(rest, |(table, _)| table);
    let mut wrong = Vec::new();
    if !table.contains(HEAD) {
        wrong.push(format!("expected the table's head to be\n{HEAD}"));
    }
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    if rows.len() != TARGETS.len() {
        wrong.push(format!("expected {} rows, found {}", TARGETS.len(), rows.len()));
    }
    for (row, target) in rows.iter().zip(TARGETS) {
        let expected = [
            format!("`{}`", target.id),
            target.claim.to_owned(),
            target.to_string(),
        ];
        if row.len() != 6 || row[..3] != expected {
            wrong.push(format!(
                "expected a row of {expected:?} and three more, found {row:?}"
            ));
        } else if !row[5].contains("PASS") && !row[5].contains("FAIL") {
            wrong.push(format!(
                "{}: expected PASS or FAIL, found {:?}",
                target.id, row[5]
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> String {
        let rows: Vec<Value> = TARGETS
            .iter()
            .map(|target| {
                serde_json::json!({
                    "id": target.id, "claim": target.claim, "target": target.to_string(),
                    "measured": "1/2: 1 ns beside 2 ns", "ratio": 0.5, "peer": "a peer 1.0", "pass": true,
                })
            })
            .collect();
        Value::from(rows).to_string()
    }

    #[test]
    fn a_table_goes_where_the_old_one_was_and_has_not_drifted() {
        let page = format!("before\n{BEGIN}\nTHE LAST RUN\n{END}\nafter\n");
        let page = with_table(&page, &results(), "A machine.").expect("a place for it");
        assert!(
            page.starts_with("before\n") && page.ends_with("\nafter\n"),
            "{page}"
        );
        assert!(
            !page.contains("THE LAST RUN") && page.contains("A machine."),
            "{page}"
        );
        assert_eq!(drift(&page), Vec::<String>::new());
    }

    #[test]
    fn a_row_too_few_a_row_changed_and_a_page_without_a_table_are_found() {
        let page = format!("{BEGIN}\n{END}");
        let page = with_table(&page, &results(), "").expect("a place for it");
        let short: Vec<&str> = page
            .lines()
            .filter(|line| !line.contains(TARGETS[3].id))
            .collect();
        assert!(!drift(&short.join("\n")).is_empty());
        assert!(!drift(&page.replace("<= 1/40", "<= 1/4")).is_empty());
        assert!(!drift("nothing").is_empty());
        assert!(with_table("nothing", &results(), "").is_err());
        assert!(with_table(&page, "{}", "").is_err());
    }
}
