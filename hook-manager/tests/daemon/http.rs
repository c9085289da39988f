use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::{
    daemon_support::{Daemon, wait_for, wait_until},
    support::{Project, event},
};

const JSON: &str = "Content-Type: application/json\r\n";

/// Status and body.
fn ask(daemon: &Daemon, line: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let host = match headers.contains("Host:") {
        true => String::new(),
        false => format!("Host: {}\r\n", daemon.address()),
    };
    write!(
        stream,
        "{line} HTTP/1.1\r\n{host}{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, body.to_owned())
}

#[test]
fn it_is_the_hosts_http_hook() {
    let project = Project::example();
    let daemon = Daemon::start(&project, &["--http", "127.0.0.1:0"]);
    let run = |name: &str, sample: &str| ask(&daemon, &format!("POST /hooks/{name}"), JSON, &event(sample));
    let (status, body) = run("PreToolUse", "pre_tool_use_read_env");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["hookSpecificOutput"]["permissionDecision"], "deny");
    assert_eq!(
        run("PreToolUse", "pre_tool_use_bash_harmless"),
        (200, String::new())
    );

    // An event that cannot be read is no reason to let an action pass that is guarded.
    let (status, body) = ask(&daemon, "POST /hooks/PreToolUse", JSON, "{ no json");
    assert_eq!(status, 200);
    assert!(body.contains("permissionDecision"), "{body}");

    let (status, body) = ask(&daemon, "GET /stats", "", "");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(body["events"][0]["event"], "PreToolUse");
    assert!(body["layers"].as_array().is_some_and(|layers| !layers.is_empty()));
    for path in ["/health", "/livez", "/readyz"] {
        wait_until(path, || ask(&daemon, &format!("GET {path}"), "", "").0 == 200);
    }
    let (status, metrics) = ask(&daemon, "GET /metrics", "", "");
    assert_eq!(status, 200);
    assert!(
        metrics.contains("hook_calls_total{layer=\"monitor\",name=\"secret_guard\"")
            && metrics.contains("hook_anomaly_active{")
            && metrics.contains("target=\"PreToolUse/secret_guard\""),
        "{metrics}"
    );
}

#[test]
fn pages_in_browsers_and_strangers_are_turned_away() {
    let project = Project::example();
    let token = project.file("token", "a-secret-of-some-length\n");
    let daemon = Daemon::start(
        &project,
        &["--http", "127.0.0.1:0", "--http-token", token.to_str().unwrap()],
    );
    let known = "Authorization: Bearer a-secret-of-some-length\r\n";
    let post = |headers: &str| ask(&daemon, "POST /hooks/Stop", headers, "{}").0;
    assert_eq!(post(&format!("{known}{JSON}")), 200);
    for (headers, status) in [
        (format!("{known}{JSON}Host: evil.example\r\n"), 403),
        (format!("{known}{JSON}Host: localhost.evil.example:80\r\n"), 403),
        (
            format!("{known}{JSON}Host: localhost\r\nHost: evil.example\r\n"),
            403,
        ),
        (
            format!("{known}{JSON}Host: localhost\r\nHost: localhost\r\n"),
            403,
        ),
        (format!("{known}{JSON}Origin: http://localhost\r\n"), 403),
        (format!("{known}{JSON}Sec-Fetch-Site: cross-site\r\n"), 403),
        (format!("{known}{JSON}Sec-Fetch-Site: none\r\n"), 200),
        (format!("{known}Content-Type: text/plain\r\n"), 415),
        (known.to_owned(), 415),
        (JSON.to_owned(), 401),
        (
            format!("{JSON}Authorization: Bearer a-secret-of-some-lengtH\r\n"),
            401,
        ),
    ] {
        assert_eq!(post(&headers), status, "{headers}");
    }
    let elsewhere = "POST http://evil.example/hooks/Stop";
    assert_eq!(ask(&daemon, elsewhere, &format!("{known}{JSON}"), "{}").0, 403);
    assert_eq!(ask(&daemon, "GET /hooks/Stop", known, "").0, 405);
    assert_eq!(ask(&daemon, "POST /stats", known, "").0, 405);
    assert_eq!(ask(&daemon, "GET /../etc/passwd", known, "").0, 404);
}

#[test]
fn told_to_end_it_answers_requests_under_way_first() {
    let hook = serde_json::json!({ "type": "command",
        "command": "touch started; while [ ! -e go ]; do sleep 0.02; done; echo '{\"systemMessage\": \"made it\"}'" });
    let project = Project::with_hook("Stop", hook);
    let daemon = Daemon::start(&project, &["--http", "127.0.0.1:0", "--drain", "30"]);
    let socket = daemon.socket();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&daemon, "POST /hooks/Stop", JSON, "{}"));
        wait_for(&project.path().join("started"));
        daemon.signal(rustix::process::Signal::TERM);
        wait_until("nothing more is taken in", || !socket.exists());
        project.file("go", "");
        let (status, body) = asking.join().unwrap();
        assert!(status == 200 && body.contains("made it"), "{status} {body}");
    });
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn only_addresses_of_this_machine_are_served() {
    let ran = crate::support::command(&["serve", "--http", "0.0.0.0:0"], "");
    assert_eq!(ran.code, 64);
    assert!(
        ran.stderr.contains("expected an address of this machine"),
        "{ran:?}"
    );
}

#[test]
fn a_body_that_says_it_is_too_large_is_not_waited_for() {
    let project = Project::with_hook(
        "Stop",
        serde_json::json!({ "type": "command", "command": "true" }),
    );
    let daemon = Daemon::start(&project, &["--http", "127.0.0.1:0"]);
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (host, length) = (daemon.address(), 1_u64 << 40);
    write!(
        stream,
        "POST /hooks/Stop HTTP/1.1\r\nHost: {host}\r\n{JSON}Connection: close\r\nContent-Length: {length}\r\n\r\n{{}}"
    )
    .unwrap();
    let mut answer = String::new();
    // It may be cut off behind the answer: there is more to come that nobody reads.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.contains("expected 16777216 at most"), "{answer}");
}

#[test]
fn sixty_four_clients_that_say_nothing_hold_the_sixty_fifth_up_for_a_moment_only() {
    let project = Project::with_hook(
        "Stop",
        serde_json::json!({ "type": "command", "command": "true" }),
    );
    let daemon = Daemon::start(&project, &["--http", "127.0.0.1:0"]);
    let holds: Vec<TcpStream> = (0..64)
        .map(|number| {
            let mut stream = TcpStream::connect(daemon.address()).unwrap();
            // Some begin to.
            if number % 2 == 0 {
                stream.write_all(b"GET /stats HTTP/1.1\r\nHost: loc").unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(ask(&daemon, "GET /stats", "", "").0, 200);
    drop(holds);
}
