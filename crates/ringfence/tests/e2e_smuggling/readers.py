"""Has real readers of HTTP ask a service for each case, and then for something honest, and says what they heard.

    readers.py LIMIT HOST:PORT AUTHORITY CASES

LIMIT is what an answer may take, in seconds.
curl and Python ask by themselves; nginx, HAProxy and Apache stand between curl and the service, as gateways do.
"""
import http.client
import json
import os
import subprocess
import sys
import time

LIMIT, ADDRESS, AUTHORITY, CASES = sys.argv[1:]
HOST, PORT = ADDRESS.split(":")
GATEWAYS = {"nginx": 9001, "haproxy": 9002, "apache": 9003}

NGINX = f"""
daemon off; master_process off; pid gateway.pid; error_log nginx.log;
events {{ }}
http {{
    access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    upstream service {{ server {ADDRESS}; keepalive 1; }}
    server {{ listen 127.0.0.1:9001; location / {{
        proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {AUTHORITY};
        proxy_read_timeout {LIMIT}s; proxy_next_upstream off;
    }} }}
}}
"""
HAPROXY = f"""
global
    nbthread 1
defaults
    mode http
    timeout client 5s
    timeout server {LIMIT}s
    timeout connect 5s
    retries 0
    http-reuse always
listen gateway
    bind 127.0.0.1:9002
    http-request set-header Host {AUTHORITY}
    server service {ADDRESS}
"""
APACHE = f"""
ServerRoot "."
ServerName localhost
PidFile apache.pid
ErrorLog apache.log
DefaultRuntimeDir "."
User #65534
Group #65534
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
Listen 127.0.0.1:9003
ProxyPreserveHost On
RequestHeader set Host {AUTHORITY}
ProxyPass / http://{ADDRESS}/ timeout={LIMIT} retry=0
"""


def start_gateways():
    for name, text in (("nginx.conf", NGINX), ("haproxy.cfg", HAPROXY), ("apache.conf", APACHE)):
        with open(name, "w") as file:
            file.write(text)
    place = os.getcwd()
    commands = (
        ["/usr/sbin/nginx", "-e", "stderr", "-p", place, "-c", place + "/nginx.conf"],
        ["/usr/sbin/haproxy", "-db", "-f", "haproxy.cfg"],
        ["/usr/sbin/apache2", "-X", "-d", place, "-f", place + "/apache.conf"],
    )
    log = open("gateways.log", "w")
    # Not our streams: whoever waits for the end of those would wait for a gateway's child.
    return [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) for command in commands]


def by_curl(address, method, paths):
    command = []
    for path in paths:
        command += ["--next"] if command else ["curl"]
        command += ["-sS", "--max-time", LIMIT, "-H", f"Host: {AUTHORITY}", "-o", "-", "-w", "\n%{http_code} %{exitcode}\n"]
        command += ["-I"] if method == "HEAD" else []
        command.append(f"http://{address}{path}")
    output = subprocess.run(command, capture_output=True).stdout.decode("latin-1")
    heard, rest = [], output
    for _ in paths:
        body, code, failed = "", "0", "1"
        lines = rest.split("\n")
        for index, line in enumerate(lines):
            words = line.split(" ")
            if len(words) == 2 and len(words[0]) == 3 and all(word.isdigit() for word in words):
                body, (code, failed) = "\n".join(lines[:index]), words
                rest = "\n".join(lines[index + 1:])
                break
        heard.append([int(code), "" if method == "HEAD" else body, failed == "0"])
    return heard


def by_python(address, method, paths):
    heard = []
    connection = http.client.HTTPConnection(address, timeout=float(LIMIT))
    for path in paths:
        status, body = 0, b""
        try:
            connection.request(method, path, headers={"Host": AUTHORITY})
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            heard.append([status, body.decode("latin-1"), True])
        except (OSError, OverflowError, ValueError, http.client.HTTPException) as error:
            body = getattr(error, "partial", body)
            heard.append([status, body.decode("latin-1"), False])
            connection.close()
    connection.close()
    return heard


def main():
    with open(CASES) as file:
        cases = json.load(file)
    gateways = start_gateways()
    readers = {"curl": (by_curl, ADDRESS), "python": (by_python, ADDRESS)}
    for name, port in GATEWAYS.items():
        readers[name] = (by_curl, f"127.0.0.1:{port}")
    for name, (ask, address) in readers.items():
        deadline = time.monotonic() + 20
        while ask(address, "GET", ["/ready"])[0] != [200, "/ready", True]:
            if time.monotonic() > deadline:
                sys.exit(f"{name} does not reach the service")
            time.sleep(0.05)
        for case in cases:
            heard = ask(address, case["method"], ["/answer/" + case["name"], "/honest/" + case["name"]])
            print(json.dumps({"reader": name, "case": case["name"], "heard": heard}), flush=True)
    for gateway in gateways:
        gateway.kill()
        gateway.wait()


main()
