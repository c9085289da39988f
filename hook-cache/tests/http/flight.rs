//! Those who ask at the same time make one call, and nobody is held up.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{Method, Response},
};
use futures::{FutureExt, StreamExt, future::join_all};
use hook_cache::http::{CacheBody, HttpCacheLayer};
use tokio::{
    sync::oneshot,
    time::{Instant, advance, sleep},
};
use tower::{Layer, Service, service_fn};

use crate::support::{ask, parts, secs, streamed};

async fn read(response: Response<CacheBody<Body>>) -> (String, String) {
    let label = response.headers()["x-cache"].to_str().unwrap().to_owned();
    let body = to_bytes(Body::new(response.into_body()), 1 << 20).await.unwrap();
    (label, String::from_utf8(body.to_vec()).unwrap())
}

/// An origin that takes a second, and counts.
fn slow(
    fields: &'static [(&'static str, &'static str)],
) -> (
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send,
    Arc<AtomicUsize>,
) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let svc = service_fn(move |_: Request<Body>| {
        let call = counted.fetch_add(1, SeqCst) + 1;
        async move {
            sleep(secs(1)).await;
            let mut response = Response::new(Body::from(format!("body {call}")));
            for (name, value) in fields {
                response.headers_mut().append(*name, value.parse().unwrap());
            }
            Ok::<_, Infallible>(response)
        }
    });
    (svc, calls)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_ask_together_make_one_call() {
    let (origin, calls) = slow(&[("cache-control", "max-age=60")]);
    let layer = HttpCacheLayer::new();
    let svc = layer.layer(origin);
    let answers = join_all((0..100).map(|_| {
        let mut svc = svc.clone();
        async move { read(svc.call(ask(Method::GET)).await.unwrap()).await }
    }))
    .await;
    assert_eq!(calls.load(SeqCst), 1);
    assert!(answers.iter().all(|(_, body)| body == "body 1"));
    let misses = answers.iter().filter(|(label, _)| label == "miss").count();
    let stats = layer.handle().stats();
    assert_eq!((misses, stats.misses, stats.coalesced), (1, 1, 99));
    assert_eq!((stats.loads, stats.load_errors), (1, 0));
    assert!(
        stats.load_time >= secs(1) && stats.load_time < secs(2),
        "{:?}",
        stats.load_time
    );
}

/// Neither all at once to begin with, nor one after the other when there is nothing to share; and the next ones do not
/// wait for what is known not to be stored.
#[tokio::test(start_paused = true)]
async fn what_is_not_stored_makes_nobody_wait_twice() {
    for fields in [
        &[] as &[_],
        &[("cache-control", "private")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
    ] {
        let (origin, calls) = slow(fields);
        let svc = HttpCacheLayer::new().layer(origin);
        let began = Instant::now();
        for (round, took) in [(1, secs(2)), (2, secs(3))] {
            let answers = join_all((0..20).map(|_| {
                let mut svc = svc.clone();
                async move { read(svc.call(ask(Method::GET)).await.unwrap()).await }
            }))
            .await;
            assert_eq!(calls.load(SeqCst), 20 * round);
            assert!(answers.iter().all(|(label, _)| label == "miss"));
            assert_eq!(began.elapsed(), took);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn variants_that_were_waited_for_in_vain_are_asked_for_all_at_once() {
    let (origin, calls) = slow(&[("cache-control", "max-age=60"), ("vary", "accept")]);
    let svc = HttpCacheLayer::new().layer(origin);
    let began = Instant::now();
    join_all((0..6).map(|n| {
        let mut svc = svc.clone();
        let mut req = ask(Method::GET);
        req.headers_mut()
            .insert("accept", format!("t/{}", n % 3).parse().unwrap());
        async move { read(svc.call(req).await.unwrap()).await }
    }))
    .await;
    assert_eq!(began.elapsed(), secs(2));
    assert!(calls.load(SeqCst) <= 5, "{} calls", calls.load(SeqCst));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_goes_away_hands_over_to_one() {
    let (origin, calls) = slow(&[("cache-control", "max-age=60")]);
    let mut svc = HttpCacheLayer::new().layer(origin);
    let mut leader = Box::pin(svc.call(ask(Method::GET)));
    let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(svc.call(ask(Method::GET)))).collect();
    assert!(leader.as_mut().now_or_never().is_none());
    for one in &mut waiting {
        assert!(one.as_mut().now_or_never().is_none());
    }
    assert_eq!(calls.load(SeqCst), 1);
    drop(leader);
    let answers = join_all(
        waiting
            .into_iter()
            .map(async |one| read(one.await.unwrap()).await),
    )
    .await;
    assert_eq!(calls.load(SeqCst), 2);
    assert!(answers.iter().all(|(_, body)| body == "body 2"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_holds_nobody_up_for_longer_than_told() {
    let (_go, go_on) = oneshot::channel();
    let mut svc = HttpCacheLayer::new().patience(secs(3)).layer(streamed(go_on));
    let mut slow = parts(svc.call(ask(Method::GET)).await.unwrap());
    slow.next().await.unwrap();
    let began = Instant::now();
    assert_eq!(read(svc.call(ask(Method::GET)).await.unwrap()).await.1, "another");
    // The timer counts in milliseconds.
    let waited = began.elapsed();
    assert!((secs(3)..secs(3) + secs(1) / 100).contains(&waited), "{waited:?}");
    // That one is stored by now, whatever the first one does.
    assert_eq!(read(svc.call(ask(Method::GET)).await.unwrap()).await.0, "hit");
    assert_eq!(began.elapsed(), waited);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_in_the_middle_of_the_body_hands_over() {
    let (_go, go_on) = oneshot::channel();
    let mut svc = HttpCacheLayer::new().patience(secs(3_600)).layer(streamed(go_on));
    let mut first = parts(svc.call(ask(Method::GET)).await.unwrap());
    first.next().await.unwrap();
    let mut second = Box::pin(svc.call(ask(Method::GET)));
    assert!(second.as_mut().now_or_never().is_none());
    drop(first);
    assert_eq!(
        read(second.await.unwrap()).await,
        ("miss".into(), "another".into())
    );
}

#[tokio::test(start_paused = true)]
async fn who_asks_after_an_invalidation_is_not_given_what_was_asked_for_before() {
    let (origin, calls) = slow(&[("cache-control", "max-age=60")]);
    let layer = HttpCacheLayer::new();
    let mut svc = layer.layer(origin);
    let mut first = Box::pin(svc.call(ask(Method::GET)));
    assert!(first.as_mut().now_or_never().is_none());
    layer.handle().invalidate("/a");
    let later: Vec<_> = (0..5)
        .map(|_| {
            let mut svc = svc.clone();
            async move { read(svc.call(ask(Method::GET)).await.unwrap()).await.1 }
        })
        .collect();
    let (first, later) = tokio::join!(async { read(first.await.unwrap()).await.1 }, join_all(later));
    assert_eq!(first, "body 1");
    assert_eq!(later, ["body 2"; 5]);
    assert_eq!(calls.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_hangs_nobody() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let svc = service_fn(move |_: Request<Body>| {
        let call = counted.fetch_add(1, SeqCst);
        async move {
            sleep(secs(1)).await;
            assert!(call > 0, "the first call panics");
            let response = Response::builder().header("cache-control", "max-age=60");
            Ok::<_, Infallible>(response.body(Body::from("well")).unwrap())
        }
    });
    let svc = HttpCacheLayer::new().layer(svc);
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let mut svc = svc.clone();
            tokio::spawn(async move { read(svc.call(ask(Method::GET)).await.unwrap()).await.1 })
        })
        .collect();
    let answers = join_all(tasks).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
    assert_eq!(calls.load(SeqCst), 2);
}

type Bodies = Arc<Mutex<VecDeque<oneshot::Receiver<&'static str>>>>;

/// Two loads of one URI overlap, as both clients want a fresh one, and the one that began first ends last.
#[tokio::test(start_paused = true)]
async fn of_two_loads_that_overlap_the_one_that_began_later_stays() {
    let bodies = Bodies::default();
    let queue = bodies.clone();
    let mut svc = HttpCacheLayer::new().layer(service_fn(move |_: Request<Body>| {
        let body = queue.lock().unwrap().pop_front().unwrap();
        async move {
            let body = body.map(|body| Ok::<_, Infallible>(Bytes::from(body.unwrap())));
            let response = Response::builder().header("cache-control", "max-age=60");
            Ok::<_, Infallible>(response.body(Body::from_stream(body.into_stream())).unwrap())
        }
    }));
    let mut fresh = || {
        let (send, receive) = oneshot::channel();
        bodies.lock().unwrap().push_back(receive);
        let mut req = ask(Method::GET);
        req.headers_mut()
            .insert("cache-control", "no-cache".parse().unwrap());
        (send, svc.call(req))
    };
    let ((older, first), (newer, second)) = (fresh(), fresh());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    newer.send("newer").unwrap();
    assert_eq!(read(second).await.1, "newer");
    older.send("older").unwrap();
    assert_eq!(read(first).await.1, "older");
    assert_eq!(
        read(svc.call(ask(Method::GET)).await.unwrap()).await,
        ("hit".into(), "newer".into())
    );
}

/// A client that gives up in the middle of a `PUT` has changed who knows what.
#[tokio::test(start_paused = true)]
async fn a_change_whose_caller_goes_away_invalidates_too() {
    let (origin, calls) = slow(&[("cache-control", "max-age=60")]);
    let mut svc = HttpCacheLayer::new().layer(origin);
    read(svc.call(ask(Method::GET)).await.unwrap()).await;
    let mut put = Box::pin(svc.call(ask(Method::PUT)));
    assert!(put.as_mut().now_or_never().is_none());
    drop(put);
    assert_eq!(read(svc.call(ask(Method::GET)).await.unwrap()).await.0, "miss");
    assert_eq!(calls.load(SeqCst), 3);
}

/// Neither a slow origin nor a slow client makes a response any fresher.
#[tokio::test(start_paused = true)]
async fn time_counts_from_when_it_was_asked_for() {
    let (go, go_on) = oneshot::channel();
    let mut svc = HttpCacheLayer::new().layer(streamed(go_on));
    let mut body = parts(svc.call(ask(Method::GET)).await.unwrap());
    body.next().await.unwrap();
    advance(secs(50)).await;
    go.send(()).unwrap();
    while body.next().await.is_some() {}
    advance(secs(9)).await;
    let hit = svc.call(ask(Method::GET)).await.unwrap();
    assert_eq!(
        (&hit.headers()["x-cache"], &hit.headers()["age"]),
        (&"hit".parse().unwrap(), &"59".parse().unwrap())
    );
    advance(secs(1)).await;
    assert_eq!(read(svc.call(ask(Method::GET)).await.unwrap()).await.0, "miss");
}

/// Two identities ask for one path, now with a cookie, now with `Authorization`, in all orders and at the same time as
/// somebody without: nobody is ever given another's.
#[tokio::test(start_paused = true)]
async fn in_a_hundred_thousand_turns_nobody_is_given_the_response_of_another() {
    let svc = HttpCacheLayer::new().layer(service_fn(|req: Request<Body>| async move {
        let who = ["authorization", "cookie"]
            .iter()
            .find_map(|name| req.headers().get(*name))
            .map_or("nobody".to_owned(), |who| who.to_str().unwrap().to_owned());
        tokio::task::yield_now().await;
        let response = Response::builder().header("cache-control", "public, max-age=1");
        Ok::<_, Infallible>(response.body(Body::from(who)).unwrap())
    }));
    let mut seed = 7u64;
    let mut asked = 0;
    while asked < 100_000 {
        let turns: Vec<_> = (0..50)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let mut req = ask(Method::GET);
                let (field, who) = match seed % 5 {
                    0 => ("authorization", "alice"),
                    1 => ("authorization", "bob"),
                    2 => ("cookie", "alice"),
                    3 => ("cookie", "bob"),
                    _ => ("accept", "nobody"),
                };
                req.headers_mut().insert(field, who.parse().unwrap());
                let mut svc = svc.clone();
                async move {
                    let (label, body) = read(svc.call(req).await.unwrap()).await;
                    assert_eq!(body, who, "{field}");
                    assert_eq!(label == "bypass", who != "nobody");
                }
            })
            .collect();
        asked += turns.len();
        join_all(turns).await;
        advance(secs(u64::from(seed % 7 == 0))).await;
    }
}

#[test]
fn outside_of_a_runtime_nobody_waits() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let svc = HttpCacheLayer::new().layer(service_fn(move |_: Request<Body>| {
        counted.fetch_add(1, SeqCst);
        std::future::pending::<Result<Response<Body>, std::convert::Infallible>>()
    }));
    let mut callers: Vec<_> = (0..3)
        .map(|_| tokio_test::task::spawn(svc.clone().call(ask(Method::GET))))
        .collect();
    for caller in &mut callers {
        tokio_test::assert_pending!(caller.poll());
    }
    assert_eq!(calls.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn an_idle_cache_frees_its_memory() {
    let layer = HttpCacheLayer::new()
        .default_ttl(secs(10))
        .revalidate_within(secs(0));
    let origin = crate::support::origin(layer.clone(), &[]);
    for n in 0..100 {
        origin.ask("GET", &format!("/{n}"), &[]).await;
    }
    assert_eq!(layer.handle().stats().entries, 100);
    let sweeper = tokio::spawn(layer.handle().sweeper(secs(60)));
    tokio::time::sleep(secs(70)).await;
    assert_eq!(layer.handle().stats().entries, 0);
    sweeper.abort();
}
