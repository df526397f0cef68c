//! What ends at this hop: connection fields, and fields that only we may set.

use super::bytes::{could_be, token, trim};
use super::{Field, Refusal};

/// The field that names the caller to HTTP services. A client's own is removed.
pub(crate) const CLIENT_CERT: &str = "x-forwarded-client-cert";

/// Fields by which other proxies name the caller's certificate (RFC 9440). A client's own is removed: there is no such
/// proxy between a client and us.
const OTHER_CERTS: [&str; 2] = ["client-cert", "client-cert-chain"];

/// Fields that end at every hop. Connection may nominate these and no others: to remove any other at somebody's word
/// could change who asks, for what, or how the message is read.
const HOP: [&str; 6] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy",
    "te",
    "upgrade",
];

/// Fields that say who asks, for what, or how the message is read.
const PROTECTED: [&str; 24] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "range",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "vary",
    "via",
    CLIENT_CERT,
];

/// Fields that some frameworks obey instead of the request line, or beside it. Policy has judged the request line.
const OVERRIDES: [&str; 15] = [
    // Variables of the gateway interface. Gunicorn cuts SCRIPT_NAME off the path before the application sees it.
    "path-info",
    "path-translated",
    "query-string",
    "request-method",
    "request-uri",
    "script-name",
    "x-http-method",
    "x-http-method-override",
    "x-http-path-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
];

/// What Connection says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    /// `close` is among the options.
    pub(crate) close: bool,
    /// `keep-alive` is among the options.
    pub(crate) keep_alive: bool,
    /// `upgrade` is among the options.
    pub(crate) upgrade: bool,
}

impl Connection {
    /// Reads all Connection fields.
    pub(crate) fn read(fields: &[Field<'_>]) -> Result<Self, Refusal> {
        let mut connection = Self::default();
        for field in fields.iter().filter(|field| field.is("connection")) {
            for option in field.value.split(|&b| b == b',') {
                let option = trim(option);
                if option.is_empty() {
                    continue;
                }
                connection.add(token(option).ok_or(Refusal::Connection)?)?;
            }
        }
        Ok(connection)
    }

    fn add(&mut self, option: &str) -> Result<(), Refusal> {
        if option.eq_ignore_ascii_case("close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case("keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case("upgrade") {
            self.upgrade = true;
        } else if option.eq_ignore_ascii_case("connection") || !is_of_the_hop(option) {
            return Err(Refusal::Nomination);
        }
        Ok(())
    }
}

/// Whether `field` goes no further than here. Those that are written anew are among them.
pub(crate) fn ends_here(field: &Field<'_>) -> bool {
    is_of_the_hop(field.name)
        || is_rewritten(field)
        || could_be(field.name, CLIENT_CERT)
        || OTHER_CERTS.iter().any(|name| could_be(field.name, name))
}

fn is_of_the_hop(name: &str) -> bool {
    HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop))
        || starts_with_ignoring_case(name, "proxy-")
}

/// Whether `field` is not copied, but written anew from what it was understood to mean.
pub(crate) fn is_rewritten(field: &Field<'_>) -> bool {
    ["content-length", "transfer-encoding", "host", "expect"]
        .iter()
        .any(|name| field.is(name))
}

/// `x-forwarded-…`: says who asks.
fn could_be_forwarded(name: &str) -> bool {
    const PREFIX: &str = "x-forwarded-";
    name.get(..PREFIX.len())
        .is_some_and(|start| could_be(start, PREFIX))
}

fn starts_with_ignoring_case(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether some server could take another method or path from `field` than the request line gives.
pub(crate) fn overrides_operation(field: &Field<'_>) -> bool {
    OVERRIDES.iter().any(|name| could_be(field.name, name))
}

/// Whether `field` may stand in a trailer section: nothing that frames, routes, authenticates or describes the body
/// (RFC 9110, 6.5.1), since a receiver that merges trailers into the head would act on it unchecked.
pub(crate) fn may_trail(field: &Field<'_>) -> bool {
    const OTHERS: [&str; 24] = [
        "accept-ranges",
        "age",
        "allow",
        "alt-svc",
        "expires",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "proxy",
        "referer",
        "retry-after",
        "strict-transport-security",
        "te",
        "upgrade",
        "user-agent",
        "warning",
        "www-authenticate",
        "x-real-ip",
        "accept",
        "accept-encoding",
        "http2-settings",
    ];
    !(PROTECTED
        .iter()
        .chain(&OTHERS)
        .chain(&OTHER_CERTS)
        .chain(&OVERRIDES)
        .any(|name| could_be(field.name, name))
        || could_be_forwarded(field.name)
        || starts_with_ignoring_case(field.name, "proxy-")
        || starts_with_ignoring_case(field.name, "proxy_")
        || starts_with_ignoring_case(field.name, "content-"))
}
