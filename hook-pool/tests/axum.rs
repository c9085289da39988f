//! Acceptance: inside an axum router, with closures in it, one pool over all routes and requests.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{Route, get},
};
use hook_monitor::{Reason, Rejected};
use hook_pool::{ConnectionPool, GetError, PoolLayer};
use tokio::sync::Notify;
use tower::{Layer, Service, ServiceExt, layer::layer_fn, service_fn};

/// Opens connections that answer with their number, after `go` where the path says so.
fn connector(
    made: &Arc<AtomicUsize>,
    go: &Arc<Notify>,
) -> impl Service<
    String,
    Response = impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Send + 'static,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let (made, go) = (made.clone(), go.clone());
    service_fn(move |host: String| {
        let (number, go) = (made.fetch_add(1, SeqCst) + 1, go.clone());
        std::future::ready(Ok(service_fn(move |req: Request| {
            let (host, go) = (host.clone(), go.clone());
            async move {
                if req.uri().path() == "/slow" {
                    go.notified().await;
                }
                Ok(format!("{host} {number}").into_response())
            }
        })))
    })
}

fn request(path: &str, host: &str) -> Request {
    let req = Request::builder().uri(path).header("host", host);
    req.body(Body::empty()).unwrap()
}

async fn text(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1_024).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_pool_serves_all_routes_and_requests_of_a_router() {
    let (made, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let layer = PoolLayer::new(1)
        .keyed_by(|req: &Request| {
            let host = req.headers().get("host").and_then(|host| host.to_str().ok());
            host.unwrap_or_default().to_owned()
        })
        .keep_if(|result: Result<&Response, &Infallible>| {
            result.is_ok_and(|response| !response.headers().contains_key("connection"))
        })
        .respond_with(|rejected: Rejected| match rejected.reason() {
            Reason::PoolQueueFull { .. } => StatusCode::TOO_MANY_REQUESTS.into_response(),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        })
        .max_waiting(0);
    let handle = layer.handle();
    let backend = connector(&made, &go);
    // Whatever a route did before, it is forwarded now. axum makes the service anew for each route and
    // request; the pool is in the layer.
    let forward = layer_fn(move |_: Route| layer.layer(backend.clone()));
    let unreached = || async { "not forwarded" };
    let app = Router::new()
        .route("/slow", get(unreached))
        .route("/fast", get(unreached))
        .layer(forward);

    let slow = tokio::spawn(app.clone().oneshot(request("/slow", "a")));
    tokio::task::yield_now().await;
    assert_eq!(handle.stats().active, 1);
    let refused = app.clone().oneshot(request("/fast", "a")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let other = app.clone().oneshot(request("/fast", "b")).await.unwrap();
    assert_eq!(text(other).await, "b 2");

    go.notify_one();
    assert_eq!(text(slow.await.unwrap().unwrap()).await, "a 1");
    let again = app.clone().oneshot(request("/fast", "a")).await.unwrap();
    assert_eq!(text(again).await, "a 1");
    assert_eq!(made.load(SeqCst), 2);

    handle.close();
    let closed = app.oneshot(request("/fast", "a")).await.unwrap();
    assert_eq!(closed.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn handlers_share_a_pool_as_state() {
    type Dial = fn(()) -> std::future::Ready<Result<u8, Infallible>>;
    type Connections = ConnectionPool<tower::util::ServiceFn<Dial>, ()>;

    async fn uses(State(pool): State<Connections>) -> Result<String, (StatusCode, String)> {
        match pool.get(&()).await {
            Ok(lease) => Ok(lease.uses().to_string()),
            Err(GetError::Rejected(rejected)) => Err((StatusCode::SERVICE_UNAVAILABLE, rejected.to_string())),
            Err(err) => Err((StatusCode::BAD_GATEWAY, err.to_string())),
        }
    }

    let dial: Dial = |()| std::future::ready(Ok(7));
    let pool = ConnectionPool::new(service_fn(dial), 1);
    let app = Router::new()
        .route("/a", get(uses))
        .route("/b", get(uses))
        .with_state(pool.clone());
    for (path, uses) in [("/a", "1"), ("/b", "2"), ("/a", "3")] {
        let answer = app.clone().oneshot(request(path, "")).await.unwrap();
        assert_eq!(text(answer).await, uses);
    }
    pool.close();
    let answer = app.oneshot(request("/b", "")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(answer).await, "pool closed");
}
