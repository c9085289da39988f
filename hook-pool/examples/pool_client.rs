//! A client of a line protocol over TCP: many requests at once, few connections.
//!
//! ```text
//! cargo run -p hook-pool --example pool_client    # 200 requests over at most 4 connections
//! cargo run -p hook-pool --example pool_client -- 1000 16
//! ```
//!
//! The server is started in the same program; it answers each line with the line in capitals after 2 ms,
//! and hangs up after 40 lines. The client sees that coming and does not use such a connection again.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};
use hook_pool::PoolLayer;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

const LINES_PER_CONNECTION: u32 = 40;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let requests = args.next().map_or(Ok(200), |arg| arg.parse::<usize>())?;
    let connections = args.next().map_or(Ok(4), |arg| arg.parse::<usize>())?.max(1);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(serve(listener));

    let layer = PoolLayer::new(connections)
        .name("lines")
        .keyed_by(move |_: &String| address)
        .keep_if(|result: Result<&Reply, &io::Error>| result.is_ok_and(|reply| !reply.last))
        .max_waiting(requests)
        .connect_timeout(Duration::from_secs(1));
    let handle = layer.handle();
    let client = ServiceBuilder::new().layer(layer).service(service_fn(connect));

    let start = Instant::now();
    let replies = join_all((0..requests).map(|n| client.clone().oneshot(format!("request {n}")))).await;
    let took = start.elapsed();

    let mut right = 0;
    for (n, reply) in replies.into_iter().enumerate() {
        match reply {
            Ok(reply) if reply.text == format!("REQUEST {n}") => right += 1,
            Ok(reply) => println!("request {n} got somebody else's answer: {}", reply.text),
            Err(err) => println!("request {n}: {err}"),
        }
    }
    let stats = handle.stats();
    println!("{right} of {requests} requests answered in {took:.1?}");
    println!(
        "{} connections made, {} hung up by the server, {} idle now, never more than {connections}",
        stats.created, stats.closed.broken, stats.available,
    );
    println!(
        "{} requests waited in line, {:.1?} on average, {:.1?} at most",
        stats.wait.count(),
        stats.wait.mean(),
        stats.wait.max(),
    );
    Ok(())
}

struct Reply {
    text: String,
    /// The server hangs up after this one.
    last: bool,
}

/// The connector.
async fn connect(address: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Connection {
        stream: Some(BufStream::new(stream)),
        back: None,
    })
}

/// A connection for one request at a time. While a call is under way, the stream is in its future, and
/// comes back with the answer: a call that was dropped leaves a connection that is never ready again,
/// which is why the pool throws it away.
struct Connection {
    stream: Option<BufStream<TcpStream>>,
    back: Option<tokio::sync::oneshot::Receiver<BufStream<TcpStream>>>,
}

impl Service<String> for Connection {
    type Response = Reply;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Reply>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(back) = &mut self.back {
            let stream = std::task::ready!(std::pin::Pin::new(back).poll(cx));
            self.stream = Some(stream.map_err(|_| io::ErrorKind::NotConnected)?);
            self.back = None;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, line: String) -> Self::Future {
        let (give_back, back) = tokio::sync::oneshot::channel();
        let stream = self.stream.take();
        self.back = Some(back);
        Box::pin(async move {
            let mut stream = stream.ok_or(io::ErrorKind::NotConnected)?;
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            stream.flush().await?;
            let mut reply = String::new();
            if stream.read_line(&mut reply).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Nobody takes it where the connection has been dropped meanwhile.
            drop(give_back.send(stream));
            let text = reply.trim_end();
            let last = text.ends_with(" bye");
            let text = text.trim_end_matches(" bye").to_owned();
            Ok(Reply { text, last })
        })
    }
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut stream = BufStream::new(stream);
            for served in 1..=LINES_PER_CONNECTION {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
                let bye = if served == LINES_PER_CONNECTION {
                    " bye"
                } else {
                    ""
                };
                let reply = format!("{}{bye}\n", line.trim_end().to_uppercase());
                stream.write_all(reply.as_bytes()).await?;
                stream.flush().await?;
            }
            io::Result::Ok(())
        });
    }
}
