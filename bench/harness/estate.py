"""The estate of the measured node, and what its peers are told so that they decide the same."""

VERSION = "apiVersion: ringfence.dev/v1alpha1"

# What a client asks for, and something that the same rule refuses.
ASKED, REFUSED = "/customers/42", "/customers/42/secrets"
# The rule as a pattern of ours, and as the expression that matches the same.
PATTERN, EXPRESSION = "GET /customers/*", "^/customers/[^/]+$"

ESTATE = f"""{VERSION}
kind: Service
metadata: {{ name: web }}
spec: {{ protocol: http, port: 8080 }}
---
{VERSION}
kind: Service
metadata: {{ name: web2 }}
spec: {{ protocol: http2, port: 8081 }}
---
{VERSION}
kind: Service
metadata: {{ name: stream }}
spec: {{ protocol: tcp, port: 9000 }}
---
{VERSION}
kind: Agent
metadata: {{ name: caller }}
spec: {{}}
---
{VERSION}
kind: Policy
metadata: {{ name: caller }}
spec:
  agent: caller
  mode: enforce
  owner: bench
  reviewBy: 2999-01-01
  initiate:
    - {{ service: web, operations: ["{PATTERN}"] }}
    - {{ service: web2, operations: ["{PATTERN}"] }}
    - {{ service: stream, operations: [connect] }}
"""

# The one server of all contenders: small answers, no log of its own, connections kept for ever.
NGINX = """daemon off; master_process off; pid PLACE/nginx.pid; error_log stderr notice;
worker_rlimit_nofile 16384;
events { worker_connections 8192; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
  client_body_temp_path PLACE/b; proxy_temp_path PLACE/p; fastcgi_temp_path PLACE/f;
  uwsgi_temp_path PLACE/u; scgi_temp_path PLACE/s;
  default_type text/plain;
  server { listen LISTEN; location / { return 200 "ok"; } }
}
"""


def nginx(place, listen):
    return NGINX.replace("PLACE", place).replace("LISTEN", listen)
