//! Envoy as a gateway within a compartment, in front of a server on its loopback.

use std::path::{Path, PathBuf};

/// Starts it where [`put_into`] has put it, with [`conf`] in `envoy.yaml`.
pub(crate) const COMMAND: &str =
    "./envoy -c envoy.yaml --concurrency 1 --disable-hot-restart -l warn";
pub(crate) const MISSING: &str = "Envoy is not there; `scripts/deps test` puts it there";

/// From port 8080, where HTTP/2 is spoken, to `port`, where HTTP/2 is or HTTP/1.1.
pub(crate) fn conf(port: u16, http2: bool) -> String {
    let protocol = if http2 {
        "http2_protocol_options"
    } else {
        "http_protocol_options"
    };
    format!(
        r#"
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 0.0.0.0, port_value: 8080 }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: HTTP2
          http2_protocol_options: {{ allow_connect: true }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: behind, timeout: 0s }} }}]
  clusters:
  - name: behind
    type: STATIC
    connect_timeout: 10s
    load_assignment:
      cluster_name: behind
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ {protocol}: {{}} }}
"#
    )
}

/// Where the program is, in the directory of the build.
pub(crate) fn program() -> Option<PathBuf> {
    let build = Path::new(env!("CARGO_BIN_EXE_ringfence"))
        .ancestors()
        .nth(2)?;
    let found = build.join("bench/peers/envoy/_bin/envoy");
    found.is_file().then_some(found)
}

/// Puts the program where a compartment sees it: its working directory.
pub(crate) fn put_into(directory: &Path) {
    let (from, to) = (program().unwrap(), directory.join("envoy"));
    // A link costs nothing, where both are on one file system.
    if std::fs::hard_link(&from, &to).is_err() {
        std::fs::copy(&from, &to).unwrap();
    }
}
