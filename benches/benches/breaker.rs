//! The circuit breaker: closed and open, alone and shared, and over more and more calls in a window of time.

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use benches::{Bare, Down, Mode, call, calls, claims::Suite};
use criterion::{BenchmarkId, Criterion};
use hook_breaker::{CircuitBreakerLayer, Rejected, TripPolicy, Window};
use tokio::runtime::Runtime;
use tower::{Layer, Service};
use tower_resilience::circuitbreaker::{CircuitBreakerLayer as PeerLayer, SlidingWindowType};

const TR: &str = "tower-resilience 0.13";
const OURS: &str = "hook-breaker, consecutive failures";
const OURS_RATE: &str = "hook-breaker, failure rate of 100 calls";
const OURS_TIME: &str = "hook-breaker, failure rate of 10 s";
const OURS_TIME_COARSE: &str = "hook-breaker, failure rate of 10 s, coarse clock";
const OURS_ANSWER: &str = "hook-breaker, an answer";
const OURS_ANSWER_COARSE: &str = "hook-breaker, an answer, coarse clock";

fn line<S>(c: &mut Criterion, group: &str, id: &str, mut service: S)
where
    S: Service<u64>,
{
    // Far more than ten windows, and every lane of every thread has been used.
    for req in 0..10_000 {
        let _ = call(&mut service, req);
    }
    c.benchmark_group(group)
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| call(&mut service, black_box(7)).is_ok());
        });
}

fn rate(window: Window) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new().failure_rate(0.5, window)
}

fn of_100_calls() -> CircuitBreakerLayer {
    rate(Window::calls(100))
}

fn of_10_s() -> CircuitBreakerLayer {
    rate(Window::time(Duration::from_secs(10)))
}

fn slow() -> CircuitBreakerLayer {
    let slow = TripPolicy::slow_call_rate(0.5, Duration::from_secs(1), Window::calls(100));
    CircuitBreakerLayer::new().trip_when(slow)
}

fn closed(c: &mut Criterion) {
    let group = "breaker/closed";
    line(c, group, "bare", Bare);
    line(c, group, OURS, CircuitBreakerLayer::new().layer(Bare));
    line(c, group, OURS_RATE, of_100_calls().layer(Bare));
    line(c, group, OURS_TIME, of_10_s().layer(Bare));
    line(c, group, OURS_TIME_COARSE, of_10_s().coarse_clock().layer(Bare));
    line(
        c,
        group,
        "hook-breaker, slow-call rate of 100 calls",
        slow().layer(Bare),
    );
    let coarse = slow().coarse_clock();
    line(
        c,
        group,
        "hook-breaker, slow-call rate of 100 calls, coarse clock",
        coarse.layer(Bare),
    );
    let keyed = CircuitBreakerLayer::keyed_by(|req: &u64| *req % 64);
    line(c, group, "hook-breaker, keyed, one of 64", keyed.layer(Bare));
    line(c, group, TR, peer(100).layer(Bare));
}

fn peer(window: usize) -> PeerLayer {
    PeerLayer::builder()
        .sliding_window_size(window)
        .build()
        .expect("sensible figures")
}

/// Two threads, each with a clone of the service, call at the same time; what one call takes, as each sees it.
fn shared(c: &mut Criterion) {
    let group = "breaker/two_threads";
    two(c, group, OURS, &CircuitBreakerLayer::new().layer(Bare));
    two(c, group, OURS_RATE, &of_100_calls().layer(Bare));
    two(c, group, TR, &peer(100).layer(Bare));
}

fn two<S>(c: &mut Criterion, group: &str, id: &str, service: &S)
where
    S: Service<u64> + Clone + Send,
{
    c.benchmark_group(group)
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter_custom(together(service));
        });
}

fn together<S>(service: &S) -> impl FnMut(u64) -> Duration
where
    S: Service<u64> + Clone + Send,
{
    let run = |iterations: u64, start: &Barrier, mut service: S| {
        for req in 0..10_000 {
            let _ = call(&mut service, req);
        }
        start.wait();
        let begin = Instant::now();
        for _ in 0..iterations {
            let _ = black_box(call(&mut service, black_box(7)).is_ok());
        }
        begin.elapsed()
    };
    move |iterations| {
        let start = Barrier::new(2);
        thread::scope(|scope| {
            let clone = service.clone();
            let other = scope.spawn(|| run(iterations, &start, clone));
            let mine = run(iterations, &start, service.clone());
            mine.max(other.join().expect("a bare call does not panic"))
        })
    }
}

/// Answers a refusal with a number.
type Answering =
    CircuitBreakerLayer<hook_breaker::ErrorsAsFailures, hook_breaker::RespondWith<fn(Rejected) -> u64>>;

fn answering() -> Answering {
    CircuitBreakerLayer::new().respond_with(|_: Rejected| 0)
}

fn open(c: &mut Criterion) {
    let group = "breaker/open";
    line(c, group, OURS_ANSWER, answering().layer(Down));
    line(
        c,
        group,
        OURS_ANSWER_COARSE,
        answering().coarse_clock().layer(Down),
    );
    line(
        c,
        group,
        "hook-breaker, an error in a box",
        CircuitBreakerLayer::new().layer(Down),
    );
    line(c, group, TR, open_peer().layer(Down));
}

fn open_peer() -> PeerLayer {
    PeerLayer::builder()
        .sliding_window_size(10)
        .wait_duration_in_open(Duration::from_secs(3600))
        .build()
        .expect("sensible figures")
}

/// How long a call takes while there are so many in the window. Twelve windows go by, in bursts, twenty to a window;
/// the first two are not counted.
///
/// Only the last fifty calls of a burst are timed, whatever its size, and a twin is called before each burst: else the
/// small ones would be dearer for coming to cold caches after ten milliseconds elsewhere, which is not the window's doing.
fn crowded<S: Service<u64>>(make: impl Fn() -> S, calls: u32, windows: u32) -> Duration {
    const BURSTS: u32 = 20;
    const TIMED: u32 = 50;
    let (mut service, mut twin) = (make(), make());
    let many = |service: &mut S, calls: u32| {
        for _ in 0..calls {
            let _ = black_box(call(service, black_box(7)).is_ok());
        }
    };
    let begin = Instant::now();
    let mut took: Vec<Duration> = (0..windows * BURSTS)
        .map(|burst| {
            while begin.elapsed() < WINDOW / BURSTS * burst {
                std::hint::spin_loop();
            }
            many(&mut twin, 2_000);
            many(&mut service, calls / BURSTS - TIMED);
            let start = Instant::now();
            many(&mut service, TIMED);
            start.elapsed() / TIMED
        })
        .skip((windows.min(3) as usize - 1) * BURSTS as usize)
        .collect();
    took.sort();
    took[took.len() / 2]
}

const WINDOW: Duration = Duration::from_millis(200);

/// Not Criterion's kind of measurement: time has to go by between the calls.
fn crowds(suite: &mut Suite) {
    let windows = match suite.mode() {
        Mode::Smoke => 1,
        Mode::Quick => 5,
        Mode::Full => 12,
    };
    let mut ours = Vec::new();
    for calls in [1_000, 10_000, 100_000] {
        let took = crowded(|| rate(Window::time(WINDOW)).layer(Bare), calls, windows);
        let control = crowded(|| of_100_calls().layer(Bare), calls, windows);
        let peer = (calls <= 10_000).then(|| {
            let make = || {
                let layer = PeerLayer::builder()
                    .sliding_window_type(SlidingWindowType::TimeBased)
                    .sliding_window_duration(WINDOW)
                    .build()
                    .expect("sensible figures");
                layer.layer(Bare)
            };
            crowded(make, calls, windows)
        });
        let peer = peer.map_or("not measured".to_owned(), |peer| format!("{peer:?}"));
        println!(
            "breaker/window: {calls:>7} calls in {WINDOW:?}, a call: hook-breaker {took:?} (over a window of calls \
             {control:?}), {TR} {peer}"
        );
        ours.push(took);
    }
    let most = ours.iter().max().map_or(0.0, Duration::as_secs_f64);
    let least = ours.iter().min().map_or(0.0, Duration::as_secs_f64);
    let measured = format!(
        "{:?} of 1 k, {:?} of 10 k, {:?} of 100 k",
        ours[0], ours[1], ours[2]
    );
    suite.value("breaker.window", most / least, measured);
}

fn claims(suite: &mut Suite) {
    let peer = |window| calls(peer(window).layer(Bare));
    let ours = calls(CircuitBreakerLayer::new().layer(Bare));
    suite.ratio("breaker.closed.consecutive", ours, peer(100));
    suite.ratio(
        "breaker.closed.rate",
        calls(of_100_calls().layer(Bare)),
        peer(100),
    );
    let (ours, theirs) = (of_100_calls().layer(Bare), self::peer(100).layer(Bare));
    suite.ratio("breaker.closed.two_threads", together(&ours), together(&theirs));
    let ours = calls(answering().layer(Down));
    suite.ratio("breaker.open", ours, calls(open_peer().layer(Down)));
    if suite.wants("breaker.window") {
        crowds(suite);
    }
}

/// Everything runs inside a tokio runtime, as it would in a service.
fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let mut suite = Suite::named("breaker");
    let mut criterion = suite.mode().criterion();
    closed(&mut criterion);
    shared(&mut criterion);
    open(&mut criterion);
    criterion.final_summary();
    claims(&mut suite);
    suite.finish();
}
