"""The peers: the same server behind Envoy and HAProxy, each with the same rule, one worker, and a log of every request."""

import glob
import os

from . import estate, machine
from .rounds import Wrong

SERVER_PORT, STREAM_PORT = 8080, 9000

ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: {codec}
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {log}
          http_filters:
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  caller:
                    principals: [{{ any: true }}]
                    permissions:
                    - and_rules:
                        rules:
                        - header: {{ name: ":method", string_match: {{ exact: GET }} }}
                        - url_path: {{ path: {{ safe_regex: {{ regex: "{expression}" }} }} }}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: web
              domains: ["*"]
              routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: web, timeout: 0s }} }}]
  clusters:
  - name: web
    type: STATIC
    connect_timeout: 1s
    circuit_breakers: {{ thresholds: [{{ max_connections: 20000, max_pending_requests: 20000, max_requests: 20000 }}] }}
    load_assignment:
      cluster_name: web
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {server} }} }} }}
{upstream}"""

ENVOY_UPSTREAM_HTTP2 = """    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
"""

HAPROXY = """
global
  nbthread 1
  maxconn 4000
  log stdout format raw local0
defaults
  mode {mode}
  log global
  option {option}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
{more}frontend front
  bind 127.0.0.1:{port}{bind}
{rules}  default_backend web
backend web
  server web 127.0.0.1:{server}{to}
"""

HAPROXY_RULES = """  acl method_ok method GET
  acl path_ok path_reg {expression}
  http-request deny unless method_ok path_ok
"""


class Direct:
    """Nothing between client and server."""

    name = "direct"

    def __init__(self, port=SERVER_PORT):
        self.port = port

    def processes(self):
        return []

    def logged(self):
        return None


class Peer:
    """A proxy that is a process of its own, on the core where the node of ours is."""

    def __init__(self, bench, name, command, port, log, core=machine.MEASURED):
        self.name, self.port, self.log = name, port, log
        # Their readiness is that they answer.
        self.child = bench.start(
            f"{name}-{port}", command, lambda: listens(port), core=core, out=log if name.startswith("haproxy") else None
        )

    def processes(self):
        return machine.tree(self.child.pid)

    def logged(self):
        """Lines in its log."""
        with open(self.log, "rb") as log:
            return sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 20), b""))


def listens(port):
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as sockets:
            if any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in list(sockets)[1:]):
                return True
    return False


def envoy_program(bench):
    found = glob.glob(os.path.join(bench.args.peers, "**", "_bin", "envoy"), recursive=True)
    if not found:
        raise Wrong(f"no envoy under {bench.args.peers}; `scripts/deps bench` puts it there")
    return found[0]


def envoy(bench, port, server=SERVER_PORT, http2=False):
    name = "envoy"
    place = bench.folder(f"{name}-{port}")
    log, config = os.path.join(place, "access.log"), os.path.join(place, "envoy.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            ENVOY.format(
                port=port, server=server, log=log, expression=estate.EXPRESSION,
                codec="HTTP2" if http2 else "HTTP1", upstream=ENVOY_UPSTREAM_HTTP2 if http2 else "",
            )
        )
    command = [envoy_program(bench), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warn"]
    return Peer(bench, name, command, port, log)


def haproxy(bench, port, server=SERVER_PORT, http2=False, tcp=False, core=machine.MEASURED):
    name = "haproxy"
    place = bench.folder(f"{name}-{port}")
    log, config = os.path.join(place, "out.log"), os.path.join(place, "haproxy.cfg")
    with open(config, "w", encoding="utf-8") as file:
        file.write(
            HAPROXY.format(
                port=port, server=server, mode="tcp" if tcp else "http", option="tcplog" if tcp else "httplog",
                bind=" proto h2" if http2 else "", to=" proto h2" if http2 else "",
                more="  option splice-auto\n" if tcp else "",
                rules="" if tcp else HAPROXY_RULES.format(expression=estate.EXPRESSION),
            )
        )
    return Peer(bench, name, ["haproxy", "-db", "-f", config], port, log, core)


def nginx(bench, listen=str(SERVER_PORT), name="nginx"):
    """The server of the peers, beside them."""
    place = bench.folder(name)
    config = os.path.join(place, "nginx.conf")
    with open(config, "w", encoding="utf-8") as file:
        file.write(estate.nginx(place, listen))
    return bench.start(name, ["nginx", "-c", config], "event method")
