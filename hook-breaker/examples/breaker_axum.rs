//! A server whose upstream is flaky, with a circuit breaker before the routes that need it.
//!
//! ```text
//! cargo run -p hook-breaker --example breaker_axum    # 127.0.0.1:3000, or the address given
//!
//! curl -i localhost:3000/quote                        # 200: the upstream is well
//! curl -X POST localhost:3000/upstream/down           # now it is not
//! curl -i localhost:3000/quote                        # 502, three times; then
//! curl -i localhost:3000/stock                        # 503 with Retry-After: one circuit, both routes
//! curl -s localhost:3000/circuit                      # what the breaker knows
//! curl -X POST localhost:3000/upstream/up             # well again; 5 s later two probes close it, or
//! curl -X POST localhost:3000/circuit/reset           # you do
//! ```

use std::{
    convert::Infallible,
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hook_breaker::{CircuitBreaker, CircuitBreakerLayer, DroppedCall, Outcome, Rejected};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let upstream = Upstream::default();
    let breaker = CircuitBreakerLayer::new()
        .name("upstream")
        .open_for(Duration::from_secs(5))
        .probes(2)
        // Here it is a client who hangs up that drops a call, and that says nothing about the upstream.
        .dropped_call(DroppedCall::Neutral)
        .classify_with(server_errors_are_failures)
        .respond_with(unavailable);
    let circuit = breaker.handle();

    let guarded = Router::new()
        .route("/quote", get(ask))
        .route("/stock", get(ask))
        .layer(breaker)
        .with_state(upstream.clone());
    let operators = Router::new()
        .route("/circuit", get(show))
        .route("/circuit/reset", post(reset))
        .with_state(circuit);
    let switch = Router::new()
        .route("/upstream/up", post(up))
        .route("/upstream/down", post(down))
        .with_state(upstream);

    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, guarded.merge(operators).merge(switch))
        .with_graceful_shutdown(async {
            // Without a handler for Ctrl-C the process ends the hard way, which is no worse.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    Ok(())
}

fn server_errors_are_failures(result: Result<&Response, &Infallible>, _took: Duration) -> Outcome {
    match result {
        Ok(response) if response.status().is_server_error() => Outcome::Failure,
        // A client's own mistake says nothing about the upstream.
        Ok(response) if response.status().is_client_error() => Outcome::Ignored,
        _ => Outcome::Success,
    }
}

fn unavailable(rejected: Rejected) -> Response {
    // A second where nobody knows. With the feature `http`, `unavailable` does all of this.
    let seconds = rejected.retry_after_secs().unwrap_or(1);
    let headers = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, headers, format!("{rejected}\n")).into_response()
}

/// Stands for a service elsewhere.
#[derive(Clone, Default)]
struct Upstream {
    is_down: Arc<AtomicBool>,
}

async fn ask(State(upstream): State<Upstream>) -> Result<&'static str, (StatusCode, &'static str)> {
    match upstream.is_down.load(Relaxed) {
        false => Ok("here you are\n"),
        true => Err((StatusCode::BAD_GATEWAY, "upstream is down\n")),
    }
}

async fn up(State(upstream): State<Upstream>) {
    upstream.is_down.store(false, Relaxed);
}

async fn down(State(upstream): State<Upstream>) {
    upstream.is_down.store(true, Relaxed);
}

async fn show(State(circuit): State<CircuitBreaker>) -> String {
    format!("{:#?}\n", circuit.snapshot())
}

async fn reset(State(circuit): State<CircuitBreaker>) {
    circuit.reset();
}
