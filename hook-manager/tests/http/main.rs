//! HTTP hooks, against servers of the test's own: what they are sent, how their answers are read, and that a
//! connection in doubt is never used again.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use hook_manager::{
    Decision, Ended, EventReport, Hook, HookError, HookEvent, HookManager, HookRequest, Http, OnFailure,
    layers::Source,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[path = "../support/mod.rs"]
mod support;

mod settings;
mod unkind;

use support::Project;

/// What a server says to one request.
#[derive(Clone)]
enum Says {
    /// A whole response, to the byte.
    Raw(String),
    /// The same, after which it closes the connection.
    ThenCloses(String),
    /// It closes the connection without a word.
    Nothing,
    /// It says this, and no more.
    Hangs(String),
}

fn ok(body: &str) -> Says {
    Says::Raw(response("200 OK", body))
}

fn response(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server that says one thing after the other, the last one for ever.
#[derive(Clone, Default)]
struct Server {
    url: String,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn saying(says: impl IntoIterator<Item = Says>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            url: format!(
                "http://{}/hooks/pre?x=1",
                listener.local_addr().expect("an address")
            ),
            ..Self::default()
        };
        let says: Arc<Vec<Says>> = Arc::new(says.into_iter().collect());
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, SeqCst);
                let (server, says) = (accepting.clone(), Arc::clone(&says));
                tokio::spawn(async move {
                    server.serve(stream, &says).await;
                    server.closed.fetch_add(1, SeqCst);
                });
            }
        });
        server
    }

    async fn serve(&self, mut stream: TcpStream, says: &[Says]) {
        let mut read = Vec::new();
        while let Some(request) = request(&mut stream, &mut read).await {
            let nth = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(request);
                requests.len() - 1
            };
            match &says[nth.min(says.len() - 1)] {
                Says::Raw(text) => stream.write_all(text.as_bytes()).await.expect("a client"),
                Says::ThenCloses(text) => return stream.write_all(text.as_bytes()).await.expect("a client"),
                Says::Nothing => return,
                Says::Hangs(text) => {
                    stream.write_all(text.as_bytes()).await.expect("a client");
                    // Until the client has gone.
                    let _ = stream.read(&mut [0; 64]).await;
                    return;
                }
            }
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn request(&self, nth: usize) -> String {
        self.requests.lock().unwrap()[nth].clone()
    }

    fn asked(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn hook(&self) -> Hook {
        Hook::http("h", HookEvent::PreToolUse, Http::new(&self.url))
    }
}

/// One request with its body.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text[..end].lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            let whole = end + 4 + length.expect("a length");
            if read.len() >= whole {
                let rest = read.split_off(whole);
                let request = std::mem::replace(read, rest);
                return String::from_utf8(request).ok();
            }
        }
        match stream.read_buf(read).await {
            Ok(n) if n > 0 => {}
            _ => return None,
        }
    }
}

fn manager(hook: Hook) -> HookManager {
    HookManager::builder()
        .breaker_threshold(1_000_000)
        .output_limit(64 * 1024)
        .hook(hook)
        .build()
        .expect("a manager")
}

async fn run(manager: &HookManager) -> EventReport {
    let input = br#"{"tool_name": "Bash", "tool_input": {"command": "ls"}}"#;
    let req = HookRequest::parse(HookEvent::PreToolUse, input).expect("an event");
    manager.execute(req).await
}

fn error(report: &EventReport) -> &HookError {
    report.results[0].error().unwrap_or_else(|| panic!("{report:#?}"))
}

/// Waits for a condition, with a generous bound.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn the_event_is_posted_as_it_is_over_one_connection() {
    let server = Server::saying([ok("")]).await;
    let manager = manager(server.hook());
    for _ in 0..20 {
        let report = run(&manager).await;
        assert!(
            matches!(report.results[0].ended, Ended::Answered(_)),
            "{report:#?}"
        );
        assert_eq!(report.merged.decision, Decision::None);
    }
    assert_eq!(server.connections(), 1);
    let request = server.request(19);
    assert!(
        request.starts_with("POST /hooks/pre?x=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("\r\ncontent-type: application/json\r\n"),
        "{request}"
    );
    assert!(request.contains("\r\nhost: 127.0.0.1:"), "{request}");
    assert!(
        request.ends_with("\r\n\r\n{\"tool_name\": \"Bash\", \"tool_input\": {\"command\": \"ls\"}}"),
        "{request}"
    );
    let pool = manager.layers().last().map(Source::layer);
    assert_eq!(pool, Some("pool"));
    assert_eq!(manager.shutdown().await, 0);
    eventually("the connection is closed", || server.closed.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn an_object_decides_and_a_status_alone_never_does() {
    let deny = r#"{"hookSpecificOutput": {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "no"}}"#;
    for (says, decision, kind) in [
        (response("200 OK", deny), Decision::Deny, None),
        (response("201 Created", deny), Decision::Deny, None),
        (response("200 OK", " \n"), Decision::None, None),
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), Decision::None, None),
        (response("200 OK", "fine"), Decision::None, Some("bad_output")),
        (response("200 OK", "[1]"), Decision::None, Some("bad_output")),
        (response("200 OK", "{"), Decision::None, Some("bad_output")),
        (response("403 Forbidden", deny), Decision::None, Some("failed")),
        (
            response("500 Internal Server Error", ""),
            Decision::None,
            Some("failed"),
        ),
        (
            response("302 Found\r\nLocation: /elsewhere", ""),
            Decision::None,
            Some("failed"),
        ),
    ] {
        let server = Server::saying([Says::Raw(says.clone())]).await;
        let report = run(&manager(server.hook())).await;
        assert_eq!(report.merged.decision, decision, "{says}");
        assert_eq!(report.results[0].error().map(HookError::kind), kind, "{says}");
        assert_eq!(server.asked(), 1, "{says}");
    }
}

#[tokio::test]
async fn a_failure_means_what_its_owner_says() {
    for (policy, decision) in [
        (OnFailure::Allow, Decision::None),
        (OnFailure::Ask, Decision::Ask),
        (OnFailure::Block, Decision::Deny),
    ] {
        let server = Server::saying([Says::Raw(response("302 Found", ""))]).await;
        let report = run(&manager(server.hook().on_failure(policy))).await;
        assert_eq!(report.merged.decision, decision);
        assert_eq!(
            error(&report).to_string(),
            "HTTP status 302 Found; redirects are not followed"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_could_not_be_started_with() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let hook = Hook::http(
        "h",
        HookEvent::PreToolUse,
        Http::new(format!("http://{address}/")),
    );
    let report = run(&manager(hook)).await;
    let told = error(&report).to_string();
    assert!(
        told.starts_with(&format!("could not start: {address}: ")),
        "{told}"
    );
    assert!(told.contains("refused"), "{told}");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_failure_of_the_hook() {
    let server = Server::saying([Says::ThenCloses(response("200 OK", ""))]).await;
    let manager = manager(server.hook());
    for n in 1..=10 {
        let report = run(&manager).await;
        assert!(
            matches!(report.results[0].ended, Ended::Answered(_)),
            "{report:#?}"
        );
        eventually("it closes", || server.closed.load(SeqCst) == n).await;
    }
    assert_eq!((server.connections(), server.asked()), (10, 10));
}

#[tokio::test]
async fn a_connection_that_was_closed_over_a_request_is_a_failure_and_not_tried_twice() {
    let server = Server::saying([ok(""), Says::Nothing, ok("")]).await;
    let manager = manager(server.hook());
    run(&manager).await;
    let report = run(&manager).await;
    assert_eq!(error(&report).kind(), "failed", "{report:#?}");
    assert_eq!(server.asked(), 2, "nobody knows what the server has done by then");
    let report = run(&manager).await;
    assert!(report.results[0].error().is_none(), "{report:#?}");
}

#[tokio::test]
async fn a_connection_that_timed_out_half_read_is_never_used_again() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"systemMessage\": ";
    for says in [half, ""] {
        let server = Server::saying([Says::Hangs(says.into()), ok("{\"systemMessage\": \"second\"}")]).await;
        let manager = manager(server.hook().timeout(Duration::from_millis(200)));
        let report = run(&manager).await;
        assert!(
            matches!(
                error(&report),
                HookError::TimedOut {
                    by_deadline: false,
                    ..
                }
            ),
            "{report:#?}"
        );
        eventually("the connection is closed", || server.closed.load(SeqCst) == 1).await;
        let report = run(&manager).await;
        assert_eq!(report.merged.system_messages, ["second"]);
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn an_event_that_is_given_up_closes_its_connection() {
    let server = Server::saying([Says::Hangs(String::new())]).await;
    let manager = manager(server.hook());
    tokio::select! {
        _ = run(&manager) => panic!("it does not answer"),
        () = eventually("it is asked", || server.asked() == 1) => {}
    }
    eventually("the connection is closed", || server.closed.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read_on() {
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &format!("ffff\r\n{}\r\n", "x".repeat(0xffff)).repeat(4);
    let server = Server::saying([Says::Hangs(endless), ok("")]).await;
    let manager = manager(server.hook());
    let report = run(&manager).await;
    assert_eq!(
        error(&report).to_string(),
        "bad output: the response's body is over 65536 bytes"
    );
    eventually("the connection is closed", || server.closed.load(SeqCst) == 1).await;
    assert!(run(&manager).await.results[0].error().is_none());
}

#[tokio::test]
async fn a_response_nobody_asked_for_answers_nobody() {
    let two = response("200 OK", "{\"systemMessage\": \"one\"}")
        + &response("200 OK", "{\"systemMessage\": \"two\"}");
    let server = Server::saying([Says::Raw(two), ok("{\"systemMessage\": \"mine\"}")]).await;
    let manager = manager(server.hook());
    assert_eq!(run(&manager).await.merged.system_messages, ["one"]);
    assert_eq!(run(&manager).await.merged.system_messages, ["mine"]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn what_is_no_http_is_a_failure() {
    let server = Server::saying([Says::Raw("SSH-2.0-OpenSSH\r\n".into())]).await;
    let report = run(&manager(server.hook())).await;
    assert_eq!(error(&report).kind(), "failed", "{report:#?}");
}

#[tokio::test]
async fn headers_take_only_the_variables_they_are_allowed() {
    let server = Server::saying([ok("")]).await;
    let mut http = Http::new(&server.url);
    http.headers = vec![
        ("X-Dir".into(), "<$CARGO_MANIFEST_DIR>".into()),
        ("X-Path".into(), "<$PATH>".into()),
        ("User-Agent".into(), "mine".into()),
    ];
    http.allowed_env = vec!["CARGO_MANIFEST_DIR".into()];
    run(&manager(Hook::http("h", HookEvent::PreToolUse, http))).await;
    let request = server.request(0);
    let dir = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    assert!(request.contains(&format!("\r\nx-dir: <{dir}>\r\n")), "{request}");
    assert!(request.contains("\r\nx-path: <>\r\n"), "{request}");
    assert!(request.contains("\r\nuser-agent: mine\r\n"), "{request}");
}

#[test]
fn what_cannot_be_posted_to_is_refused_by_name() {
    for (url, expected) in [
        ("https://hooks.example/", "this version does not speak https"),
        ("hooks.example", "it has no scheme"),
        ("http://me:pw@hooks.example/", "it has a user in it"),
    ] {
        let hook = Hook::http("h", HookEvent::Stop, Http::new(url));
        let err = HookManager::builder().hook(hook).build().unwrap_err().to_string();
        assert!(err.contains(expected), "{err}");
    }
    let mut http = Http::new("http://h/");
    http.headers = vec![("Content-Length".into(), "7".into())];
    let hook = Hook::http("h", HookEvent::Stop, http);
    let err = HookManager::builder().hook(hook).build().unwrap_err().to_string();
    assert!(err.contains("found \"Content-Length\""), "{err}");
}
