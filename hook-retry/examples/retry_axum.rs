//! A shop front that hides a flaky warehouse: retries around a backend client, and around a route.
//!
//! ```console
//! $ cargo run -p hook-retry --example retry_axum    # or: ... --example retry_axum 127.0.0.1:4000
//! $ curl -i http://127.0.0.1:3000/stock/lamp          # two of three warehouse calls fail; you do not see it
//! $ curl -i http://127.0.0.1:3000/stock/unicorn       # 404: a mistake of the caller, not retried
//! $ curl -i http://127.0.0.1:3000/report              # a flaky route, retried as a whole
//! $ curl -i -X POST http://127.0.0.1:3000/report      # a POST goes through once: 503 two times of three
//! $ curl http://127.0.0.1:3000/figures
//! ```
//!
//! The better place is the first: around the *client* of what fails, held in the state of the router. A
//! layer around a route runs the whole handler again, and a request whose body was read cannot be sent
//! twice; `clone_with` says which can.

use std::{
    convert::Infallible,
    env, fmt,
    future::{Ready, ready},
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{Path, State},
    http::{Method, Request, Response, StatusCode},
    routing::get,
};
use hook_retry::{Exponential, Retry, RetryHandle, RetryIf, RetryLayer, RetryPolicy};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceExt};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, shop())
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await
}

fn shop() -> Router {
    // Around a backend client. Requests are plain values, so `Clone` is all it takes.
    let retry = RetryLayer::new(
        RetryPolicy::new()
            .backoff(Exponential::from_millis(20))
            .max_elapsed(Duration::from_secs(2))
            .retry_if(worth_another_try as fn(Result<&u32, &WarehouseError>) -> bool),
    )
    .name("warehouse");
    let mut figures = vec![retry.handle()];
    let warehouse = retry.layer(Warehouse::default());

    // Around a route. `Request<Body>` is not `Clone`: only a GET without a body is sent twice.
    let report = RetryLayer::new(
        RetryPolicy::new()
            .backoff(Exponential::from_millis(20))
            .retry_if(|result: Result<&Response<Body>, &Infallible>| {
                result.is_ok_and(|res| res.status() == StatusCode::SERVICE_UNAVAILABLE)
            })
            .clone_with(bodyless_get),
    )
    .name("report");
    figures.push(report.handle());

    let tries = Arc::new(AtomicU32::new(0));
    let flaky_report = move || async move {
        match tries.fetch_add(1, Relaxed) % 3 {
            2 => (StatusCode::OK, "all lamps accounted for\n"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "counting lamps\n"),
        }
    };
    Router::new()
        .route("/report", get(flaky_report.clone()).post(flaky_report))
        .layer(report)
        .route("/stock/{item}", get(stock))
        .route("/figures", get(async move || show(&figures)))
        .with_state(warehouse)
}

type Client = Retry<Warehouse, Exponential, RetryIf<fn(Result<&u32, &WarehouseError>) -> bool>>;

async fn stock(State(warehouse): State<Client>, Path(item): Path<String>) -> (StatusCode, String) {
    match warehouse.oneshot(item).await {
        Ok(count) => (StatusCode::OK, format!("{count} in stock\n")),
        Err(WarehouseError::Unknown) => (StatusCode::NOT_FOUND, "no such item\n".to_owned()),
        Err(err @ WarehouseError::Busy) => (StatusCode::BAD_GATEWAY, format!("{err}\n")),
    }
}

fn worth_another_try(result: Result<&u32, &WarehouseError>) -> bool {
    matches!(result, Err(WarehouseError::Busy))
}

fn bodyless_get(req: &Request<Body>) -> Option<Request<Body>> {
    if req.method() != Method::GET || !req.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = req.method().clone();
    *copy.uri_mut() = req.uri().clone();
    *copy.version_mut() = req.version();
    *copy.headers_mut() = req.headers().clone();
    *copy.extensions_mut() = req.extensions().clone();
    Some(copy)
}

fn show(figures: &[RetryHandle]) -> String {
    figures.iter().map(|handle| format!("{handle:#?}\n")).collect()
}

/// A backend that is busy two times out of three.
#[derive(Clone, Default)]
struct Warehouse {
    calls: Arc<AtomicU32>,
}

#[derive(Debug)]
enum WarehouseError {
    Busy,
    Unknown,
}

impl Service<String> for Warehouse {
    type Response = u32;
    type Error = WarehouseError;
    type Future = Ready<Result<u32, WarehouseError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), WarehouseError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, item: String) -> Self::Future {
        ready(match item.as_str() {
            "unicorn" => Err(WarehouseError::Unknown),
            _ if self.calls.fetch_add(1, Relaxed) % 3 < 2 => Err(WarehouseError::Busy),
            item => Ok(item.len() as u32),
        })
    }
}

impl fmt::Display for WarehouseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "warehouse busy",
            Self::Unknown => "item unknown",
        })
    }
}
