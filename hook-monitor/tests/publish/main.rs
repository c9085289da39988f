//! What is published, by value, read back by a strict reader of the text format. Each fault that exporters and their
//! users are known for has a test here.

mod names;
#[path = "../scrape/mod.rs"]
mod scrape;
mod sources;
mod support;
mod values;
