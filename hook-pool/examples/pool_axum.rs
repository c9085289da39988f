//! A web server whose handlers share a pool of connections to a backend.
//!
//! ```text
//! cargo run -p hook-pool --example pool_axum    # or another address: -- 127.0.0.1:8080
//!
//! curl -i localhost:3000/upper/hello                    # HELLO, over a pooled connection
//! curl -i localhost:3000/upper/hello                    # the same connection, second use
//! seq 8 | xargs -P8 -I{} curl -s -o /dev/null -w '%{http_code}\n' localhost:3000/slow
//!                                                       # 2 connections, 2 in line: some get 503
//! curl -s localhost:3000/pool                           # the figures
//! ```
//!
//! The backend is a line server started in the same program: it answers each line in capitals, and takes
//! a second for `slow`. Ctrl-C ends the server and closes the pool.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use hook_pool::{ConnectionPool, GetError, Pooled, Reason};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
};
use tower::util::{BoxCloneSyncService, service_fn};

type Stream = BufStream<TcpStream>;
/// In a box, so that it has a name. It is cloned only when a connection is to be opened.
type Connector = BoxCloneSyncService<SocketAddr, Stream, io::Error>;

#[derive(Clone)]
struct App {
    pool: ConnectionPool<Connector, SocketAddr>,
    backend: SocketAddr,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let backend = TcpListener::bind("127.0.0.1:0").await?;
    let app = App {
        pool: ConnectionPool::new(Connector::new(service_fn(connect)), 2)
            .name("backend")
            .max_waiting(2)
            .wait_timeout(Duration::from_millis(1_500))
            .connect_timeout(Duration::from_secs(1)),
        backend: backend.local_addr()?,
    };
    tokio::spawn(serve(backend));

    let router = Router::new()
        .route("/upper/{word}", get(upper))
        .route(
            "/slow",
            get(|app: State<App>| upper(app, Path("slow".to_owned()))),
        )
        .route("/pool", get(figures))
        .with_state(app.clone());
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        () = interrupted() => {}
    }
    app.pool.close();
    println!("{:?}", app.pool.handle().stats().closed);
    Ok(())
}

async fn upper(State(app): State<App>, Path(word): Path<String>) -> Result<String, (StatusCode, String)> {
    let mut stream = app.pool.get(&app.backend).await.map_err(|err| match err {
        GetError::Connect(err) => (StatusCode::BAD_GATEWAY, format!("backend: {err}\n")),
        GetError::Rejected(rejected) => match rejected.reason() {
            Reason::ConnectTimeout { .. } => (StatusCode::GATEWAY_TIMEOUT, format!("backend: {rejected}\n")),
            _ => (StatusCode::SERVICE_UNAVAILABLE, format!("{rejected}\n")),
        },
        err => (StatusCode::SERVICE_UNAVAILABLE, format!("{err}\n")),
    })?;
    let uses = stream.uses();
    let mut exchange = Exchange::new(&mut stream);
    let reply = exchange.line(&word).await;
    let reply = reply.map_err(|err| (StatusCode::BAD_GATEWAY, format!("backend: {err}\n")))?;
    Ok(format!("{reply} (use {uses} of this connection)\n"))
}

async fn figures(State(app): State<App>) -> String {
    format!("{:#?}\n", app.pool.handle().stats())
}

/// One line there and one back. In between, the stream is of no use to anybody else: if this is dropped
/// then, on an error or because the client has hung up, the connection must not go back.
struct Exchange<'a> {
    stream: &'a mut Pooled<Stream>,
    through: bool,
}

impl<'a> Exchange<'a> {
    fn new(stream: &'a mut Pooled<Stream>) -> Self {
        Self {
            stream,
            through: false,
        }
    }

    async fn line(&mut self, line: &str) -> io::Result<String> {
        let mut reply = String::new();
        self.stream.write_all(format!("{line}\n").as_bytes()).await?;
        self.stream.flush().await?;
        if self.stream.read_line(&mut reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.through = true;
        Ok(reply.trim_end().to_owned())
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.through {
            self.stream.mark_broken();
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<Stream> {
    Ok(BufStream::new(TcpStream::connect(address).await?))
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = BufStream::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 0 {
                if line.trim_end() == "slow" {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                stream.write_all(line.to_uppercase().as_bytes()).await?;
                stream.flush().await?;
                line.clear();
            }
            io::Result::Ok(())
        });
    }
}

async fn interrupted() {
    // Without the signal there is nothing to wait for: serve on.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
