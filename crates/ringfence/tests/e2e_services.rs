//! Real servers in compartments: what they see of their callers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use std::time::Duration;

use e2e_support::{Puppet, curl, start, web, workdir};
use ringfence_model::RecordKind;
use serde_json::Value;

fn headers<'a>(told: &'a Value, name: &str) -> Vec<&'a str> {
    let all = told["headers"].as_array().unwrap();
    all.iter()
        .filter(|pair| pair[0] == name)
        .map(|pair| pair[1].as_str().unwrap())
        .collect()
}

#[test]
fn a_service_sees_the_callers_own_address_and_who_it_is() {
    let node = start();
    let _service = web(&node);
    let own = node
        .run("agent", &["dig", "+short", "agent", "A"])
        .unwrap()
        .ok()
        .stdout;
    let own = own.split_whitespace().next().unwrap().to_owned();
    let (_, body, code) = curl(&node, &["http://web:8080/items/1"]);
    assert_eq!(code, 200);
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        told["from"].as_str().unwrap().trim_start_matches("::ffff:"),
        own
    );
    assert_eq!(headers(&told, "x-forwarded-client-cert").len(), 1, "{body}");
    assert!(
        headers(&told, "x-forwarded-client-cert")[0]
            .contains("spiffe://ringfence.internal/agent/agent"),
        "{body}"
    );
}

#[test]
fn a_forged_identity_header_is_removed() {
    let node = start();
    let _service = web(&node);
    for forged in [
        "x-forwarded-client-cert",
        "X-Forwarded-Client-Cert",
        "x_forwarded_client_cert",
    ] {
        let header = format!("{forged}: URI=spiffe://ringfence.internal/agent/root");
        let (_, body, code) = curl(&node, &["-H", &header, "http://web:8080/items/1"]);
        if code != 200 {
            assert_eq!(code, 400, "{forged}: {body}");
            continue;
        }
        assert!(!body.contains("agent/root"), "{forged}: {body}");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            headers(&told, "x-forwarded-client-cert").len(),
            1,
            "{forged}: {body}"
        );
    }
}

#[test]
fn nginx_serves_in_a_compartment() {
    let node = start();
    let conf = "daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr notice;\n\
        events { }\n\
        http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;\n\
        uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n\
        server { listen 8080; location / { return 200 \"nginx for $remote_addr\\n\"; } } }\n";
    let path = workdir(&node, "nginx", "nginx.conf", conf);
    let launch = node.workload("web").workdir(&path);
    let mut service = launch
        .spawn(&[
            "/usr/sbin/nginx",
            "-e",
            "stderr",
            "-p",
            "/work",
            "-c",
            "/work/nginx.conf",
        ])
        .unwrap();
    service.wait_until_it_says("getrlimit").unwrap();
    let answer = node
        .await_that("nginx", |node| {
            let (_, body, code) = curl(node, &["http://web:8080/items/1"]);
            Ok((code == 200).then_some(body))
        })
        .unwrap();
    assert!(answer.starts_with("nginx for 100."), "{answer}");
    assert_eq!(
        curl(&node, &["-X", "DELETE", "http://web:8080/items/1"]).2,
        403
    );
}

#[test]
fn redis_does_not_take_its_caller_for_local() {
    let node = start();
    let path = workdir(&node, "redis", "empty", "");
    let redis = |extra: &[&str]| {
        let mut words = vec![
            "redis-server",
            "--port",
            "6379",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        words.extend(extra);
        let mut service = node.workload("cache").workdir(&path).spawn(&words).unwrap();
        service
            .wait_until_it_says("Ready to accept connections")
            .unwrap();
        service
    };
    let protected = redis(&[]);
    let output = node
        .run("agent", &["redis-cli", "-h", "cache", "ping"])
        .unwrap();
    assert!(
        output.stdout.contains("DENIED") || output.stderr.contains("DENIED"),
        "{output:?}"
    );
    drop(protected);
    node.await_that("the end of the first redis", |node| {
        Ok(node.status()?.1["workloads"]
            .as_array()
            .is_some_and(Vec::is_empty)
            .then_some(()))
    })
    .unwrap();

    let _open = redis(&["--protected-mode", "no"]);
    let commands = "set greeting hello\nget greeting\nincrby n 41\nincr n\n";
    let words = ["redis-cli", "-h", "cache"];
    let output = node
        .workload("agent")
        .input(commands)
        .run(&words)
        .unwrap()
        .ok();
    assert_eq!(
        output.stdout.lines().collect::<Vec<_>>(),
        ["OK", "hello", "41", "42"],
        "{output:?}"
    );
    let close = node
        .wait_for_flow(|r| {
            r.kind == RecordKind::Close && r.destination == "cache" && r.bytes_sent > 40
        })
        .unwrap();
    assert!(
        close.bytes_received > 0 && close.duration_ns > 0,
        "{close:?}"
    );
}

#[test]
fn tcp_half_close_delivers_the_rest() {
    let node = start();
    let _service = e2e_support::cache(&node);
    // 8 MiB go in, the writing side is closed, and all of them come back.
    let script = "import socket,threading\ns=socket.create_connection(('cache',6379),timeout=20)\nn=8<<20\n\
        def send():\n s.sendall(b'y'*n); s.shutdown(socket.SHUT_WR)\n\
        t=threading.Thread(target=send); t.start()\ngot=0\n\
        while d:=s.recv(65536): got+=len(d)\nprint(got)";
    let output = node
        .run("agent", &["/usr/bin/python3", "-c", script])
        .unwrap()
        .ok();
    assert_eq!(output.stdout.trim(), (8u64 << 20).to_string());
}

#[test]
fn an_urgent_byte_stays_where_it_stands_in_the_stream() {
    let node = start();
    // Says what it heard, and answers with an urgent byte of its own.
    let service = "import socket\nl=socket.create_server(('0.0.0.0',6379))\nprint('cache is serving',flush=True)\n\
                   while True:\n  c,_=l.accept()\n  c.setsockopt(1,10,1)\n  heard=b''\n  while len(heard)<7: heard+=c.recv(9)\n\
                   \x20 c.sendall(heard[:3])\n  c.send(heard[3:4],socket.MSG_OOB)\n  c.sendall(heard[4:])\n  c.close()";
    let _service = e2e_support::serve(&node, "cache", service);
    let script = "import socket\ns=socket.create_connection(('cache',6379),timeout=20)\ns.setsockopt(1,10,1)\n\
                  s.sendall(b'abc')\ns.send(b'X',socket.MSG_OOB)\ns.sendall(b'def')\nb=b''\n\
                  while d:=s.recv(9): b+=d\nprint(b.decode())";
    let told = node
        .run("agent", &[e2e_support::PYTHON, "-c", script])
        .unwrap()
        .ok();
    assert_eq!(told.stdout, "abcXdef\n");
}

#[test]
fn two_services_and_two_agents_at_once_do_not_mix() {
    let node = start();
    let (_web, _cache) = (web(&node), e2e_support::cache(&node));
    let mut one = Puppet::start(&node);
    let other = node.workload("agent").limit(Duration::from_secs(20));
    let mut other = other
        .spawn(&[
            "sh",
            "-c",
            "for i in 1 2 3 4 5; do curl -sS http://web:8080/other/$i; echo; done",
        ])
        .unwrap();
    assert_eq!(
        one.tell(serde_json::json!(["open_tcp", "c", "cache", 6379]))["open"],
        "c"
    );
    for number in 0..20 {
        let text = format!("message {number}");
        assert_eq!(
            one.tell(serde_json::json!(["say", "c", text]))["heard"],
            text
        );
    }
    let output = other.wait().unwrap().ok();
    let paths: Vec<Value> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["path"].clone())
        .collect();
    assert_eq!(
        paths,
        ["/other/1", "/other/2", "/other/3", "/other/4", "/other/5"]
    );
    let instances = node
        .flows_where(0, |r| {
            r.kind == RecordKind::Connection && r.source == "agent"
        })
        .unwrap();
    let mut names: Vec<_> = instances.into_iter().map(|r| r.source_instance).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 2, "{names:?}");
}
