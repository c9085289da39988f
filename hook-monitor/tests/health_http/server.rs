//! The server of `/livez` on a thread of its own, over real sockets.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use axum::Router;
use hook_monitor::health::{Endpoints, Health, LiveServer, router};

use crate::support::{json, sickly};

/// One request over a connection of its own, with a deadline.
fn over_tcp(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[test]
fn a_blocked_runtime_says_so_from_a_thread_of_its_own() {
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let runtime = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let health = Health::new();
            let server =
                LiveServer::bind("127.0.0.1:0", health.runtime_lag(), Duration::from_secs(2)).unwrap();
            // The first beat.
            tokio::task::yield_now().await;
            tell.send(server.local_addr()).unwrap();
            // A busy task, as far as the runtime can see.
            let _ = released.recv_timeout(Duration::from_secs(60));
            // The runtime catches up.
            while !health.runtime_lag().lag().is_zero() {
                tokio::task::yield_now().await;
            }
            let well = tokio::task::spawn_blocking(move || over_tcp(server.local_addr(), LIVEZ));
            well.await.unwrap()
        })
    });
    let address = told.recv_timeout(Duration::from_secs(20)).unwrap();
    let start = Instant::now();
    let mut answer = over_tcp(address, LIVEZ);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    while answer.starts_with("HTTP/1.1 200") && start.elapsed() < Duration::from_secs(20) {
        std::thread::park_timeout(Duration::from_millis(50));
        answer = over_tcp(address, LIVEZ);
    }
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let lag = &json(body.as_bytes())["checks"]["runtime:lag"][0];
    assert!(lag["observedValue"].as_f64().unwrap() > 2.0, "{lag}");
    assert_eq!(
        (&lag["status"], &lag["observedUnit"]),
        (&"fail".into(), &"s".into())
    );
    release.send(()).unwrap();
    let well = runtime.join().unwrap();
    assert!(well.starts_with("HTTP/1.1 200 OK\r\n"), "{well}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_livez_server_answers_nothing_else_and_closes_when_dropped() {
    let health = Health::new();
    let server = LiveServer::bind("127.0.0.1:0", health.runtime_lag(), Duration::from_secs(60)).unwrap();
    let address = server.local_addr();
    let answers = tokio::task::spawn_blocking(move || {
        let requests = [
            "GET /livez?x HTTP/1.1\r\n\r\n",
            "HEAD /livez HTTP/1.0\r\n\r\n",
            "POST /livez HTTP/1.1\r\n\r\n",
            "GET /health HTTP/1.1\r\n\r\n",
        ];
        requests.map(|request| over_tcp(address, request))
    });
    let answers = answers.await.unwrap();
    for (answer, code) in answers.iter().zip(["200", "200", "405", "404"]) {
        assert_eq!(answer.split(' ').nth(1), Some(code), "{answer}");
    }
    assert!(
        answers[1].ends_with("\r\n\r\n"),
        "HEAD has no body: {}",
        answers[1]
    );
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_request_over_a_socket_has_the_length_and_no_body() {
    let app: Router = router(Endpoints::new(sickly().await));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let ask =
        |method: &str| format!("{method} /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let (get, head, post) = (ask("GET"), ask("HEAD"), ask("POST"));
    let answers = tokio::task::spawn_blocking(move || [get, head, post].map(|ask| over_tcp(address, &ask)));
    let [get, head, post] = answers.await.unwrap();
    let (fields, body) = get.split_once("\r\n\r\n").unwrap();
    let length = format!("content-length: {}", body.len());
    assert!(fields.contains(&length) && head.contains(&length), "{head}");
    assert!(head.ends_with("\r\n\r\n") && !body.is_empty(), "{head}");
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD\r\n"),
        "{post}"
    );
    server.abort();
}

/// Sixteen connections are served at a time; what is beyond is closed, and costs no thread.
#[tokio::test(flavor = "current_thread")]
async fn a_flood_of_silent_connections_is_over_when_they_are() {
    let health = Health::new();
    let server = LiveServer::bind("127.0.0.1:0", health.runtime_lag(), Duration::from_secs(60)).unwrap();
    let address = server.local_addr();
    tokio::task::spawn_blocking(move || {
        let flood: Vec<_> = (0..1_000)
            .filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok())
            .collect();
        assert!(flood.len() > 500, "{}", flood.len());
        #[cfg(target_os = "linux")]
        {
            let names = std::fs::read_dir("/proc/self/task")
                .unwrap()
                .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
            let serving = names.filter(|name| name.starts_with("hook-livez-call")).count();
            assert!(
                serving <= 16 + 16,
                "{serving} threads, those of other tests included"
            );
        }
        // Half open: they have sent a part of a request, and say nothing more.
        for mut stream in &flood {
            let _ = stream.write_all(b"GET /livez HT");
        }
        drop(flood);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut answer = String::new();
            let _ = TcpStream::connect(address).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                stream.write_all(LIVEZ.as_bytes())?;
                stream.read_to_string(&mut answer)
            });
            if answer.starts_with("HTTP/1.1 200 ") {
                break;
            }
            assert!(Instant::now() < deadline, "no answer after the flood: {answer}");
        }
    })
    .await
    .unwrap();
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn a_client_that_sends_a_byte_at_a_time_is_cut_off() {
    let health = Health::new();
    let server = LiveServer::bind("127.0.0.1:0", health.runtime_lag(), Duration::from_secs(60)).unwrap();
    let address = server.local_addr();
    tokio::task::spawn_blocking(move || {
        let (start, mut stream) = (Instant::now(), TcpStream::connect(address).unwrap());
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut end = [0];
        loop {
            let sent = stream.write_all(b"x");
            match stream.read(&mut end) {
                Err(err) if sent.is_ok() && matches!(err.kind(), std::io::ErrorKind::WouldBlock) => {}
                Ok(0) | Err(_) => break,
                Ok(_) => panic!("an answer to half a request"),
            }
            assert!(start.elapsed() < Duration::from_secs(30), "it is never cut off");
        }
        assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
        let long = format!("GET /livez HTTP/1.1\r\nx: {}", "y".repeat(20_000));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.write_all(long.as_bytes());
        assert!(
            matches!(stream.read(&mut end), Ok(0) | Err(_)),
            "no head of 20 kB"
        );
    })
    .await
    .unwrap();
}
