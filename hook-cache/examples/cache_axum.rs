//! A server whose slow answers are computed once and then served from memory.
//!
//! ```text
//! cargo run -p hook-cache --example cache_axum    # or: ... --example cache_axum 127.0.0.1:8080
//!
//! curl -i 127.0.0.1:3000/report/2024                # takes a second, the first time
//! curl -i 127.0.0.1:3000/report/2024                # served from memory for half a minute
//! curl -i 127.0.0.1:3000/report/2024?tax=yes        # another query, another answer
//! curl -i -H 'authorization: me' 127.0.0.1:3000/report/2024   # passes by the cache
//! for i in 1 2 3 4; do curl -s 127.0.0.1:3000/report/2025 & done; wait   # one computation
//! curl -s 127.0.0.1:3000/stats
//! curl -s -X POST '127.0.0.1:3000/invalidate?path=/report/2024'
//! curl -s -X POST 127.0.0.1:3000/invalidate         # everything
//! ```

use std::{convert::Infallible, fmt::Write, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hook_cache::{CacheHandle, CacheLayer};
use hook_monitor::{Gather, HistogramSnapshot, Label, Source};
use tower::{ServiceBuilder, service_fn};

/// What is cached. axum's own response can't be: its body is a stream, read once.
#[derive(Clone)]
struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        (
            self.status,
            [(header::CONTENT_TYPE, self.content_type)],
            self.body,
        )
            .into_response()
    }
}

/// Only what is the same for everybody has a key, and all it depends on is in the key.
fn key(req: &Request) -> Option<String> {
    let open = req.method() == Method::GET && !req.headers().contains_key(header::AUTHORIZATION);
    open.then(|| format!("{} {}", req.method(), req.uri()))
}

/// The slow service behind the cache. Its reply can be cloned.
async fn report(req: Request) -> Result<Reply, Infallible> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let year = req
        .uri()
        .path()
        .rsplit('/')
        .next()
        .and_then(|year| year.parse::<u16>().ok());
    let (status, body) = match year {
        Some(year) => {
            let query = req.uri().query().unwrap_or_default();
            (
                StatusCode::OK,
                format!("{{\"year\":{year},\"query\":{query:?}}}\n"),
            )
        }
        None => (StatusCode::NOT_FOUND, "{\"error\":\"no such year\"}\n".to_owned()),
    };
    Ok(Reply {
        status,
        content_type: "application/json",
        body: body.into(),
    })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:3000".to_owned());

    let cache = CacheLayer::keyed_by(key)
        .ttl(Duration::from_secs(30))
        .capacity(10_000)
        .store_if_key(|_, reply: &Reply| reply.status.is_success())
        .name("reports");
    let handle = cache.handle();
    let reports = ServiceBuilder::new()
        .map_response(Reply::into_response)
        .layer(cache)
        .service(service_fn(report));

    let app = Router::new()
        .route_service("/report/{year}", reports)
        .route("/stats", get(stats))
        .route("/invalidate", post(invalidate))
        .with_state(handle);

    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            // Without a signal to wait for there is nothing graceful to do.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await
}

/// Every figure, a line each, in the way of Prometheus.
async fn stats(State(handle): State<CacheHandle<String, Reply>>) -> String {
    struct Lines(String);

    impl Lines {
        fn line(&mut self, name: &str, labels: &[Label], value: impl std::fmt::Display) {
            let labels: Vec<_> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value:?}"))
                .collect();
            // Writing into a string does not fail.
            let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
        }
    }

    impl Gather for Lines {
        fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
            self.line(name, labels, value);
        }

        fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
            self.line(name, labels, value);
        }

        fn histogram(&mut self, name: &'static str, labels: &[Label], value: &HistogramSnapshot) {
            self.line(&format!("{name}_count"), labels, value.count());
            self.line(&format!("{name}_sum"), labels, value.sum().as_secs_f64());
        }
    }

    let mut lines = Lines(String::new());
    handle.read(&mut lines);
    lines.0
}

/// Forgets one path with all its queries, or everything.
async fn invalidate(State(handle): State<CacheHandle<String, Reply>>, uri: Uri) -> String {
    let Some(path) = uri.query().and_then(|query| query.strip_prefix("path=")) else {
        handle.invalidate_all();
        return "forgot everything\n".to_owned();
    };
    let wanted = format!("GET {path}");
    let forgotten = handle.invalidate_if(|key, _| key.split('?').next() == Some(wanted.as_str()));
    format!("forgot {forgotten}\n")
}
