//! What a health endpoint costs: a reading of the snapshot, and `/health` with 1,000 requests in flight.
//!
//! The harness of `monitor.health`: an axum server on a runtime of two workers, and in the same process a client on a thread
//! of its own with 1,000 connections that are kept alive. Each sends its next request when it has its answer, so there are
//! always 1,000 in flight, and the client competes with the server for the same cores. Such a loop is closed: the median is
//! 1,000 times what one request costs client, kernel and server together, whatever the endpoint does (Little's law). So
//! two more figures stand beside it: the same load on a route that answers two bytes, and the p99 of what the server itself
//! takes, from the request it has read to the answer it has at hand.

use std::{hint::black_box, net::SocketAddr, time::Instant};

use axum::routing::get;
use benches::{Mode, Spread, claims::Suite};
use criterion::Criterion;
use hook_monitor::{
    MonitorHandle, MonitorLayer,
    health::{Check, Endpoints, Health, router},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{self, Runtime},
    sync::Barrier,
};

const CONNECTIONS: usize = 1_000;

/// An engine with ten checks that pass, each of which has run.
async fn ten_checks() -> Health {
    let health = Health::new();
    health.mark_started();
    for at in 0..10 {
        let check = Check::new(|| async {});
        health.add(format!("check-{at}"), check).expect("a valid check");
    }
    while !health.is_ready() {
        tokio::task::yield_now().await;
    }
    health
}

fn a_reading(c: &mut Criterion) {
    let runtime = two_workers();
    let health = runtime.block_on(ten_checks());
    let endpoints = Endpoints::new(health.clone());
    let request = axum::http::Request::get("/health").header("host", "localhost");
    let (request, ()) = request.body(()).expect("a request").into_parts();
    let mut group = c.benchmark_group("health/read");
    group.bench_function("Health::status", |b| b.iter(|| black_box(health.status())));
    group.bench_function("Health::report", |b| b.iter(|| black_box(health.report())));
    group.bench_function("Endpoints::answer, ten checks", |b| {
        b.iter(|| black_box(endpoints.answer(black_box(&request))));
    });
    group.finish();
}

fn two_workers() -> Runtime {
    runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The server: `/health`, watched by a monitor, and `/bare`.
fn serve(server: &Runtime) -> (SocketAddr, MonitorHandle) {
    server.block_on(async {
        let monitor = MonitorLayer::new("health");
        let handle = monitor.handle();
        let app = router(Endpoints::new(ten_checks().await))
            .layer(monitor)
            .route("/bare", get(|| async { "ok" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        (address, handle)
    })
}

/// `each` requests on each of the connections, and how long every one of them took, in milliseconds.
fn load(address: SocketAddr, path: &str, connections: usize, each: usize) -> Vec<f64> {
    let client = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let request: &'static str = request.leak();
    client.block_on(async {
        let all_connected = std::sync::Arc::new(Barrier::new(connections));
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let all_connected = all_connected.clone();
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.expect("a connection");
                    stream.set_nodelay(true).expect("no delay");
                    // The first answer tells how long each is.
                    let length = first(&mut stream, request).await;
                    let mut answer = vec![0; length];
                    all_connected.wait().await;
                    let mut took = Vec::with_capacity(each);
                    for _ in 0..each {
                        let began = Instant::now();
                        stream.write_all(request.as_bytes()).await.expect("sent");
                        stream.read_exact(&mut answer).await.expect("an answer");
                        took.push(began.elapsed().as_secs_f64() * 1e3);
                        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "all is well");
                    }
                    took
                })
            })
            .collect();
        let mut all = Vec::with_capacity(connections * each);
        for task in tasks {
            all.extend(task.await.expect("a client does not panic"));
        }
        all
    })
}

/// Asks once, and tells the length of head and body.
async fn first(stream: &mut TcpStream, request: &str) -> usize {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    loop {
        let n = stream.read_buf(&mut answer).await.expect("an answer");
        assert_ne!(n, 0, "the connection stays open");
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|n| n.parse().ok()).expect("a length");
            let length = head.len() + 4 + length;
            let rest = length - answer.len().min(length);
            stream.read_exact(&mut vec![0; rest]).await.expect("the rest");
            return length;
        }
    }
}

fn p99(mut took: Vec<f64>) -> f64 {
    took.sort_by(f64::total_cmp);
    took[(took.len() - 1) * 99 / 100]
}

fn under_load(suite: &mut Suite) {
    if !suite.wants("monitor.health") {
        return;
    }
    let mode = suite.mode();
    let (connections, rounds, each) = match mode {
        Mode::Smoke => (10, 1, 1),
        Mode::Quick => (CONNECTIONS, 3, 10),
        Mode::Full => (CONNECTIONS, 7, 40),
    };
    let server = two_workers();
    let (address, handle) = serve(&server);
    let (mut ours, mut bare, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(p99(load(address, "/health", connections, each)));
        bare.push(p99(load(address, "/bare", connections, each)));
        alone.push(p99(load(address, "/health", 1, 100 * each)));
    }
    let (ours, bare, alone) = (Spread::of(ours), Spread::of(bare), Spread::of(alone));
    let service = handle.snapshot().p99();
    let measured = format!(
        "client and server share the cores, closed loop; p99 {:.1} to {:.1} ms; a route of two bytes {:.1} ms; a single \
         connection {:.3} ms; the server's own p99 {:.1} us",
        ours.low,
        ours.high,
        bare.median,
        alone.median,
        service.as_secs_f64() * 1e6
    );
    suite.value("monitor.health", ours.median, measured);
    server.shutdown_background();
}

fn main() {
    let mut criterion = Mode::asked().criterion();
    a_reading(&mut criterion);
    criterion.final_summary();
    let mut suite = Suite::named("health");
    under_load(&mut suite);
    suite.finish();
}
