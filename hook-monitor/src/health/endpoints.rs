use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    net::Ipv6Addr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use tower_service::Service;

use super::{Format, Health, request};
use crate::Status;

/// The body of an answer.
pub type Body = Full<Bytes>;

/// `/health`, `/healthz`, `/livez`, `/readyz` and, given a renderer, `/metrics`, as a service.
///
/// It answers from a snapshot: nothing that is checked is asked, and nothing is waited for.
///
/// | path | 503 when | body |
/// |---|---|---|
/// | `/health`, `/healthz` | unhealthy | the report: names and states; details for `?verbose` |
/// | `/readyz` | unhealthy, not started, shutting down, or a required check has not run | `{"status":"pass"}` |
/// | `/livez` | the runtime is over 2 s late | the same, with `runtime:lag` |
///
/// Other methods than GET and HEAD get a 405, other paths a 404, and `?verbose` without
/// [`allow_verbose`](Self::allow_verbose) a 403. A request for another host than loopback gets a
/// 421, for a page in a browser must not read this by rebinding a name; behind a proxy or an
/// orchestrator that calls by address, name the hosts or let in [`any_host`](Self::any_host).
#[derive(Clone)]
pub struct Endpoints {
    health: Health,
    config: Arc<Config>,
}

#[derive(Clone)]
struct Config {
    hosts: Option<Vec<String>>,
    allow_verbose: Option<Arc<Allow>>,
    metrics: Option<Arc<Render>>,
    max_lag: Duration,
}

type Allow = dyn Fn(&Parts) -> bool + Send + Sync;
type Render = dyn Fn() -> String + Send + Sync;

/// Beyond this a scrape is refused: no scraper takes it, and it is a label gone wild.
const MAX_METRICS: usize = 16 << 20;

const JSON: &str = "application/json";
const HEALTH_JSON: &str = "application/health+json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Endpoints {
    /// For requests to loopback names, without details and without metrics.
    pub fn new(health: Health) -> Self {
        let hosts = ["localhost", "127.0.0.1", "[::1]"].map(String::from).to_vec();
        let config = Config {
            hosts: Some(hosts),
            allow_verbose: None,
            metrics: None,
            max_lag: Duration::from_secs(2),
        };
        Self {
            health,
            config: Arc::new(config),
        }
    }

    /// Answers requests for this host, too. No port: any will do. An IPv6 address may have its
    /// brackets or not.
    pub fn host(self, host: impl Into<String>) -> Self {
        let host = host.into();
        let host = match host.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{host}]"),
            Err(_) => host,
        };
        self.with(|config| config.hosts.get_or_insert_default().push(host))
    }

    /// Answers requests for any host.
    pub fn any_host(self) -> Self {
        self.with(|config| config.hosts = None)
    }

    /// Who may see details: error texts, times and counts.
    pub fn allow_verbose<F>(self, allow: F) -> Self
    where
        F: Fn(&Parts) -> bool + Send + Sync + 'static,
    {
        self.with(|config| config.allow_verbose = Some(Arc::new(allow)))
    }

    /// Answers `/metrics` with what this gives, in Prometheus' text format.
    ///
    /// It is called on the caller's thread, once a scrape, and a panic is a 500.
    pub fn metrics(self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.with(|config| config.metrics = Some(Arc::new(render)))
    }

    /// How late the runtime may be before `/livez` says so. 2 s by default.
    pub fn max_lag(self, max_lag: Duration) -> Self {
        self.with(|config| config.max_lag = max_lag)
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// The answer to a request, whose body does not matter.
    pub fn answer(&self, req: &Parts) -> Response<Body> {
        let mut answer = self.route(req);
        if req.method == Method::HEAD {
            *answer.body_mut() = Body::default();
        }
        answer
    }

    fn route(&self, req: &Parts) -> Response<Body> {
        if !self.is_for_us(req) {
            return refusal(StatusCode::MISDIRECTED_REQUEST, "not a host of these endpoints");
        }
        let path = req.uri.path();
        if !matches!(path, "/health" | "/healthz" | "/livez" | "/readyz" | "/metrics") {
            return refusal(StatusCode::NOT_FOUND, "not found");
        }
        if !matches!(req.method, Method::GET | Method::HEAD) {
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only");
            let allow = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allow);
            return answer;
        }
        match path {
            "/livez" => live(self.health.runtime_lag().lag(), self.config.max_lag),
            "/readyz" => self.ready(),
            "/metrics" => self.render(),
            _ => self.report(req),
        }
    }

    fn report(&self, req: &Parts) -> Response<Body> {
        let verbose = request::is_verbose(&req.uri);
        if verbose {
            let allow = self.config.allow_verbose.as_ref();
            match allow.map(|allow| catch_unwind(AssertUnwindSafe(|| allow(req)))) {
                Some(Ok(true)) => {}
                Some(Err(_)) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
                _ => return refusal(StatusCode::FORBIDDEN, "details are not for everybody"),
            }
        }
        let format = request::format(&req.uri, &req.headers);
        let content = match format {
            Format::Json => JSON,
            Format::HealthJson => HEALTH_JSON,
        };
        let published = self.health.published();
        let (code, cache) = match published.report.status {
            Status::Unhealthy => (StatusCode::SERVICE_UNAVAILABLE, "no-store"),
            _ if verbose => (StatusCode::OK, "no-store"),
            _ => (StatusCode::OK, "max-age=1"),
        };
        let mut answer = response(code, content, cache, published.body(format, verbose).clone());
        let vary = HeaderValue::from_static("accept");
        answer.headers_mut().insert(header::VARY, vary);
        answer
    }

    fn ready(&self) -> Response<Body> {
        let (code, body) = match self.health.is_ready() {
            true => (StatusCode::OK, &br#"{"status":"pass"}"#[..]),
            false => (StatusCode::SERVICE_UNAVAILABLE, &br#"{"status":"fail"}"#[..]),
        };
        response(code, HEALTH_JSON, "no-store", Bytes::from_static(body))
    }

    fn render(&self) -> Response<Body> {
        let Some(render) = &self.config.metrics else {
            return refusal(StatusCode::NOT_FOUND, "not found");
        };
        match catch_unwind(AssertUnwindSafe(|| render())) {
            Ok(text) if text.len() <= MAX_METRICS => {
                response(StatusCode::OK, METRICS, "no-store", text.into())
            }
            _ => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
        }
    }

    /// A browser always names the host; who names none is no page that rebinds a name.
    fn is_for_us(&self, req: &Parts) -> bool {
        let Some(hosts) = &self.config.hosts else {
            return true;
        };
        match request::host(&req.uri, &req.headers) {
            Ok(Some(host)) => hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host)),
            Ok(None) => true,
            Err(()) => false,
        }
    }
}

/// Whether a runtime that is so late is alive, and the answer that says so.
pub(super) fn live(lag: Duration, max_lag: Duration) -> Response<Body> {
    let (code, status) = match lag > max_lag {
        true => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
        false => (StatusCode::OK, "pass"),
    };
    let lag = lag.as_secs_f64();
    let check = format!(r#"{{"observedUnit":"s","observedValue":{lag:.6},"status":"{status}"}}"#);
    let body = format!(r#"{{"checks":{{"runtime:lag":[{check}]}},"status":"{status}"}}"#);
    response(code, HEALTH_JSON, "no-store", body.into())
}

pub(super) fn refusal(code: StatusCode, why: &'static str) -> Response<Body> {
    response(code, TEXT, "no-store", Bytes::from_static(why.as_bytes()))
}

fn response(code: StatusCode, content: &'static str, cache: &'static str, body: Bytes) -> Response<Body> {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(Body::new(body));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

impl<B> Service<Request<B>> for Endpoints {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> Self::Future {
        let (parts, _) = req.into_parts();
        ready(Ok(self.answer(&parts)))
    }
}

// By hand: closures need not be `Debug`.
impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints")
            .field("hosts", &self.config.hosts)
            .finish_non_exhaustive()
    }
}
