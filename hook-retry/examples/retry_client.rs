//! A client that keeps at it: retries around a timeout per attempt around a TCP round trip.
//!
//! ```console
//! $ cargo run -p hook-retry --example retry_client
//! ```
//!
//! The server it talks to is in this program, on a free port of 127.0.0.1. It hangs up on one connection,
//! is silent on the next, answers the third and so on, and prints what it does.

use std::{io, net::SocketAddr, time::Duration};

use hook_retry::{Attempt, BoxError, Exponential, RetryLayer, RetryPolicy, Verdict};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let server = listener.local_addr()?;
    tokio::spawn(serve(listener));

    let policy = RetryPolicy::new()
        .retries(4)
        .backoff(Exponential::from_millis(50).equal_jitter())
        .max_elapsed(Duration::from_secs(5))
        .classify_with(|result: Result<&String, &BoxError>, attempt: &Attempt| {
            let verdict = match result {
                // Also where the answer is that we made a mistake: it would be the same again.
                Ok(_) => Verdict::Stop,
                // A refusal by a breaker or pool underneath would be waited for, if it said how long.
                Err(err) => Verdict::of(&**err),
            };
            println!(
                "    attempt {} after {:?}: {result:?} -> {verdict:?}",
                attempt.number, attempt.elapsed
            );
            verdict
        });
    let retry = RetryLayer::new(policy).name("greeter");
    let figures = retry.handle();

    let client = ServiceBuilder::new()
        .layer(retry)
        .timeout(Duration::from_millis(200))
        .service(service_fn(move |req: String| ask(server, req)));

    for name in ["Ada", "Grace", "", "Edsger"] {
        println!("asking for {name:?}");
        let start = Instant::now();
        match client.clone().oneshot(name.to_owned()).await {
            Ok(answer) => println!("  {answer:?} in {:?}", start.elapsed()),
            Err(err) => println!("  gave up after {:?}: {err}", start.elapsed()),
        }
    }

    let seen = figures.snapshot();
    println!(
        "{} calls, {} attempts, {:?} of back-off; {} succeeded at once, {} after a retry, {} failed",
        seen.calls(),
        seen.attempts(),
        seen.backoff,
        seen.successful_without_retry,
        seen.successful_with_retry,
        seen.failed(),
    );
    Ok(())
}

/// One round trip: a line there, a line back.
async fn ask(server: SocketAddr, name: String) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(answer.trim_end().to_owned()),
    }
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    for n in 1.. {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let mut name = String::new();
            stream.read_line(&mut name).await?;
            match n % 3 {
                1 => println!("      server hangs up on connection {n}"),
                2 => {
                    println!("      server is silent on connection {n}");
                    // Until the client has had enough.
                    stream.read_line(&mut name).await?;
                }
                _ if name.trim().is_empty() => stream.write_all(b"error: nobody to greet\n").await?,
                _ => stream.write_all(format!("hello {name}").as_bytes()).await?,
            }
            Ok::<_, io::Error>(())
        });
    }
    Ok(())
}
