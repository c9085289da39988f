//! An origin that answers as it is told, and bodies that stream.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{Method, Response, StatusCode},
    routing::any,
};
use futures::{StreamExt, stream};
use hook_cache::http::{CacheBody, HttpCacheLayer};
use tokio::sync::oneshot;
use tower::{Service, ServiceExt, service_fn};

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A cache in front of an origin that answers with fixed header fields and counts its calls in the body.
pub(crate) struct Origin {
    pub(crate) app: Router,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) status: Arc<Mutex<StatusCode>>,
}

pub(crate) type Fields = &'static [(&'static str, &'static str)];

pub(crate) fn origin(layer: HttpCacheLayer, fields: Fields) -> Origin {
    let calls = Arc::new(AtomicUsize::new(0));
    let status = Arc::new(Mutex::new(StatusCode::OK));
    let (counted, code) = (calls.clone(), status.clone());
    let handler = move || {
        let call = counted.fetch_add(1, SeqCst) + 1;
        let status = *code.lock().unwrap();
        async move {
            let mut response = Response::new(Body::from(format!("body {call}")));
            *response.status_mut() = status;
            for (name, value) in fields {
                response.headers_mut().append(*name, value.parse().unwrap());
            }
            response
        }
    };
    let app = Router::new().route("/{*path}", any(handler)).layer(layer);
    Origin { app, calls, status }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) x_cache: String,
    pub(crate) age: Option<String>,
    pub(crate) body: String,
}

impl Origin {
    pub(crate) async fn ask(&self, method: &str, uri: &str, fields: &[(&str, &str)]) -> Answer {
        let mut req = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            req = req.header(*name, *value);
        }
        let response = self
            .app
            .clone()
            .oneshot(req.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let field = |name: &str| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (x_cache, age, status) = (
            field("x-cache").unwrap(),
            field("age"),
            response.status().as_u16(),
        );
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer {
            status,
            x_cache,
            age,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, fields: &[(&str, &str)]) -> Answer {
        self.ask("GET", "/a", fields).await
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

/// One chunk now, the rest when it is told to go on.
pub(crate) fn streaming(go_on: oneshot::Receiver<()>) -> Body {
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first ")) });
    let second = stream::once(async {
        let _ = go_on.await;
        Ok(Bytes::from_static(b"second"))
    });
    Body::from_stream(first.chain(second))
}

pub(crate) fn streamed(
    go_on: oneshot::Receiver<()>,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone {
    let bodies = Arc::new(Mutex::new(Some(streaming(go_on))));
    service_fn(move |_| {
        let body = bodies
            .lock()
            .unwrap()
            .take()
            .unwrap_or_else(|| Body::from("another"));
        async {
            Ok(Response::builder()
                .header("cache-control", "max-age=60")
                .body(body)
                .unwrap())
        }
    })
}

/// A body's parts, one after the other.
pub(crate) fn parts(response: Response<CacheBody<Body>>) -> impl futures::Stream<Item = Bytes> + Unpin {
    Body::new(response.into_body())
        .into_data_stream()
        .map(Result::unwrap)
}

pub(crate) fn ask(method: Method) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("/a")
        .body(Body::empty())
        .unwrap()
}
