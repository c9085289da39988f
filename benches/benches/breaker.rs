//! The circuit breaker: closed and open, alone and shared, and over more and more calls in a window of time.

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use benches::{Bare, Down, Mode, Spread, call, calls, claims::Suite};
use criterion::{BenchmarkId, Criterion};
use hook_breaker::{CircuitBreaker, CircuitBreakerLayer, Rejected, TripPolicy, Window};
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

/// Calls that come as fast as they can, in a window as long as that many of them take: there are always about so many
/// in it, and with every tenth of them a tenth leaves. Nothing pauses, so that the caches are as warm for a window of few
/// as for one of many.
struct Crowd<S> {
    service: S,
    circuit: CircuitBreaker,
}

/// How many calls a length of time is made of here, whatever the window holds.
const STRETCH: u32 = 100_000;

impl<S: Service<u64>> Crowd<S> {
    /// The nanoseconds that one of so many calls takes.
    fn took(&mut self, calls: u32) -> f64 {
        let start = Instant::now();
        for _ in 0..calls {
            let _ = black_box(call(&mut self.service, black_box(7)).is_ok());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    }

    fn inside(&self) -> u64 {
        self.circuit.snapshot().windows[0].tally.calls
    }
}

/// A window that holds so many. How long that takes depends on the machine, so the last is made by what the others show.
fn crowd(calls: u32) -> Crowd<impl Service<u64>> {
    let lasting = |each: f64| {
        let length = Duration::from_secs_f64(each * f64::from(calls) / 1e9);
        let layer = rate(Window::time(length));
        let circuit = layer.handle();
        Crowd {
            service: layer.layer(Bare),
            circuit,
        }
    };
    let mut crowd = lasting(50.0);
    for _ in 0..3 {
        crowd.took(STRETCH);
        let each = crowd.took(STRETCH);
        crowd = lasting(each);
    }
    crowd
}

/// What one call takes while the peer has so many in its window, which is so long that none of them leaves: it looks at
/// each of them every time.
fn crowded_peer(calls: u32) -> Duration {
    const TIMED: u32 = 100;
    let layer = PeerLayer::builder()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(Duration::from_secs(3_600))
        .build()
        .expect("sensible figures");
    let mut service = layer.layer(Bare);
    let mut many = |calls: u32| {
        for _ in 0..calls {
            let _ = black_box(call(&mut service, black_box(7)).is_ok());
        }
    };
    many(calls);
    let start = Instant::now();
    many(TIMED);
    start.elapsed() / TIMED
}

/// Not Criterion's kind of measurement: three windows take turns, and what counts is how far apart they are.
fn crowds(suite: &mut Suite) {
    const CALLS: [u32; 3] = [1_000, 10_000, 100_000];
    let rounds = match suite.mode() {
        Mode::Smoke => 1,
        Mode::Quick => 31,
        Mode::Full => 61,
    };
    let mut crowds = CALLS.map(crowd);
    let (mut took, mut inside) = ([const { Vec::new() }; CALLS.len()], [0; CALLS.len()]);
    for _ in 0..rounds {
        for (n, crowd) in crowds.iter_mut().enumerate() {
            took[n].push(crowd.took(STRETCH));
            inside[n] = crowd.inside();
        }
    }
    let took = took.map(Spread::of);
    let mut measured = Vec::new();
    for ((calls, inside), took) in CALLS.into_iter().zip(inside).zip(&took) {
        let peer = match calls {
            100_000 => "not measured".to_owned(),
            calls => format!("{:?}", crowded_peer(calls)),
        };
        println!(
            "breaker/window: a call among {calls} ({inside} after the last): hook-breaker {:.1} ns ({:.1} to {:.1}), {TR} {peer}",
            took.median, took.low, took.high
        );
        measured.push(format!("{:.1} ns of {} k", took.median, calls / 1_000));
    }
    let most = took.iter().map(|took| took.median).fold(0.0, f64::max);
    let least = took.iter().map(|took| took.median).fold(f64::MAX, f64::min);
    suite.value("breaker.window", most / least, measured.join(", "));
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
