//! Servers that do not do what they should.

use std::{
    io::{Read, Write},
    sync::mpsc,
};

use super::*;

fn says(message: &str) -> String {
    format!("{{\"systemMessage\": \"{message}\"}}")
}

#[tokio::test]
async fn every_way_to_frame_an_answer_is_read_and_the_connection_is_kept_where_it_can_be() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"sys\r\n15\r\ntemMessage\": \"whole\"}\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".to_owned();
    let whole = says("whole");
    let length = whole.len();
    for (text, connections) in [
        (chunked.to_owned(), 1),
        (early + &response("200 OK", &whole), 1),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nContent-Length: {length}\r\n\r\n{whole}"),
            1,
        ),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{whole}"),
            2,
        ),
    ] {
        let server = Server::saying([Says::Raw(text.clone())]).await;
        let manager = manager(server.hook());
        for _ in 0..2 {
            let report = run(&manager).await;
            assert_eq!(report.merged.system_messages, ["whole"], "{text}: {report:#?}");
        }
        assert_eq!(server.connections(), connections, "{text}");
    }
    let until_the_end = format!("HTTP/1.1 200 OK\r\n\r\n{whole}");
    let server = Server::saying([Says::ThenCloses(until_the_end)]).await;
    let report = run(&manager(server.hook())).await;
    assert_eq!(report.merged.system_messages, ["whole"]);
}

#[tokio::test]
async fn an_answer_that_contradicts_itself_or_is_cut_short_is_a_failure() {
    let body = says("half");
    for text in [
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nContent-Length: 3\r\n\r\n{body}",
            body.len()
        ),
        format!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{body}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{body}"),
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
            body.len()
        ),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n{body}\r\n"),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n{body}", "x".repeat(1 << 20)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n{body}", "X: y\r\n".repeat(10_000)),
        "HTTP/1.1 200 OK\r\nContent-Le".to_owned(),
    ] {
        let server = Server::saying([Says::ThenCloses(text.clone())]).await;
        let report = run(&manager(server.hook())).await;
        let kind = report.results[0].error().map(HookError::kind);
        assert_eq!(kind, Some("failed"), "{text:.90}: {report:#?}");
        assert_eq!(server.asked(), 1, "{text:.90}");
    }
}

/// A server that answers when it has read the head of a request, and reads no further.
#[tokio::test]
async fn an_answer_before_the_whole_event_was_read_holds_up_no_other_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::new(format!("http://{}/", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 16];
            stream.read_exact(&mut read).await.unwrap();
            let text = response("200 OK", &says("early"));
            stream.write_all(text.as_bytes()).await.unwrap();
            kept.push(stream);
        }
    });
    let manager = manager(Hook::http("h", HookEvent::PreToolUse, http).timeout(Duration::from_secs(5)));
    for round in 0..3 {
        let input = json!({ "tool_name": "Bash", "n": "x".repeat(20_000_000) });
        let req = HookRequest::new(HookEvent::PreToolUse, input).unwrap();
        let report = manager.execute(req).await;
        assert_eq!(report.merged.system_messages, ["early"], "{round}: {report:#?}");
    }
    server.abort();
}

/// The task that moves the connection's bytes has no turn between the unasked response and the next event, so that
/// only whoever asks the system can know.
#[tokio::test]
async fn an_unasked_response_in_the_last_moment_before_an_event_answers_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = Http::new(format!("http://{}/", listener.local_addr().unwrap()));
    let (go, may_go) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let mut kept = Vec::new();
        for message in ["one", "mine"] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"}}") {
                let mut some = [0; 1024];
                let n = stream.read(&mut some).unwrap();
                read.extend_from_slice(&some[..n]);
            }
            stream
                .write_all(response("200 OK", &says(message)).as_bytes())
                .unwrap();
            if message == "one" {
                may_go.recv().unwrap();
                stream
                    .write_all(response("200 OK", &says("stale")).as_bytes())
                    .unwrap();
                done.send(()).unwrap();
            }
            kept.push(stream);
        }
        kept
    });
    let manager = manager(Hook::http("h", HookEvent::PreToolUse, http).timeout(Duration::from_secs(10)));
    assert_eq!(run(&manager).await.merged.system_messages, ["one"]);
    go.send(()).unwrap();
    is_done.recv_timeout(Duration::from_secs(20)).unwrap();
    let report = run(&manager).await;
    assert_eq!(report.merged.system_messages, ["mine"], "{report:#?}");
    drop(server.join().unwrap());
}

/// A server that has answered before it read the event, and reads on once nobody is interested any more.
#[tokio::test]
async fn a_connection_that_is_thrown_away_writes_no_more_of_its_event() {
    const EVENT: usize = 50_000_000;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = Http::new(format!("http://{}/", listener.local_addr().unwrap()));
    let (go, may_go) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let mut streams = Vec::new();
        for message in ["early", "second"] {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 16]).unwrap();
            stream
                .write_all(response("200 OK", &says(message)).as_bytes())
                .unwrap();
            streams.push(stream);
        }
        may_go.recv().unwrap();
        let first = &mut streams[0];
        first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (mut all, mut some) = (0, vec![0; 1 << 20]);
        // Its end, or a reset: what it has of the event is cut short.
        while let Ok(n @ 1..) = first.read(&mut some) {
            all += n;
        }
        all
    });
    let manager = manager(Hook::http("h", HookEvent::PreToolUse, http).timeout(Duration::from_secs(10)));
    let input = json!({ "tool_name": "Bash", "n": "x".repeat(EVENT) });
    let report = manager
        .execute(HookRequest::new(HookEvent::PreToolUse, input).unwrap())
        .await;
    assert_eq!(report.merged.system_messages, ["early"]);
    assert_eq!(run(&manager).await.merged.system_messages, ["second"]);
    go.send(()).unwrap();
    let read = tokio::task::spawn_blocking(move || server.join().unwrap())
        .await
        .unwrap();
    assert!(
        read < EVENT,
        "{read} bytes came of an event that nobody waited for"
    );
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::new(format!("http://{}/", listener.local_addr().unwrap()));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream, &mut Vec::new()).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(b"1\r\n \r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let hook = Hook::http("h", HookEvent::PreToolUse, http).timeout(Duration::from_millis(300));
    let report = run(&manager(hook)).await;
    assert_eq!(error(&report).kind(), "timed_out", "{report:#?}");
    // Ends only if the connection was closed.
    tokio::time::timeout(Duration::from_secs(20), server)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_server_that_comes_back_is_asked_by_the_next_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let hook = Hook::http(
        "h",
        HookEvent::PreToolUse,
        Http::new(format!("http://{address}/")),
    );
    let manager = manager(hook.timeout(Duration::from_secs(10)));
    for _ in 0..8 {
        let began = Instant::now();
        assert_eq!(error(&run(&manager).await).kind(), "could_not_start");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "told at once: {:?}",
            began.elapsed()
        );
    }
    let listener = TcpListener::bind(address).await.unwrap();
    let answers = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream, &mut Vec::new()).await.unwrap();
        stream
            .write_all(response("200 OK", &says("back")).as_bytes())
            .await
            .unwrap();
    });
    // Nothing is connected to for a moment after a connect that failed.
    let until = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let report = run(&manager).await;
        match report.results[0].error() {
            Some(HookError::CouldNotStart(_)) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            _ => break report,
        }
    };
    assert_eq!(report.merged.system_messages, ["back"], "{report:#?}");
    answers.await.unwrap();
}

#[tokio::test]
async fn names_and_addresses_of_either_family_are_connected_to() {
    for (bind, host) in [("127.0.0.1:0", "localhost"), ("[::1]:0", "[::1]")] {
        let Ok(listener) = TcpListener::bind(bind).await else {
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream, &mut Vec::new()).await.unwrap();
            stream.write_all(response("200 OK", "").as_bytes()).await.unwrap();
            request
        });
        let http = Http::new(format!("http://{host}:{port}/"));
        let report = run(&manager(Hook::http("h", HookEvent::PreToolUse, http))).await;
        assert!(report.results[0].error().is_none(), "{host}: {report:#?}");
        let request = server.await.unwrap();
        assert!(
            request.contains(&format!("\r\nhost: {host}:{port}\r\n")),
            "{request}"
        );
    }
    let http = Http::new("http://no-such-host.invalid/");
    let report = run(&manager(Hook::http("h", HookEvent::PreToolUse, http))).await;
    assert_eq!(error(&report).kind(), "could_not_start", "{report:#?}");
}

#[tokio::test]
async fn a_header_never_becomes_two() {
    let server = Server::saying([ok("")]).await;
    for value in ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb", "a\0b"] {
        let mut http = Http::new(&server.url);
        http.headers = vec![("X-A".into(), value.into())];
        let hook = Hook::http("h", HookEvent::PreToolUse, http);
        let built = HookManager::builder().hook(hook).build();
        let Ok(manager) = built else { continue };
        let report = run(&manager).await;
        assert_eq!(error(&report).kind(), "could_not_start", "{value:?}: {report:#?}");
    }
    assert_eq!(server.asked(), 0);
}
