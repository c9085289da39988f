//! A server whose calls are counted, and a page that tells the figures in Prometheus' text format.
//!
//! ```text
//! cargo run -p hook-monitor --example monitor_axum [127.0.0.1:3000]
//!
//! curl -s localhost:3000/hello/Ada
//! curl -s localhost:3000/slow                  # half a second, to be seen in the histogram
//! curl -s localhost:3000/slow --max-time 0.1   # a client that goes away: `cancelled`
//! curl -s localhost:3000/broken                # 502: `error`
//! curl -s localhost:3000/nothing/here          # 404: `ignored`
//! curl -s localhost:3000/panics                # `panicked`
//! curl -s localhost:3000/stats                 # all of it; not counted itself
//! ```

use std::{collections::BTreeMap, convert::Infallible, error::Error, fmt::Write, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hook_monitor::{Gather, HistogramSnapshot, Label, MonitorLayer, Outcome, Source};
use tokio::{net::TcpListener, time::sleep};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    // One over all, and one for a route of special interest. Every layer counts in its own place.
    let all = MonitorLayer::new("http").classify_with(by_status);
    let slow = MonitorLayer::new("slow").classify_with(by_status);
    let sources: Arc<[Box<dyn Source>]> = Arc::new([Box::new(all.handle()), Box::new(slow.handle())]);

    let router = Router::new()
        .route("/slow", get(dawdle).layer(slow))
        .route("/hello/{name}", get(greet))
        .route(
            "/broken",
            get(|| async { (StatusCode::BAD_GATEWAY, "nobody there\n") }),
        )
        .route("/panics", get(fall_over))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .layer(all)
        // Added after the layer, so its own calls are not counted.
        .route("/stats", get(stats).with_state(sources));

    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(interrupted())
        .await?;
    Ok(())
}

/// An answer is no proof of success: in HTTP the failures are in it. A client's own mistakes say nothing
/// about this server.
fn by_status(result: Result<&Response, &Infallible>, _took: Duration) -> Outcome {
    match result {
        Ok(response) if response.status().is_server_error() => Outcome::Failure,
        Ok(response) if response.status().is_client_error() => Outcome::Ignored,
        Ok(_) => Outcome::Success,
        Err(never) => match *never {},
    }
}

async fn greet(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

async fn dawdle() -> &'static str {
    sleep(Duration::from_millis(500)).await;
    "here at last\n"
}

async fn fall_over() -> &'static str {
    panic!("as asked")
}

async fn stats(State(sources): State<Arc<[Box<dyn Source>]>>) -> impl IntoResponse {
    let mut page = Page::default();
    for source in &*sources {
        page.add(&**source);
    }
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        page.to_string(),
    )
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // No signals here; serve until killed.
        std::future::pending::<()>().await;
    }
}

// ===== Prometheus' text format =====

/// Samples by metric: the format wants all samples of one metric together, whichever source they are of.
#[derive(Default)]
struct Page {
    metrics: BTreeMap<&'static str, Metric>,
    /// `layer="..",name=".."` of the source that is being read.
    source: String,
}

struct Metric {
    kind: &'static str,
    samples: String,
}

impl Page {
    fn add(&mut self, source: &dyn Source) {
        self.source = format!(r#"layer="{}",name="{}""#, source.layer(), Escaped(source.name()));
        source.read(self);
    }

    fn metric(&mut self, name: &'static str, kind: &'static str) -> &mut String {
        let samples = String::new();
        &mut self
            .metrics
            .entry(name)
            .or_insert(Metric { kind, samples })
            .samples
    }

    fn labels(&self, labels: &[Label]) -> String {
        let own = labels
            .iter()
            .map(|(label, value)| format!(r#",{label}="{}""#, Escaped(value)));
        self.source.clone() + &own.collect::<String>()
    }
}

impl Gather for Page {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        let labels = self.labels(labels);
        line(self.metric(name, "counter"), name, "", &labels, value);
    }

    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        let labels = self.labels(labels);
        line(self.metric(name, "gauge"), name, "", &labels, value);
    }

    fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
        let labels = self.labels(labels);
        let samples = self.metric(name, "histogram");
        for edge in EDGES {
            let limit = Duration::from_secs_f64(edge);
            // Our buckets are finer but have other edges: what may be above the limit counts as above.
            let within: u64 = value
                .buckets()
                .take_while(|(upper, _)| *upper <= limit)
                .map(|(_, count)| count)
                .sum();
            line(
                samples,
                name,
                "_bucket",
                &format!(r#"{labels},le="{edge}""#),
                within,
            );
        }
        line(
            samples,
            name,
            "_bucket",
            &format!(r#"{labels},le="+Inf""#),
            value.count(),
        );
        line(samples, name, "_sum", &labels, value.sum().as_secs_f64());
        line(samples, name, "_count", &labels, value.count());
    }
}

/// Bucket limits in seconds. The same in each scrape, or Prometheus could not subtract one from the next.
const EDGES: [f64; 14] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

fn line(samples: &mut String, name: &str, suffix: &str, labels: &str, value: impl std::fmt::Display) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(samples, "{name}{suffix}{{{labels}}} {value}");
}

fn help(name: &str) -> &'static str {
    match name {
        "hook_calls_total" => "Calls that ended, by how they ended.",
        "hook_calls_in_flight" => "Calls that began and have not ended.",
        "hook_call_duration_seconds" => "How long the calls took that succeeded or failed.",
        _ => "A figure of a layer.",
    }
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, Metric { kind, samples }) in &self.metrics {
            write!(f, "# HELP {name} {}\n# TYPE {name} {kind}\n{samples}", help(name))?;
        }
        Ok(())
    }
}

/// A label value as the format wants it. The name of a monitor may hold anything.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str(r"\\")?,
                '"' => f.write_str(r#"\""#)?,
                '\n' => f.write_str(r"\n")?,
                _ => f.write_char(char)?,
            }
        }
        Ok(())
    }
}
