//! HTTP from an agent, by curl: what policy names passes, all else does not, and neither disturbs the other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{cache, curl, start, start_as, vault, web, workdir};
use ringfence_model::{Outcome, RecordKind};
use ringfence_testbed::Caller;
use serde_json::Value;

#[test]
fn a_named_operation_passes_and_another_gets_403_as_root_and_as_ordinary_user() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let service = web(&node);
        let (_, body, code) = curl(&node, &["http://web:8080/items/1"]);
        assert_eq!(code, 200, "{caller:?} {body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (told["method"].as_str(), told["path"].as_str()),
            (Some("GET"), Some("/items/1"))
        );

        let (output, body, code) = curl(&node, &["-X", "DELETE", "http://web:8080/items/1"]);
        assert_eq!((output.code, code), (Some(0), 403), "{caller:?} {output:?}");
        assert_eq!(
            serde_json::from_str::<Value>(&body).unwrap(),
            serde_json::json!({"error": "refused by policy", "retry": false})
        );
        assert!(
            !service.process.stdout().contains("DELETE"),
            "{}",
            service.process.stdout()
        );

        let operations = node
            .flows_where(0, |r| {
                r.kind == RecordKind::Operation && r.protocol == "http"
            })
            .unwrap();
        let told = |r: &ringfence_model::FlowRecord| {
            (
                r.operation.clone(),
                r.outcome,
                r.source.clone(),
                r.destination.clone(),
            )
        };
        assert_eq!(
            operations.iter().map(told).collect::<Vec<_>>(),
            [
                (
                    "GET /items/1".into(),
                    Outcome::Allow,
                    "agent".into(),
                    "web".into()
                ),
                (
                    "DELETE /items/1".into(),
                    Outcome::Deny,
                    "agent".into(),
                    "web".into()
                ),
            ]
        );
        assert!(
            operations[0].rule.starts_with("policy.yaml:"),
            "{operations:?}"
        );
    }
}

#[test]
fn a_service_answers_to_its_name_its_zone_name_and_its_hosts() {
    let node = start();
    let _service = web(&node);
    for host in ["web", "web.ringfence.internal", "web.example.test", "WEB"] {
        let (output, _, code) = curl(&node, &[&format!("http://{host}:8080/items/1")]);
        assert_eq!(code, 200, "{host}: {}", output.stderr);
    }
}

#[test]
fn an_unknown_name_and_a_forbidden_one_do_not_resolve() {
    let node = start();
    let _service = vault(&node);
    for host in [
        "vault",
        "vault.ringfence.internal",
        "no-such-thing",
        "example.com",
    ] {
        let (output, _, code) = curl(&node, &[&format!("http://{host}:8080/")]);
        // 6: could not resolve host.
        assert_eq!((output.code, code), (Some(6), 0), "{host}: {output:?}");
        node.wait_for_flow(|r| {
            r.protocol == "dns" && r.outcome == Outcome::Deny && r.operation.contains(host)
        })
        .unwrap();
    }
}

#[test]
fn a_forbidden_service_by_address_looks_like_an_address_that_is_nobodys() {
    let node = start();
    let service = vault(&node);
    let address = node
        .run("vault", &["dig", "+short", "vault", "A"])
        .unwrap()
        .ok()
        .stdout;
    let address = address.split_whitespace().next().unwrap().to_owned();
    let forbidden = format!("http://{address}:8080/");
    let undeclared_port = format!("http://{address}:8081/");
    // A reset may meet curl while it still connects (7), or while it reads (56): which one is a race with the kernel, the
    // same for all three. Nothing else may be seen, and no word of it may differ.
    let seen = |url: &str| {
        let outputs = (0..8).map(|_| curl(&node, &[url]).0).collect::<Vec<_>>();
        let plain = |text: &str| text.replace(&address, "IT").replace("100.64.77.77", "IT");
        outputs
            .into_iter()
            .map(|output| (output.code, plain(&output.stderr).replace("8081", "8080")))
            .collect::<Vec<_>>()
    };
    for url in [
        forbidden.as_str(),
        "http://100.64.77.77:8080/",
        &undeclared_port,
    ] {
        for (code, said) in seen(url) {
            match code {
                Some(7) => assert!(
                    said.starts_with("curl: (7) Failed to connect to IT port 8080 after "),
                    "{url}: {said}"
                ),
                code => assert_eq!(
                    (code, said.as_str()),
                    (
                        Some(56),
                        "curl: (56) Recv failure: Connection reset by peer\n"
                    ),
                    "{url}"
                ),
            }
        }
    }
    assert!(
        !service.process.stdout().contains("GET"),
        "{}",
        service.process.stdout()
    );
    let to = format!("{address}:8080");
    node.wait_for_flow(|r| {
        r.kind == RecordKind::Connection
            && r.original_destination == to
            && r.outcome == Outcome::Deny
    })
    .unwrap();
}

#[test]
fn a_listener_of_the_host_is_reached_without_a_compartment_and_not_from_within() {
    let node = start();
    node.host()
        .run_as_root(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
        .unwrap()
        .ok();
    let server = "import socket,sys\ns=socket.create_server(('10.9.9.9',8080))\nprint('on',flush=True)\n\
        while True:\n c,_=s.accept(); c.recv(999); print('arrived',flush=True); c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nin'); c.close()";
    let listener = node
        .host()
        .start_as_root(["/usr/bin/python3", "-c", server])
        .unwrap();
    listener.wait_stdout("on", Duration::from_secs(10)).unwrap();
    let inside = curl(&node, &["http://10.9.9.9:8080/"]).0;
    assert_ne!(inside.code, Some(0), "{inside:?}");
    assert!(!listener.stdout().contains("arrived"));
    // The control: the same command, the same caller, no compartment.
    let flat = node
        .host()
        .run(["curl", "-sS", "--max-time", "5", "http://10.9.9.9:8080/"])
        .unwrap()
        .ok();
    assert_eq!(flat.stdout, "in");
    listener
        .wait_stdout("arrived", Duration::from_secs(5))
        .unwrap();
}

#[test]
fn a_refusal_leaves_the_connection_and_its_later_requests_alone() {
    let node = start();
    let _service = web(&node);
    let script = "curl -sS -o /dev/null -w '%{http_code} %{num_connects}\\n' http://web:8080/items/1 \
        --next -sS -o /dev/null -w '%{http_code} %{num_connects}\\n' -X DELETE http://web:8080/items/1 \
        --next -sS -o /dev/null -w '%{http_code} %{num_connects}\\n' http://web:8080/items/2";
    let output = node.run("agent", &["sh", "-c", script]).unwrap().ok();
    // Each transfer says how many connections it had to open: none after the first.
    assert_eq!(output.stdout, "200 1\n403 0\n200 0\n");
}

#[test]
fn uploads_pass_whole_with_length_chunked_and_after_100_continue() {
    let node = start();
    let _service = web(&node);
    let path = workdir(&node, "upload", "data", "");
    let data = (0..3_000_000u32)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>();
    std::fs::write(path.join("data"), &data).unwrap();
    let wanted = node
        .host()
        .run(["sha256sum", path.join("data").to_str().unwrap()])
        .unwrap()
        .ok()
        .stdout;
    let wanted = wanted.split(' ').next().unwrap();
    for header in [
        "x-plain: 1",
        "transfer-encoding: chunked",
        "expect: 100-continue",
    ] {
        let words = [
            "curl",
            "-sS",
            "--max-time",
            "30",
            "-H",
            header,
            "-T",
            "data",
            "http://web:8080/upload/one",
        ];
        let output = node
            .workload("agent")
            .workdir(&path)
            .run(&words)
            .unwrap()
            .ok();
        let told: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(
            (told["length"].as_u64(), told["sha256"].as_str()),
            (Some(3_000_000), Some(wanted)),
            "{header}"
        );
    }
}

#[test]
fn a_refused_upload_gets_its_403_and_none_of_its_body_arrives() {
    let node = start();
    let service = web(&node);
    let path = workdir(&node, "upload", "data", &"x".repeat(2_000_000));
    let words = [
        "curl",
        "-sS",
        "--max-time",
        "30",
        "-w",
        "\n%{http_code}",
        "-T",
        "data",
        "http://web:8080/private/one",
    ];
    let output = node.workload("agent").workdir(&path).run(&words).unwrap();
    assert!(output.stdout.ends_with("\n403"), "{output:?}");
    assert!(
        !service.process.stdout().contains("PUT"),
        "{}",
        service.process.stdout()
    );
}

#[test]
fn a_body_of_64_mib_is_streamed() {
    let node = start();
    let _service = web(&node);
    let words = [
        "sh",
        "-c",
        "curl -sS --max-time 60 http://web:8080/big/64 | wc -c",
    ];
    let output = node.run("agent", &words).unwrap().ok();
    assert_eq!(
        output.stdout.trim(),
        (64u64 << 20).to_string(),
        "{}",
        output.stderr
    );
    let close = node
        .wait_for_flow(|r| r.kind == RecordKind::Close && r.bytes_received > 64 << 20)
        .unwrap();
    assert_eq!(
        (close.source.as_str(), close.destination.as_str()),
        ("agent", "web")
    );
}

#[test]
fn head_has_a_length_and_no_body() {
    let node = start();
    let _service = web(&node);
    let (output, body, code) = curl(&node, &["-I", "http://web:8080/items/1"]);
    assert_eq!(code, 200, "{output:?}");
    assert!(body.to_lowercase().contains("content-length: "), "{body}");
}

#[test]
fn path_tricks_and_foreign_hosts_are_refused_and_do_not_arrive() {
    let node = start();
    let service = web(&node);
    for arguments in [
        &["--path-as-is", "http://web:8080/a/../b"][..],
        &["--path-as-is", "http://web:8080/a/%2e%2e/b"],
        &["http://web:8080/a%2fb"],
        &["http://web:8080/a;b"],
        &["http://web:8080//a"],
        &["-H", "Host: vault:8080", "http://web:8080/a"],
        &[
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Content-Length: 3",
            "-X",
            "GET",
            "-d",
            "abc",
            "http://web:8080/a",
        ],
    ] {
        let head = node.head().unwrap();
        let (output, _, code) = curl(&node, arguments);
        assert!(
            code == 400 || code == 403,
            "{arguments:?}: {code} {output:?}"
        );
        node.wait_for_flow(|r| r.seq >= head && r.protocol == "http" && r.outcome == Outcome::Deny)
            .unwrap();
    }
    assert!(
        !service.process.stdout().contains("GET"),
        "{}",
        service.process.stdout()
    );
    assert_eq!(curl(&node, &["http://web:8080/a"]).2, 200);
}

#[test]
fn http_to_a_tcp_service_passes_as_bytes_and_a_service_that_is_not_running_resets() {
    let node = start();
    // Nobody runs as web or cache yet.
    let (output, _, code) = curl(&node, &["http://web:8080/items/1"]);
    assert!(
        code == 502 || code == 503 || output.code != Some(0),
        "{code} {output:?}"
    );
    node.wait_for_flow(|r| r.destination == "web" && r.outcome == Outcome::Error)
        .unwrap();
    let _service = cache(&node);
    let words = [
        "sh",
        "-c",
        "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | curl -sS --max-time 5 telnet://cache:6379",
    ];
    let output = node.run("agent", &words).unwrap();
    assert!(output.stdout.contains("GET / HTTP/1.0"), "{output:?}");
}
