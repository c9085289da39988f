//! The endpoints of the health engine.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use axum::Router;
use bytes::Bytes;
use hook_monitor::health::{About, Check, Endpoints, Health, LiveServer, MAX_CHECKS, Verdict, router};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::{Instant as Virtual, advance, sleep};
use tower::ServiceExt;

const SECRET: &str = "connect to db.internal:5432 as admin: /etc/db.key is missing";

async fn ask(endpoints: &Endpoints, req: Request<()>) -> (StatusCode, HeaderMap, Bytes) {
    let answer = endpoints.clone().oneshot(req).await.unwrap();
    let (parts, body) = answer.into_parts();
    (
        parts.status,
        parts.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

async fn get(endpoints: &Endpoints, uri: &str) -> (StatusCode, HeaderMap, Bytes) {
    ask(
        endpoints,
        Request::get(uri)
            .header("host", "localhost:8080")
            .body(())
            .unwrap(),
    )
    .await
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// A required check that passes and an optional one that fails with a secret.
async fn sickly() -> Health {
    let health = Health::new();
    health.mark_started();
    health.add("db", Check::new(|| async {})).unwrap();
    let failing = || async { Err::<(), _>(SECRET) };
    health
        .add("cache", Check::new(failing).optional().component("datastore"))
        .unwrap();
    sleep(Duration::from_millis(1)).await;
    health
}

#[tokio::test(start_paused = true)]
async fn without_checks_a_process_lives_and_is_ready_once_started() {
    let health = Health::new();
    let endpoints = Endpoints::new(health.clone());
    assert_eq!(get(&endpoints, "/livez").await.0, 200);
    let (code, _, body) = get(&endpoints, "/readyz").await;
    assert_eq!((code.as_u16(), &body[..]), (503, &br#"{"status":"fail"}"#[..]));
    health.mark_started();
    let (code, _, body) = get(&endpoints, "/readyz").await;
    assert_eq!((code.as_u16(), &body[..]), (200, &br#"{"status":"pass"}"#[..]));
    health.begin_shutdown();
    assert_eq!(get(&endpoints, "/readyz").await.0, 503);
    assert_eq!(
        get(&endpoints, "/livez").await.0,
        200,
        "a process that drains is not to be killed"
    );
    assert_eq!(get(&endpoints, "/health").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn the_report_is_that_of_the_original_with_sorted_keys_and_no_details() {
    let endpoints = Endpoints::new(sickly().await);
    for path in ["/health", "/healthz"] {
        let (code, headers, body) = get(&endpoints, path).await;
        assert_eq!(code, 200, "degraded is no reason to take it away");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["cache-control"], "max-age=1");
        let text = std::str::from_utf8(&body).unwrap();
        let start = r#"{"checks":{"cache":{"status":"degraded"},"db":{"status":"healthy"}},"status":"degraded","timestamp":"2"#;
        assert!(text.starts_with(start), "{text}");
        for hidden in ["internal", "5432", "admin", "/etc", env!("CARGO_PKG_VERSION")] {
            let told = text.split("timestamp").next().unwrap();
            assert!(!told.contains(hidden), "{hidden} in {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn details_are_for_those_who_ask_and_may() {
    let health = sickly().await;
    let closed = Endpoints::new(health.clone());
    for path in [
        "/health?verbose",
        "/healthz?a=b&verbose=1",
        "/health?verbose=true",
    ] {
        let (code, _, body) = get(&closed, path).await;
        assert_eq!(code, 403);
        assert!(!body.windows(2).any(|w| w == b"db"));
    }
    assert_eq!(get(&closed, "/health?verbose=0").await.0, 200);

    let open = closed.allow_verbose(|req| req.headers.get("authorization").is_some_and(|v| v == "Bearer x"));
    assert_eq!(get(&open, "/health?verbose").await.0, 403);
    let request = || Request::get("/health?verbose").header("authorization", "Bearer x");
    let (code, headers, body) = ask(&open, request().body(()).unwrap()).await;
    assert_eq!(
        (code.as_u16(), &headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let cache = &json(&body)["checks"]["cache"];
    assert_eq!(
        (&cache["output"], &cache["reason"]),
        (&SECRET.into(), &"error".into())
    );
    assert_eq!(
        (&cache["required"], &cache["consecutive_failures"]),
        (&false.into(), &1.into())
    );

    let broken = open.allow_verbose(|_| panic!("who is it?"));
    assert_eq!(ask(&broken, request().body(()).unwrap()).await.0, 500);
}

#[tokio::test(start_paused = true)]
async fn health_json_is_given_to_who_asks_for_it() {
    let endpoints = Endpoints::new(sickly().await);
    for (accept, uri, expected) in [
        ("application/health+json", "/health", "application/health+json"),
        (
            "text/html, Application/Health+JSON;q=0.9",
            "/health",
            "application/health+json",
        ),
        ("application/health+json;q=0", "/health", "application/json"),
        ("*/*", "/health", "application/json"),
        ("*/*", "/health?format=health%2Bjson", "application/health+json"),
        (
            "application/health+json",
            "/health?format=json",
            "application/json",
        ),
    ] {
        let request = Request::get(uri).header("accept", accept).body(()).unwrap();
        let (_, headers, body) = ask(&endpoints, request).await;
        assert_eq!(headers["content-type"], expected, "{accept} {uri}");
        assert_eq!(headers["vary"], "accept");
        let body = json(&body);
        if expected == "application/health+json" {
            assert_eq!(body["status"], "warn");
            let cache = &body["checks"]["cache"][0];
            assert_eq!(
                (&cache["status"], &cache["componentType"]),
                (&"warn".into(), &"datastore".into())
            );
            assert!(cache["time"].is_string() && cache.get("output").is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unhealthy_is_503_everywhere_and_kept_by_no_cache() {
    let health = Health::new();
    health.mark_started();
    health
        .add("db", Check::new(|| async { Err::<(), _>("down") }))
        .unwrap();
    sleep(Duration::from_secs(7)).await;
    let endpoints = Endpoints::new(health);
    for path in ["/health", "/healthz", "/readyz"] {
        let (code, headers, _) = get(&endpoints, path).await;
        assert_eq!(
            (code.as_u16(), &headers["cache-control"]),
            (503, &"no-store".parse().unwrap())
        );
    }
    assert_eq!(
        get(&endpoints, "/livez").await.0,
        200,
        "a restart mends no database"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_waits_for_no_check_and_runs_none() {
    let (told, runs) = mpsc::channel();
    let health = Health::new();
    let check = Check::new(move || {
        told.send(()).unwrap();
        std::future::pending::<()>()
    });
    health.add("db", check).unwrap();
    let endpoints = Endpoints::new(health);
    sleep(Duration::from_millis(1)).await;
    let start = Virtual::now();
    for _ in 0..1_000 {
        assert_eq!(get(&endpoints, "/health").await.0, 200);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(runs.try_iter().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_background_task_cannot_look_healthy() {
    let health = sickly().await;
    let endpoints = Endpoints::new(health.clone()).allow_verbose(|_| true);
    health.shutdown().await;
    assert_eq!(get(&endpoints, "/healthz").await.0, 200);
    advance(Duration::from_secs(15)).await;
    let (code, _, body) = get(&endpoints, "/healthz?verbose").await;
    assert_eq!(code, 503);
    for name in ["db", "cache"] {
        assert_eq!(json(&body)["checks"][name]["reason"], "stale");
    }
}

#[tokio::test(start_paused = true)]
async fn only_get_and_head_of_known_paths() {
    let endpoints = Endpoints::new(sickly().await).metrics(|| "up 1\n".into());
    for path in ["/health", "/healthz", "/livez", "/readyz", "/metrics"] {
        let (code, headers, body) = get(&endpoints, path).await;
        assert_eq!(code, 200);
        assert_eq!(headers["content-length"], body.len().to_string());
        let (code, head, nothing) = ask(&endpoints, Request::head(path).body(()).unwrap()).await;
        assert_eq!((code.as_u16(), nothing.len()), (200, 0));
        assert_eq!(head["content-type"], headers["content-type"]);
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let request = Request::builder().method(method).uri(path).body(()).unwrap();
            let (code, headers, _) = ask(&endpoints, request).await;
            assert_eq!(
                (code.as_u16(), &headers["allow"]),
                (405, &"GET, HEAD".parse().unwrap())
            );
        }
    }
    for path in ["/", "/health/", "/healthz/db", "/metrics.json"] {
        assert_eq!(get(&endpoints, path).await.0, 404);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_rebinds_a_name_reads_nothing() {
    let strict = Endpoints::new(sickly().await);
    let code = async |endpoints: &Endpoints, host: &str| {
        let request = Request::get("/health").header("host", host).body(()).unwrap();
        ask(endpoints, request).await.0.as_u16()
    };
    for host in [
        "localhost",
        "LOCALHOST:80",
        "127.0.0.1:9000",
        "[::1]:9000",
        "[::1]",
    ] {
        assert_eq!(code(&strict, host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io:80",
        "",
        "[::1",
        "10.0.0.1",
        "[::1].evil.example",
        "[::1]evil.example:80",
        "localhost:80@evil.example",
        "localhost:80:80",
        "localhost:http",
        "localhost:123456",
        "localhost.",
        "[::1]:80]",
    ] {
        assert_eq!(code(&strict, host).await, 421, "{host}");
    }
    let two = Request::get("/health")
        .header("host", "localhost")
        .header("host", "evil.example");
    assert_eq!(ask(&strict, two.body(()).unwrap()).await.0, 421);
    let absolute = Request::get("http://evil.example/health").header("host", "localhost");
    assert_eq!(ask(&strict, absolute.body(()).unwrap()).await.0, 421);
    for (uri, expected) in [
        ("http://localhost:80@evil.example/health", 421),
        ("http://localhost:8080/health", 200),
        ("http://[::1]:8080/health", 200),
        ("/health", 200),
    ] {
        let request = Request::get(uri).body(()).unwrap();
        assert_eq!(ask(&strict, request).await.0, expected, "{uri}, and no Host");
    }
    let named = strict.clone().host("fd00::7");
    assert_eq!(code(&named, "[fd00::7]:80").await, 200);
    assert_eq!(code(&named, "[fd00::8]:80").await, 421);
    assert_eq!(
        code(&strict.clone().host("pod.internal"), "pod.internal:80").await,
        200
    );
    assert_eq!(code(&strict.any_host(), "evil.example").await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_scrape_is_what_the_renderer_gives_and_its_panic_is_a_500() {
    let health = sickly().await;
    let without = Endpoints::new(health);
    assert_eq!(get(&without, "/metrics").await.0, 404);
    let (code, headers, body) = get(&without.clone().metrics(|| "up 1\n".into()), "/metrics").await;
    assert_eq!((code.as_u16(), &body[..]), (200, &b"up 1\n"[..]));
    assert_eq!(
        headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(
        get(&without.clone().metrics(|| panic!("no recorder")), "/metrics")
            .await
            .0,
        500
    );
    assert_eq!(
        get(&without.metrics(|| "x".repeat(17 << 20)), "/metrics").await.0,
        500
    );
}

#[tokio::test(start_paused = true)]
async fn the_longest_report_there_can_be_is_within_64_kib() {
    let health = Health::new();
    for at in 0..MAX_CHECKS {
        let name = format!("{at:x>64}");
        let check = Check::new(|| async { Verdict::unhealthy("\"".repeat(1_000)) });
        health.add(name, check.component("datastore")).unwrap();
    }
    sleep(Duration::from_secs(7)).await;
    let endpoints = Endpoints::new(health).allow_verbose(|_| true);
    for uri in ["/health?verbose", "/health?verbose&format=health%2Bjson"] {
        let (_, _, body) = get(&endpoints, uri).await;
        assert!(body.len() > 40 << 10 && body.len() <= 64 << 10, "{}", body.len());
        assert_eq!(json(&body)["checks"].as_object().unwrap().len(), MAX_CHECKS);
    }
}

#[tokio::test(start_paused = true)]
async fn an_axum_router_serves_all_of_them_beside_the_application() {
    let endpoints = Endpoints::new(sickly().await).metrics(|| "up 1\n".into());
    let app: Router = Router::new()
        .route("/", axum::routing::get(|| async { "hello" }))
        .merge(router(endpoints));
    for (path, code) in [
        ("/", 200),
        ("/health", 200),
        ("/healthz", 200),
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/x", 404),
    ] {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        assert_eq!(
            app.clone().oneshot(request).await.unwrap().status(),
            code,
            "{path}"
        );
    }
}

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

#[tokio::test(start_paused = true)]
async fn what_is_accepted_most_is_given() {
    let endpoints = Endpoints::new(sickly().await);
    for (accept, is_health) in [
        ("application/health+json", true),
        ("Application/Health+JSON; charset=utf-8", true),
        ("text/html, application/health+json;q=0.5", true),
        ("application/json, application/health+json", true),
        ("application/health+json, */*;q=0.8", true),
        ("application/health+json;q=0.9, application/*;q=0.2", true),
        ("application/json, application/health+json;q=0.5", false),
        ("application/health+json;q=0.1, */*", false),
        ("application/health+json;q=0", false),
        ("application/health+json;Q=0.0", false),
        ("application/health+json;q=NaN", false),
        ("application/health+json;q=x", false),
        ("application/json", false),
        ("*/*", false),
        (";;,,=", false),
        ("", false),
    ] {
        let request = Request::get("/health").header("accept", accept);
        let (code, headers, _) = ask(&endpoints, request.body(()).unwrap()).await;
        let content = if is_health {
            "application/health+json"
        } else {
            "application/json"
        };
        assert_eq!(code, 200);
        assert_eq!(headers["content-type"], content, "{accept}");
        assert_eq!(headers["vary"], "accept");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_process_is_is_told_in_health_json_to_who_may_see_details() {
    let health = sickly().await;
    let about = About::new()
        .version("1")
        .release_id("1.2.3")
        .service_id("orders-7")
        .description("x".repeat(10_000));
    health.describe(about);
    let endpoints = Endpoints::new(health).allow_verbose(|_| true);
    let (_, _, body) = get(&endpoints, "/health?verbose&format=health%2Bjson").await;
    let told = json(&body);
    assert_eq!(
        (&told["version"], &told["releaseId"], &told["serviceId"]),
        (&"1".into(), &"1.2.3".into(), &"orders-7".into())
    );
    assert_eq!(told["description"].as_str().unwrap().len(), 256);
    let text = std::str::from_utf8(&body).unwrap();
    let at = |key: &str| text.find(&format!("\"{key}\":")).unwrap();
    let keys = ["checks", "description", "releaseId", "serviceId", "version"];
    assert!(
        keys.windows(2).all(|pair| at(pair[0]) < at(pair[1])),
        "sorted: {text}"
    );
    for uri in ["/health", "/health?format=health%2Bjson", "/readyz", "/livez"] {
        let (_, _, body) = get(&endpoints, uri).await;
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            !text.contains("1.2.3") && !text.contains("orders-7"),
            "{uri}: {text}"
        );
    }
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
