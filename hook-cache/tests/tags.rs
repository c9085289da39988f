//! Tags and patterns: what goes together.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_cache::{CacheLayer, ResultCache};
use tokio::{sync::oneshot, time::advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, service_fn};

#[test]
fn a_tag_takes_all_that_bear_it_and_nothing_else() {
    let cache = ResultCache::new(100);
    cache.insert_tagged(1, "one", ["odd", "small"]);
    cache.insert_tagged(2, "two", ["even", "small"]);
    cache.insert_tagged(3, "three", ["odd"]);
    cache.insert(4, "four");
    cache.invalidate_tag("odd");
    assert_eq!(
        [1, 2, 3, 4].map(|key| cache.get(&key).is_some()),
        [false, true, false, true]
    );
    // What is put afterwards lives.
    cache.insert_tagged(1, "one", ["odd"]);
    assert_eq!(cache.get(&1), Some("one"));
    cache.invalidate_tag("small");
    assert_eq!(
        [1, 2, 3, 4].map(|key| cache.get(&key).is_some()),
        [true, false, false, true]
    );
    cache.invalidate_tag("never heard of");
    assert_eq!([1, 4].map(|key| cache.get(&key).is_some()), [true, true]);
    assert_eq!(cache.stats().invalidated, 3);
}

#[test]
fn what_a_tag_condemned_is_swept_and_not_listed() {
    let cache = ResultCache::new(1_000);
    (0..500).for_each(|key| cache.insert_tagged(key, key, [if key % 2 == 0 { "even" } else { "odd" }]));
    cache.invalidate_tag("even");
    assert_eq!(cache.len(), 500, "it takes no time");
    assert!(!cache.contains(&0));
    assert!(!cache.invalidate(&0), "there was nothing that could be served");
    assert!(cache.sweep(Duration::from_secs(5)));
    assert_eq!(cache.len(), 250);
    assert_eq!((cache.stats().invalidated, cache.stats().expired), (250, 0));
}

#[tokio::test]
async fn a_layer_finds_the_tags_of_a_response() {
    let version = Arc::new(AtomicU32::new(1));
    let current = version.clone();
    let layer = CacheLayer::keyed_by(|user: &u32| Some(*user))
        .tags_by(|user: &u32, _response: &String| [format!("team {}", user % 2), "users".to_owned()]);
    let handle = layer.handle();
    let mut svc = layer.layer(service_fn(move |user: u32| {
        ready(Ok::<_, Infallible>(format!("{user} v{}", current.load(SeqCst))))
    }));
    for user in 0..4 {
        svc.call(user).await.unwrap();
    }
    version.store(2, SeqCst);
    handle.invalidate_tag("team 1");
    let mut answers = Vec::new();
    for user in 0..4 {
        answers.push(svc.call(user).await.unwrap());
    }
    assert_eq!(answers, ["0 v1", "1 v2", "2 v1", "3 v2"]);
    handle.invalidate_tag("users");
    assert_eq!(svc.call(0).await.unwrap(), "0 v2");
}

#[test]
fn a_load_that_turns_out_to_bear_a_tag_invalidated_meanwhile_is_not_stored() {
    let cache = ResultCache::builder()
        .tags_by(|_: &u32, value: &&str| [*value])
        .build();
    for (invalidated, stored) in [("old", false), ("other", true)] {
        cache.invalidate(&1);
        let (send, receive) = oneshot::channel();
        let mut leader = task::spawn(cache.get_or_load(1, || receive));
        assert_pending!(leader.poll());
        cache.invalidate_tag(invalidated);
        send.send("old").unwrap();
        assert_eq!(assert_ready_ok!(leader.poll()), "old");
        assert_eq!(cache.get(&1).is_some(), stored, "{invalidated}");
    }
    assert_eq!(cache.stats().refused.outdated, 1);
}

#[test]
fn who_asks_after_a_tag_was_invalidated_is_not_given_what_was_loaded_before() {
    let cache = ResultCache::builder()
        .tags_by(|_: &u32, _: &&str| ["tag"])
        .build();
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    let new = || ready(Ok::<_, oneshot::error::RecvError>("new"));
    let mut before = task::spawn(cache.get_or_load(1, new));
    assert_pending!(before.poll());
    cache.invalidate_tag("tag");
    let mut after = task::spawn(cache.get_or_load(1, new));
    assert_pending!(after.poll());
    send.send("old").unwrap();
    assert_eq!(assert_ready_ok!(leader.poll()), "old");
    assert_eq!(assert_ready_ok!(before.poll()), "old");
    assert_eq!(assert_ready_ok!(after.poll()), "new");
    assert_eq!(cache.get(&1), Some("new"));
}

#[test]
fn a_tag_that_was_forgotten_still_condemns_the_load_that_brings_it() {
    let cache = ResultCache::builder()
        .tags_by(|_: &u32, value: &String| [value.clone()])
        .build();
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || receive));
    assert_pending!(leader.poll());
    cache.invalidate_tag("rare");
    // So many other tags come and go that nobody can remember them all.
    for n in 0..10_000 {
        cache.insert(2, format!("{n}"));
    }
    send.send("rare".to_owned()).unwrap();
    assert_ready_ok!(leader.poll());
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_pattern_is_found_anywhere_in_a_key() {
    let cache = ResultCache::new(100);
    for key in ["tool:read:a.rs", "tool:write:a.rs", "tool:read:b.rs", "session"] {
        cache.insert(key.to_owned(), ());
    }
    assert_eq!(cache.invalidate_matching("read"), 2);
    assert_eq!(cache.invalidate_matching("a.rs"), 1);
    assert_eq!(cache.invalidate_matching("*"), 0, "it is taken letter by letter");
    assert_eq!(cache.len(), 1);
    assert_eq!(cache.invalidate_matching(""), 1);
}

#[test]
fn a_pattern_counts_for_a_load_under_way() {
    let cache = ResultCache::new(100);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load("a key".to_owned(), || receive));
    assert_pending!(leader.poll());
    assert_eq!(cache.invalidate_matching("key"), 0);
    send.send(1).unwrap();
    assert_ready!(leader.poll()).unwrap();
    assert!(cache.is_empty());
}

/// moka: at 5 s a predicate takes alice and alex (keys 0 and 2) and leaves 1; a new alice put at 10 s stays.
#[tokio::test(start_paused = true)]
async fn a_predicate_has_no_say_over_what_is_put_later() {
    let cache = ResultCache::new(100);
    (0..3)
        .zip(["alice", "bob", "alex"])
        .for_each(|(key, name)| cache.insert(key, name));
    advance(Duration::from_secs(5)).await;
    assert_eq!(cache.invalidate_if(|_, name| name.starts_with("al")), 2);
    assert_eq!([0, 1, 2].map(|key| cache.contains(&key)), [false, true, false]);
    advance(Duration::from_secs(5)).await;
    cache.insert(3, "alice");
    assert_eq!(cache.get(&3), Some("alice"));
}

#[test]
fn who_takes_a_load_over_after_its_tag_was_invalidated_begins_anew() {
    // What the caller asks for before, and after, the tag was invalidated: waiting, or only then.
    for waited in [true, false] {
        let cache = ResultCache::builder().tags_by(|_: &u32, _: &u32| ["all"]).build();
        let load = |go_on: oneshot::Receiver<u32>| async { Ok::<_, Infallible>(go_on.await.unwrap_or(0)) };
        let (old, begun_before) = oneshot::channel();
        let (new, begun_after) = oneshot::channel();
        let mut first = task::spawn(cache.get_or_load_shared(1, move || load(begun_before)));
        assert_pending!(first.poll());
        // Keeps the flight from ending with its leader.
        let mut between = task::spawn(cache.get_or_load_shared(1, move || load(oneshot::channel().1)));
        assert_pending!(between.poll());
        cache.invalidate_tag("all");
        let mut late = task::spawn(cache.get_or_load_shared(1, move || load(begun_after)));
        if waited {
            assert_pending!(late.poll());
        }
        drop(first);
        if waited {
            drop(between);
            assert!(late.is_woken());
        }
        let _ = (old.send(1), new.send(2));
        assert_eq!(assert_ready_ok!(late.poll()), 2, "waited: {waited}");
    }
}

#[test]
fn tags_that_nobody_bears_any_more_give_back_their_memory() {
    let cache = ResultCache::builder().capacity(200_000).build();
    let fill = || (0..100_000u64).for_each(|key| cache.insert_tagged(key, (), [key.to_string()]));
    let full = allocation_counter::measure(fill).bytes_current;
    let given_back = allocation_counter::measure(|| {
        cache.invalidate_all();
        assert!(cache.sweep(Duration::from_secs(60)));
    });
    let idle = full + given_back.bytes_current;
    assert!(idle * 10 < full, "{idle} bytes of {full} are left");
}
