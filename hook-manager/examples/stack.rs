//! A web server over a backend that is reached through all five layers, and a page of their figures for Prometheus.
//!
//! ```text
//! cargo run -p hook-manager --example stack             # or another address: -- 127.0.0.1:8080
//!
//! curl -i localhost:3000/upper/hello                    # HELLO, over a pooled connection
//! curl -i localhost:3000/upper/hello                    # from the cache
//! curl -i localhost:3000/upper/fail                     # three attempts, then 502; six of them open the circuit
//! curl -i localhost:3000/health                         # healthy, degraded (200) or unhealthy (503)
//! curl -i localhost:3000/readyz                         # whether to send calls here; /livez: whether it runs at all
//! curl -s localhost:3000/metrics                        # everything, in Prometheus' text format
//! curl -s localhost:3000/advice                         # what one would change
//! ```
//!
//! The backend is a line server started in the same program: it answers each line in capitals, and hangs up on `fail`.

use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use hook_breaker::CircuitBreakerLayer;
use hook_cache::CacheLayer;
use hook_monitor::{
    Advisor, Monitor, MonitorLayer, Rejected,
    anomaly::{AnomalyTask, AnomalyWatch},
    health::{Check, Endpoints, Health, router},
    prometheus::Exporter,
    resources::Resources,
};
use hook_pool::PoolLayer;
use hook_retry::{RetryLayer, RetryPolicy};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};
use tower::{
    BoxError, ServiceBuilder, ServiceExt,
    util::{BoxCloneSyncService, service_fn},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let app = app().await?;
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

type Client = BoxCloneSyncService<String, String, BoxError>;

#[derive(Clone)]
struct App {
    client: Client,
    monitor: Monitor,
    /// Looks for anomalies as long as there is this.
    _looking: Arc<AnomalyTask>,
}

/// The whole program but for the port it listens on.
pub(crate) async fn app() -> Result<Router, Box<dyn Error>> {
    let backend = TcpListener::bind("127.0.0.1:0").await?;
    let address = backend.local_addr()?;
    tokio::spawn(serve(backend));

    // From the outside in. What is not stored is what failed; the pool's connections are lent for one line each.
    let calls = MonitorLayer::new("backend");
    let cache = CacheLayer::keyed_by(|word: &String| Some(word.clone())).name("backend");
    let retry = RetryLayer::new(RetryPolicy::new().retries(2)).name("backend");
    let breaker = CircuitBreakerLayer::new()
        .name("backend")
        .consecutive_failures(6)
        // Longer than a retry is willing to wait for a refusal to be over (5 s), so that those come back at once.
        .open_for(Duration::from_secs(10));
    let pool = PoolLayer::new(4)
        .name("backend")
        .keyed_by(move |_: &String| address)
        .keep_if(|result: Result<&String, &io::Error>| result.is_ok())
        .wait_timeout(Duration::from_secs(1))
        .connect_timeout(Duration::from_secs(1));

    // Learns how long calls usually take, and how many fail.
    let anomalies = AnomalyWatch::new();
    anomalies.watch(calls.handle());

    // Without the backend there is no service. A circuit that is open, or a pool that is full, is no reason to restart it.
    let health = Health::new();
    let asked = move || async move { TcpStream::connect(address).await.map(drop) };
    health.add("backend", Check::new(asked).interval(Duration::from_secs(1)))?;
    health.add("circuit", Check::source(breaker.handle()))?;
    health.add("pool", Check::source(pool.handle()))?;

    let monitor = Monitor::new();
    monitor
        .register(calls.handle())?
        .register(cache.handle())?
        .register(retry.handle())?
        .register(breaker.handle())?
        .register(pool.handle())?
        .register(anomalies.clone())?
        .register(health.clone())?
        .register(Resources::start()?)?;

    let client = ServiceBuilder::new()
        .layer(calls)
        .layer(cache)
        .layer(retry)
        .layer(breaker)
        .layer(pool)
        .service(service_fn(connect));

    let exporter = Exporter::new(&monitor);
    let endpoints = Endpoints::new(health.clone()).metrics(move || exporter.render());
    health.mark_started();
    let app = App {
        client: Client::new(client),
        monitor,
        _looking: Arc::new(anomalies.spawn(Duration::from_secs(1))),
    };
    Ok(Router::new()
        .route("/upper/{word}", get(upper))
        .route("/advice", get(advice))
        .with_state(app)
        .merge(router(endpoints)))
}

async fn upper(State(app): State<App>, Path(word): Path<String>) -> Result<String, (StatusCode, String)> {
    app.client.oneshot(word).await.map_err(|err| {
        let status = match Rejected::find(&*err) {
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            None => StatusCode::BAD_GATEWAY,
        };
        (status, format!("{err}\n"))
    })
}

async fn advice(State(app): State<App>) -> String {
    let found = Advisor::default().advise(&app.monitor.snapshot());
    found.iter().map(|advice| format!("{advice}\n")).collect()
}

// ===== the backend =====

/// Opens a connection, which is a service: a line there, a line back.
async fn connect(
    address: SocketAddr,
) -> io::Result<impl tower::Service<String, Response = String, Error = io::Error, Future: Send> + Send> {
    let stream = BufStream::new(TcpStream::connect(address).await?);
    // One line at a time, as the pool lends it to one caller at a time.
    let stream = Arc::new(Mutex::new(stream));
    Ok(service_fn(move |line: String| {
        exchange(Arc::clone(&stream), line)
    }))
}

async fn exchange(stream: Arc<Mutex<BufStream<TcpStream>>>, line: String) -> io::Result<String> {
    let mut stream = stream.lock().await;
    stream.write_all(format!("{line}\n").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    match stream.read_line(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer.trim_end().to_owned()),
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = BufStream::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|n| n > 0) && line != "fail\n" {
                let answer = line.to_uppercase();
                if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
}
