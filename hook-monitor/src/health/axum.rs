use axum::Router;

use super::Endpoints;

/// The endpoints as routes, to be merged into or nested in an application's own.
///
/// `/metrics` is there only if the endpoints have a renderer; without one it answers 404.
pub fn router<S>(endpoints: Endpoints) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    ["/health", "/healthz", "/livez", "/readyz", "/metrics"]
        .into_iter()
        .fold(Router::new(), |router, path| {
            router.route_service(path, endpoints.clone())
        })
}
