//! The daemon on loopback: hooks for hosts that call them by HTTP, and figures for whoever watches.

use std::{collections::HashMap, convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use hook_manager::HookEvent;
use hook_monitor::{
    Gather, Monitor, Source, Status,
    health::{Check, Endpoints, Health},
    prometheus::Exporter,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    select,
    sync::{Semaphore, watch},
    time::{self, timeout},
};

use super::{hooks::Current, look::look, patient::Patient, server::Daemon, session, wire::Look};
use crate::cli::{Output, run::conduct::Asked};

/// Connections at once; one more waits to be taken up.
const CONNECTIONS: u32 = 64;
/// For the lines above a body, slow clients being a way to hold connections.
const HEADERS: Duration = Duration::from_secs(5);
/// For the body.
const BODY: Duration = Duration::from_secs(10);
/// For the other side to take something of what it is told.
const READING: Duration = Duration::from_secs(10);
/// More than any event by HTTP.
const BODY_LIMIT: usize = 16 << 20;

/// Serves until the daemon ends, and then until the last request that was under way has its answer.
pub(super) async fn serve(listener: TcpListener, daemon: Arc<Daemon>, token: Option<String>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let web = Arc::new(Web {
        endpoints: endpoints(&daemon),
        daemon,
        token,
    });
    let mut quits = web.daemon.quits();
    loop {
        let accepted = async {
            let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let (permit, stream) = select! {
            () = ending(&mut quits) => break,
            accepted = accepted => match accepted {
                Some((permit, Ok((stream, _)))) => (permit, stream),
                // No descriptors left, most likely: those who have some give them back.
                Some((_, Err(_))) => {
                    time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                None => return,
            },
        };
        let web = Arc::clone(&web);
        tokio::spawn(async move {
            let _permit = permit;
            let mut quits = web.daemon.quits();
            let service = service_fn(move |req| {
                let web = Arc::clone(&web);
                async move { Ok::<_, Infallible>(answer(&web, req).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(Patient::new(stream, READING)), service);
            let mut connection = pin!(connection);
            // A client that goes away is no concern of anybody else's: its event ends with it.
            select! {
                _ = connection.as_mut() => return,
                () = ending(&mut quits) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = connections.acquire_many(CONNECTIONS).await;
}

/// Ends when the daemon is about to.
async fn ending(quits: &mut watch::Receiver<bool>) {
    let _ = quits.wait_for(|quit| *quit).await;
}

struct Web {
    daemon: Arc<Daemon>,
    token: Option<String>,
    /// Nothing, should its checks not have been taken.
    endpoints: Option<Endpoints>,
}

/// `/health`, `/livez`, `/readyz` and `/metrics`, of the manager there is.
fn endpoints(daemon: &Arc<Daemon>) -> Option<Endpoints> {
    let health = Health::new();
    for name in ["hooks", "breakers", "success_rate", "pools", "anomalies", "state"] {
        let daemon = Arc::clone(daemon);
        let check = move || {
            let health = daemon.hooks.now().manager.health();
            async move {
                let check = health.checks.into_iter().find(|check| check.name == name);
                match check {
                    Some(check) if check.status == Status::Unhealthy => Err(check.output),
                    Some(check) => Ok(check.status),
                    None => Ok(Status::Healthy),
                }
            }
        };
        health.add(name, Check::new(check)).ok()?;
    }
    health.mark_started();
    let daemon = Arc::clone(daemon);
    let endpoints = Endpoints::new(health)
        // Who has come so far may see the figures, too.
        .allow_verbose(|_| true)
        .metrics(move || metrics(&daemon.hooks.now()));
    Some(endpoints)
}

/// Every layer of every hook. Made anew for each scrape, for hooks come and go.
fn metrics(current: &Arc<Current>) -> String {
    let monitor = Monitor::new();
    let mut names: HashMap<(&'static str, String), usize> = HashMap::new();
    for (at, layer) in current.manager.layers().enumerate() {
        // Hooks of several events may share a name.
        let number = names
            .entry((layer.layer(), layer.name().to_owned()))
            .and_modify(|number| *number += 1)
            .or_insert(1);
        let name = match *number {
            1 => layer.name().to_owned(),
            number => format!("{}#{number}", layer.name()),
        };
        let one = One {
            layer: layer.layer(),
            name,
            at,
            current: Arc::clone(current),
        };
        // It is left out where there are more than a scrape has room for; the monitor counts that.
        let _ = monitor.register(one);
    }
    for watch in current.manager.monitor().sources() {
        if watch.layer() == "anomaly" {
            let _ = monitor.register_shared(watch);
        }
    }
    Exporter::new(&monitor).render()
}

/// One layer of one hook, for as long as a scrape takes.
struct One {
    layer: &'static str,
    name: String,
    at: usize,
    current: Arc<Current>,
}

impl One {
    fn of(&self) -> Option<&dyn Source> {
        self.current.manager.layers().nth(self.at)
    }
}

impl Source for One {
    fn layer(&self) -> &'static str {
        self.layer
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn status(&self) -> Status {
        self.of().map(Source::status).unwrap_or_default()
    }

    fn read(&self, into: &mut dyn Gather) {
        if let Some(layer) = self.of() {
            layer.read(into);
        }
    }
}

async fn answer(web: &Web, req: Request<Incoming>) -> Response<Full<Bytes>> {
    let (daemon, token) = (&web.daemon, web.token.as_deref());
    // A page in a browser can reach this port under a name of its own; it cannot hide that name.
    if !is_local(&req) {
        return refuse(StatusCode::FORBIDDEN, "expected `Host` to be this machine");
    }
    let by_page = |site: &HeaderValue| site != "none";
    if req.headers().contains_key(ORIGIN) || req.headers().get("sec-fetch-site").is_some_and(by_page) {
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
        _ if path == "/stats" => stats(daemon, &req).await,
        _ => figures(web, req),
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
    let input = read(req.into_body()).await;
    // While it runs the daemon is not idle.
    let _under_way = daemon.begin().await;
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

async fn read(body: Incoming) -> Result<Vec<u8>, String> {
    // Said before it is sent.
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(format!(
            "the request's body: {} bytes; expected {BODY_LIMIT} at most",
            body.size_hint().lower()
        ));
    }
    match timeout(BODY, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(err)) => Err(format!("the request's body: {err}, expected an event as JSON")),
        Err(_) => Err(format!(
            "the request's body: still open after {BODY:?}; expected an event as JSON, and its end"
        )),
    }
}

async fn stats(daemon: &Arc<Daemon>, req: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*req.method(), Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD");
    }
    let current = daemon.hooks.current().await;
    let mut seen = look(&current.manager, &Look::Stats).unwrap_or(Value::Null);
    seen["daemon"] = daemon.about();
    response(StatusCode::OK, seen.to_string())
}

fn figures(web: &Web, req: Request<Incoming>) -> Response<Full<Bytes>> {
    match &web.endpoints {
        Some(endpoints) => endpoints.answer(&req.into_parts().0),
        None => refuse(StatusCode::NOT_FOUND, "expected /hooks/{event} or /stats"),
    }
}

/// Whether the client named this machine by an address of its own, or as `localhost`; once, and nothing else.
fn is_local<B>(req: &Request<B>) -> bool {
    let mut hosts = req.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let in_line = req.uri().authority().map(hyper::http::uri::Authority::as_str);
    host.to_str().is_ok_and(is_ours) && in_line.is_none_or(is_ours)
}

fn is_ours(host: &str) -> bool {
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
        .insert(ALLOW, HeaderValue::from_static(methods));
    refused
}

fn refuse(status: StatusCode, why: &str) -> Response<Full<Bytes>> {
    response(status, json!({ "error": why }).to_string())
}

fn response(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
