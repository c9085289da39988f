//! A client of a service that hangs for a while: timeouts trip the circuit, callers are answered at
//! once while it is open, and it closes by itself when the service is well again.
//!
//! ```text
//! cargo run -p hook-breaker --example breaker_client    # ends by itself after about three seconds
//! ```

use std::{io, net::SocketAddr, time::Duration};

use hook_breaker::{BoxError, CircuitBreakerLayer, Rejected};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let start = Instant::now();
    tokio::spawn(serve(listener, start));

    let breaker = CircuitBreakerLayer::new()
        .name("greeter")
        .open_for(Duration::from_millis(700))
        .probes(2);
    let circuit = breaker.handle();
    let mut client = ServiceBuilder::new()
        .layer(breaker)
        .timeout(Duration::from_millis(150))
        .service(service_fn(move |name: &'static str| greet(address, name)));

    while start.elapsed() < Duration::from_secs(3) {
        let asked = Instant::now();
        let answer = client.ready().await?.call("Ada").await;
        let took = asked.elapsed();
        let said = match answer {
            Ok(greeting) => greeting,
            Err(err) => match Rejected::find(&*err) {
                Some(rejected) => format!("refused: {rejected}"),
                None => format!("failed: {err}"),
            },
        };
        let at = start.elapsed();
        println!("{at:>8.1?}  {:<9} took {took:>8.1?}  {said}", circuit.state());
        sleep(Duration::from_millis(100)).await;
    }
    println!("{:#?}", circuit.snapshot());
    Ok(())
}

/// One request: a line there, a line back.
async fn greet(address: SocketAddr, name: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(name.as_bytes()).await?;
    stream.shutdown().await?;
    let mut greeting = String::new();
    stream.read_to_string(&mut greeting).await?;
    Ok(greeting)
}

/// A service that accepts and then says nothing, from 0.4 to 1.5 seconds after its start.
async fn serve(listener: TcpListener, start: Instant) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut name = String::new();
            stream.read_to_string(&mut name).await?;
            let hangs = Duration::from_millis(400)..Duration::from_millis(1_500);
            if hangs.contains(&start.elapsed()) {
                sleep(Duration::from_secs(60)).await;
            }
            stream.write_all(format!("hello, {name}").as_bytes()).await
        });
    }
}
