//! Methods, paths and hosts, and the router.

use axum::Router;
use hook_monitor::health::{Endpoints, router};
use http::Request;
use tower::ServiceExt;

use crate::support::{ask, get, sickly};

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
