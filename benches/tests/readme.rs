//! The front page shows the table of a real run; whoever adds a claim or changes a target has to measure again.

#[test]
fn the_front_page_and_the_table_of_claims_have_the_same_shape() {
    let wrong = benches::readme::drift(include_str!("../../README.md"));
    assert!(
        wrong.is_empty(),
        "README.md has drifted from src/claims/targets.rs; run `cargo bench`, then `cargo run -p benches --bin readme -- \
         README.md`:\n{}",
        wrong.join("\n")
    );
}
