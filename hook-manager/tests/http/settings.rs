use super::*;

/// A manager of settings, and what it says is wrong with them.
fn of_settings(settings: &serde_json::Value) -> (Project, HookManager, Vec<String>) {
    let project = Project::with_settings(settings);
    let manager = HookManager::builder()
        .project(project.path())
        .build()
        .expect("a manager");
    let told = manager.problems().iter().map(ToString::to_string).collect();
    (project, manager, told)
}

fn settings(event: &str, hook: &serde_json::Value) -> serde_json::Value {
    json!({ "hooks": { event: [{ "hooks": [hook] }] } })
}

#[tokio::test]
async fn a_hook_of_the_settings_posts() {
    let server = Server::saying([ok("{\"systemMessage\": \"hello\"}")]).await;
    let hook = json!({ "type": "http", "url": server.url, "timeout": 5,
                       "headers": { "Authorization": "Bearer ${CARGO_PKG_NAME}" },
                       "allowedEnvVars": ["CARGO_PKG_NAME"] });
    let (_project, manager, told) = of_settings(&settings("PreToolUse", &hook));
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(run(&manager).await.merged.system_messages, ["hello"]);
    assert!(
        server
            .request(0)
            .contains("\r\nauthorization: Bearer hook-manager\r\n")
    );
}

#[tokio::test]
async fn https_is_told_and_left_to_the_host_unless_it_is_to_block() {
    for (policy, decision) in [(None, Decision::None), (Some("block"), Decision::Deny)] {
        let hook = json!({ "type": "http", "url": "https://hooks.example/x", "onFailure": policy });
        let hook = match policy {
            None => json!({ "type": "http", "url": "https://hooks.example/x" }),
            Some(_) => hook,
        };
        let (_project, manager, told) = of_settings(&settings("PreToolUse", &hook));
        assert!(told[0].contains("this version does not speak https"), "{told:?}");
        let report = run(&manager).await;
        assert_eq!(report.merged.decision, decision, "{report:#?}");
        assert!(
            report.results[0].reason().unwrap().contains("https"),
            "{report:#?}"
        );
    }
}

#[tokio::test]
async fn a_session_start_is_not_posted_as_with_the_host() {
    let server = Server::saying([ok("")]).await;
    let hook = json!({ "type": "http", "url": server.url });
    let (_project, manager, told) = of_settings(&settings("SessionStart", &hook));
    assert!(
        told[0].contains("which the host does not run on SessionStart"),
        "{told:?}"
    );
    let report = manager
        .execute(HookRequest::parse(HookEvent::SessionStart, "{}").unwrap())
        .await;
    assert!(
        matches!(report.results[0].ended, Ended::Skipped(_)),
        "{report:#?}"
    );
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn settings_limit_addresses_and_variables() {
    let server = Server::saying([ok("")]).await;
    let hook = json!({ "type": "http", "url": server.url, "onFailure": "block",
                       "headers": { "X-A": "<$CARGO_PKG_NAME>" }, "allowedEnvVars": ["CARGO_PKG_NAME"] });
    let with = |field: &str, value: serde_json::Value| {
        let mut all = settings("PreToolUse", &hook);
        all[field] = value;
        all
    };
    let (_p, manager, told) = of_settings(&with(
        "allowedHttpHookUrls",
        json!(["https://*", "http://hooks.example/*"]),
    ));
    assert!(
        told[0].contains("which `allowedHttpHookUrls` does not allow"),
        "{told:?}"
    );
    assert_eq!(run(&manager).await.merged.decision, Decision::Deny);
    assert_eq!(server.asked(), 0);
    // What cannot be read allows nothing.
    let (_p, manager, _) = of_settings(&with("allowedHttpHookUrls", json!("*")));
    run(&manager).await;
    assert_eq!(server.asked(), 0);

    let (_p, manager, _) = of_settings(&with(
        "allowedHttpHookUrls",
        json!(["http://127.0.0.1:*/hooks/*"]),
    ));
    run(&manager).await;
    assert!(server.request(0).contains("\r\nx-a: <hook-manager>\r\n"));
    let (_p, manager, _) = of_settings(&with("httpHookAllowedEnvVars", json!(["HOME"])));
    run(&manager).await;
    assert!(server.request(1).contains("\r\nx-a: <>\r\n"));
}

#[test]
fn what_is_wrong_in_a_handler_is_named() {
    for (more, expected) in [
        (json!({ "url": 7 }), ".url is 7, expected a text"),
        (
            json!({ "url": "localhost:8080" }),
            ".url is the text \"localhost:8080\", which cannot be used",
        ),
        (json!({ "url": "http://h/", "headers": [] }), ".headers is "),
        (
            json!({ "url": "http://h/", "headers": { "A B": "x" } }),
            ".headers[\"A B\"] is no name of a header",
        ),
        (
            json!({ "url": "http://h/", "headers": { "Transfer-Encoding": "x" } }),
            "says how the message is framed",
        ),
        (
            json!({ "url": "http://h/", "headers": { "A": 1 } }),
            ".headers[\"A\"] is 1, expected a text of one line",
        ),
        (
            json!({ "url": "http://h/", "allowedEnvVars": "X" }),
            ".allowedEnvVars is the text \"X\", expected a list",
        ),
        (json!({}), ".url is missing"),
        (
            json!({ "url": "http://h/", "hookManager": { "worker": true } }),
            "expected it on a command only",
        ),
    ] {
        let mut hook = json!({ "type": "http" });
        hook.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (_project, manager, told) = of_settings(&settings("Stop", &hook));
        assert!(told.iter().any(|one| one.contains(expected)), "{more}: {told:?}");
        assert_eq!(manager.broken_hooks().count(), 1, "{more}");
    }
}
