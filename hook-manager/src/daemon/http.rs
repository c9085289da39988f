//! The daemon on loopback: hooks for hosts that call them by HTTP, and figures for whoever watches.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{self, timeout},
};

use super::{look::look, server::Daemon, session, wire::Look};
use crate::cli::{Output, run::conduct::Asked};
use hook_manager::HookEvent;

/// Connections at once; one more waits to be taken up.
const CONNECTIONS: usize = 64;
/// For the lines above a body, slow clients being a way to hold connections.
const HEADERS: Duration = Duration::from_secs(5);
/// For the body.
const BODY: Duration = Duration::from_secs(10);
/// More than any event by HTTP.
const BODY_LIMIT: usize = 16 << 20;

pub(super) async fn serve(listener: TcpListener, daemon: Arc<Daemon>, token: Option<String>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let token: Option<Arc<str>> = token.map(Into::into);
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (daemon, token) = (Arc::clone(&daemon), token.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(move |req| {
                let (daemon, token) = (Arc::clone(&daemon), token.clone());
                async move { Ok::<_, Infallible>(answer(&daemon, token.as_deref(), req).await) }
            });
            // A client that goes away is no concern of anybody else's: its event ends with it.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(daemon: &Arc<Daemon>, token: Option<&str>, req: Request<Incoming>) -> Response<Full<Bytes>> {
    // A page in a browser can reach this port under a name of its own; it cannot hide that name.
    if !is_local(req.headers()) {
        return refuse(StatusCode::FORBIDDEN, "expected `Host` to be this machine");
    }
    if req.headers().contains_key(ORIGIN) {
        return refuse(StatusCode::FORBIDDEN, "no page of a browser is served");
    }
    if token.is_some_and(|token| !knows(req.headers(), token)) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "expected `Authorization: Bearer` and the token",
        );
    }
    daemon.touch();
    let path = req.uri().path().to_owned();
    match path.strip_prefix("/hooks/") {
        Some(event) if !event.is_empty() && !event.contains('/') => hooks(daemon, event, req).await,
        _ => figures(daemon, &path, &req).await,
    }
}

/// An event. Whatever its hooks say is in the answer's body, for the host takes any other status for a failure and
/// goes on.
async fn hooks(daemon: &Arc<Daemon>, event: &str, req: Request<Incoming>) -> Response<Full<Bytes>> {
    if req.method() != Method::POST {
        return not_allowed("POST");
    }
    let is_json = req.headers().get(CONTENT_TYPE).is_some_and(|kind| {
        kind.to_str()
            .is_ok_and(|kind| kind.trim_start().starts_with("application/json"))
    });
    // What a page may send without asking first is never of this type.
    if !is_json {
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected `Content-Type: application/json`",
        );
    }
    let started = std::time::Instant::now();
    let body = timeout(BODY, Limited::new(req.into_body(), BODY_LIMIT).collect()).await;
    let input = match body {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(err)) => Err(format!("the request's body: {err}, expected an event as JSON")),
        Err(_) => Err(format!(
            "the request's body: still open after {BODY:?}; expected an event as JSON, and its end"
        )),
    };
    let current = daemon.hooks.current().await;
    let asked = Asked {
        event: HookEvent::from(event),
        output: Output::Host,
        source: "the request's body".into(),
        input,
        deadline: None,
        started,
        depth: 0,
    };
    let reply = session::run(daemon, &current, asked, None).await;
    let body = match (reply.stdout.is_empty(), reply.notes.is_empty()) {
        (true, false) if reply.code != 0 => json!({ "systemMessage": reply.notes.join("\n") }).to_string(),
        _ => reply.stdout,
    };
    // Hosts read JSON where there is an object, and nothing else means no decision.
    response(StatusCode::OK, body)
}

async fn figures(daemon: &Arc<Daemon>, path: &str, req: &Request<Incoming>) -> Response<Full<Bytes>> {
    let wanted = match path {
        "/stats" => Look::Stats,
        "/health" | "/livez" | "/readyz" => Look::Health,
        _ => {
            return refuse(
                StatusCode::NOT_FOUND,
                "expected /hooks/{event}, /stats, /health, /livez or /readyz",
            );
        }
    };
    if !matches!(*req.method(), Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD");
    }
    if path == "/livez" {
        return response(StatusCode::OK, json!({ "status": "alive" }).to_string());
    }
    let current = daemon.hooks.current().await;
    let mut seen = look(&current.manager, &wanted).unwrap_or(Value::Null);
    seen["daemon"] = daemon.about();
    let is_ill = seen["status"] == "unhealthy";
    let status = match path {
        "/readyz" if daemon.is_quitting() => StatusCode::SERVICE_UNAVAILABLE,
        "/health" if is_ill => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    response(status, seen.to_string())
}

/// Whether the client named this machine by an address of its own, or as `localhost`.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Compares without telling by its time how much was right.
fn knows(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given.and_then(|given| given.strip_prefix("Bearer ")) else {
        return false;
    };
    let differs = given
        .bytes()
        .zip(token.bytes())
        .fold(0, |differs, (one, other)| differs | (one ^ other));
    given.len() == token.len() && differs == 0
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, &format!("expected {methods}"));
    refused
        .headers_mut()
        .insert(ALLOW, hyper::header::HeaderValue::from_static(methods));
    refused
}

fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    response(status, json!({ "error": why }).to_string())
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/json"),
    );
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}
