//! Real sockets: ten thousand requests over loopback while the server drops, delays and resets connections.

mod support;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use hook_pool::{ConnectionPool, GetError, Pooled};
use support::Random;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower::service_fn;

const REQUESTS: usize = 10_000;
const MAX: usize = 8;

type Stream = BufStream<TcpStream>;

#[derive(Default)]
struct Server {
    open: AtomicUsize,
    /// By what it did: answered, hung up before or in the middle of an answer, reset, delayed.
    did: [AtomicUsize; 5],
}

impl Server {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        for seed in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let server = self.clone();
            server.open.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                // Whatever goes wrong is what is tested.
                let _ended = server.talk(stream, Random(seed)).await;
                server.open.fetch_sub(1, SeqCst);
            });
        }
    }

    async fn talk(&self, stream: TcpStream, mut random: Random) -> io::Result<()> {
        let mut stream = BufStream::new(stream);
        let mut line = String::new();
        loop {
            let kind = match random.below(100) {
                0 | 1 => 1,
                2 => 2,
                3 => 3,
                4..=6 => 4,
                _ => 0,
            };
            // With something left to be read, closing is a reset.
            stream.get_ref().readable().await?;
            if kind != 3 && stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let answer = line.to_uppercase();
            self.did[kind].fetch_add(1, SeqCst);
            match kind {
                1 | 3 => return Ok(()),
                2 => {
                    stream.write_all(&answer.as_bytes()[..2]).await?;
                    return stream.flush().await;
                }
                4 => tokio::time::sleep(Duration::from_millis(3)).await,
                _ => {}
            }
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            line.clear();
        }
    }
}

/// One line there and one back. Unless it goes through, dropped or not, the connection is thrown away.
struct Exchange<'a> {
    stream: &'a mut Pooled<Stream>,
    through: bool,
}

impl Exchange<'_> {
    async fn line(mut self, line: &str) -> io::Result<String> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await?;
        self.stream.flush().await?;
        let mut answer = String::new();
        if self.stream.read_line(&mut answer).await? == 0 || !answer.ends_with('\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.pop();
        self.through = true;
        Ok(answer)
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.through {
            self.stream.mark_broken();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_survive_a_server_that_drops_delays_and_resets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Server::default());
    let serving = tokio::spawn(server.clone().serve(listener));
    let connector = service_fn(|address: SocketAddr| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(BufStream::new(stream))
    });
    let pool = ConnectionPool::new(connector, MAX).max_waiting(REQUESTS);

    let (again, given_up) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let answered = stream::iter(0..REQUESTS)
        .map(|n| {
            let pool = &pool;
            async move {
                let line = format!("request {n}");
                for attempt in 0.. {
                    assert!(attempt < 50, "request {n} is lost");
                    let mut stream = match pool.get(&address).await {
                        Ok(stream) => stream,
                        Err(GetError::Connect(_)) => continue,
                        Err(err) => panic!("{err:?}"),
                    };
                    // Every fiftieth caller has hardly any patience, and drops what it has begun.
                    let patience =
                        Duration::from_millis(if n % 50 == 0 && attempt == 0 { 1 } else { 10_000 });
                    let exchange = Exchange {
                        stream: &mut stream,
                        through: false,
                    };
                    match timeout(patience, exchange.line(&line)).await {
                        Ok(Ok(answer)) => {
                            assert_eq!(answer, format!("REQUEST {n}"), "somebody else's answer");
                            return 1;
                        }
                        Ok(Err(_)) => again.fetch_add(1, SeqCst),
                        Err(_) => given_up.fetch_add(1, SeqCst),
                    };
                }
                0
            }
        })
        .buffer_unordered(40)
        .fold(0, |sum, one| async move { sum + one })
        .await;

    assert_eq!(answered, REQUESTS);
    let stats = pool.handle().stats();
    let failed = (again.load(SeqCst) + given_up.load(SeqCst)) as u64;
    assert_eq!((stats.active, stats.connecting, stats.waiting), (0, 0, 0));
    assert_eq!(stats.closed.broken, failed);
    assert_eq!(stats.created, stats.total as u64 + stats.closed.total());
    assert!(stats.total <= MAX);
    for (kind, did) in server.did.iter().enumerate() {
        assert!(did.load(SeqCst) > 20, "the server was to do more of {kind}");
    }
    // In the end nothing is open any more, at either end.
    let report = pool.drain(Duration::from_secs(10)).await;
    assert_eq!(report.forced, 0);
    timeout(Duration::from_secs(10), async {
        while server.open.load(SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the server's end closes too");
    serving.abort();
}
