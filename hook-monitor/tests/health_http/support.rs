//! Asking, and a process that has something to hide.

use std::time::Duration;

use bytes::Bytes;
use hook_monitor::health::{Check, Endpoints, Health};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::time::sleep;
use tower::ServiceExt;

pub(crate) const SECRET: &str = "connect to db.internal:5432 as admin: /etc/db.key is missing";

pub(crate) async fn ask(endpoints: &Endpoints, req: Request<()>) -> (StatusCode, HeaderMap, Bytes) {
    let answer = endpoints.clone().oneshot(req).await.unwrap();
    let (parts, body) = answer.into_parts();
    (
        parts.status,
        parts.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

pub(crate) async fn get(endpoints: &Endpoints, uri: &str) -> (StatusCode, HeaderMap, Bytes) {
    ask(
        endpoints,
        Request::get(uri)
            .header("host", "localhost:8080")
            .body(())
            .unwrap(),
    )
    .await
}

pub(crate) fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

/// A required check that passes and an optional one that fails with a secret.
pub(crate) async fn sickly() -> Health {
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
