use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::{Response, StatusCode};
use http_body_util::BodyExt;

use super::{
    RuntimeLag,
    endpoints::{Body, live, refusal},
};

/// Answers `/livez` from threads of its own, so that it can tell that the runtime is stuck.
///
/// An endpoint that the stuck runtime itself serves does not answer, which a prober sees as a
/// timeout; this one says what is wrong. Bind it to loopback, unless the prober is elsewhere: it
/// tells nothing but the lag. Dropping it closes it.
pub struct LiveServer {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const MAX_CONNECTIONS: usize = 16;
const MAX_HEAD: usize = 8 << 10;
/// For the whole of a request, and again for its answer.
const DEADLINE: Duration = Duration::from_secs(5);

impl LiveServer {
    /// Listens at `address` and answers 503 while the runtime is later than `max_lag`.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or no thread can be had.
    pub fn bind(address: impl ToSocketAddrs, lag: RuntimeLag, max_lag: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&closed);
        let serve = move || serve(&listener, &lag, max_lag, &is_closed);
        let thread = thread::Builder::new().name("hook-livez".into()).spawn(serve)?;
        Ok(Self {
            address,
            closed,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

fn serve(listener: &TcpListener, lag: &RuntimeLag, max_lag: Duration, closed: &AtomicBool) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = listener.accept();
        if closed.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: do not spin.
            thread::park_timeout(Duration::from_millis(100));
            continue;
        };
        if open.load(Ordering::Acquire) >= MAX_CONNECTIONS {
            continue;
        }
        open.fetch_add(1, Ordering::AcqRel);
        let (place, lag) = (Place(Arc::clone(&open)), lag.clone());
        let answer = move || {
            let _place = place;
            // The prober sees what went wrong; there is nobody else to tell.
            let _ = talk(stream, &lag, max_lag);
        };
        // No thread to be had: the connection closes, and the place is given back.
        let _ = thread::Builder::new()
            .name("hook-livez-call".into())
            .spawn(answer);
    }
}

struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn talk(mut stream: TcpStream, lag: &RuntimeLag, max_lag: Duration) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    let line = head.lines().next().unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let answer = match (method, target.split('?').next().unwrap_or_default()) {
        ("GET" | "HEAD", "/livez") => live(lag.lag(), max_lag),
        (_, "/livez") => refusal(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD only"),
        _ => refusal(StatusCode::NOT_FOUND, "not found"),
    };
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.write_all(&written(answer, method == "HEAD"))
}

fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let deadline = Instant::now() + DEADLINE;
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    String::from_utf8(head).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn written(answer: Response<Body>, is_head: bool) -> Vec<u8> {
    let (parts, mut body) = answer.into_parts();
    let reason = parts.status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", parts.status.as_u16()).into_bytes();
    for (name, value) in &parts.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    if !is_head {
        // `Full` has its one frame at hand.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut frame = std::pin::pin!(body.frame());
        if let std::task::Poll::Ready(Some(Ok(frame))) = frame.as_mut().poll(&mut cx) {
            out.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
    }
    out
}

impl Drop for LiveServer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Wakes `accept`. An address like 0.0.0.0 is reached by way of loopback.
        let mut address = self.address;
        if address.ip().is_unspecified() {
            match address {
                SocketAddr::V4(_) => address.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
                SocketAddr::V6(_) => address.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
            }
        }
        let woken = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for LiveServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
