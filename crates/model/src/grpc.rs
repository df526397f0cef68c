//! gRPC calls: `package.Service/Method`, and the HTTP/2 request that each of them is.
//!
//! On the wire a call is a `POST` of `/package.Service/Method` with content type `application/grpc` (gRPC over HTTP/2, in
//! the gRPC repository's `PROTOCOL-HTTP2.md`). Names are those of protobuf: letters, digits and `_`, joined by dots. Nothing
//! in them can be spelled in two ways, so the path that is sent is canonical as it stands, and whatever else a path may
//! hold (escapes, a query, dot segments, a third segment) makes it no call.

use std::fmt;

use crate::CanonicalPath;
use crate::path::Allowances;

/// Longest call, `package.Service/Method`, in bytes. A longer one is refused.
pub const GRPC_CALL_MAX: usize = 512;
/// The method of every call.
pub const GRPC_METHOD: &str = "POST";
const CONTENT_TYPE: &[u8] = b"application/grpc";

/// One call, by its full name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCall(CanonicalPath);

/// Why a request to a gRPC service is not a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACall {
    /// Not `POST`.
    #[error("its method is not POST")]
    Method,
    /// Not `application/grpc`, or sent twice, or not at all.
    #[error("its content type is not application/grpc")]
    ContentType,
    /// Not two names.
    #[error("its path is not /package.Service/Method")]
    Path,
}

impl GrpcCall {
    /// The call that an HTTP/2 request is. `path` is `:path` as sent; `content_types` are all fields of that name.
    pub fn from_request<'a>(
        method: &str,
        path: &str,
        content_types: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, NotACall> {
        if method != GRPC_METHOD {
            return Err(NotACall::Method);
        }
        let mut content_types = content_types.into_iter();
        match (content_types.next(), content_types.next()) {
            (Some(one), None) if is_grpc(one) => {}
            _ => return Err(NotACall::ContentType),
        }
        let call = path.strip_prefix('/').ok_or(NotACall::Path)?;
        Self::new(call).ok_or(NotACall::Path)
    }

    /// `package.Service/Method`; `None` where it is not that.
    pub fn new(call: &str) -> Option<Self> {
        let (service, method) = call.split_once('/')?;
        if call.len() > GRPC_CALL_MAX || !is_service(service) || !is_name(method) {
            return None;
        }
        let path = CanonicalPath::new(format!("/{call}").as_bytes(), Allowances::default());
        path.ok().map(Self)
    }

    /// `package.Service/Method`.
    pub fn as_str(&self) -> &str {
        self.0.as_str().strip_prefix('/').unwrap_or_default()
    }

    /// The path of its request.
    pub fn path(&self) -> &CanonicalPath {
        &self.0
    }
}

impl fmt::Display for GrpcCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `application/grpc`, alone or with `+proto` and the like, or with parameters. `application/grpc-web` is another protocol.
fn is_grpc(content_type: &[u8]) -> bool {
    content_type
        .strip_prefix(CONTENT_TYPE)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Names joined by dots.
pub(crate) fn is_service(text: &str) -> bool {
    text.split('.').all(is_name)
}

/// An identifier of protobuf.
pub(crate) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str, types: &[&str]) -> Result<String, NotACall> {
        let types = types.iter().map(|text| text.as_bytes());
        GrpcCall::from_request(method, path, types).map(|call| call.to_string())
    }

    #[test]
    fn reads_calls_from_requests() {
        for content_type in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;a=b",
        ] {
            let call = of("POST", "/a.b_1.C/Do", &[content_type]);
            assert_eq!(call.as_deref(), Ok("a.b_1.C/Do"), "{content_type}");
        }
        assert_eq!(
            of("POST", "/C/Do", &["application/grpc"]).as_deref(),
            Ok("C/Do")
        );
    }

    #[test]
    fn refuses_requests_that_are_no_calls() {
        let grpc = &["application/grpc"][..];
        for method in ["GET", "post", "PUT", ""] {
            assert_eq!(
                of(method, "/a.C/Do", grpc),
                Err(NotACall::Method),
                "{method}"
            );
        }
        for types in [
            &[][..],
            &["application/grpc", "application/grpc"],
            &["application/grpc-web"],
            &["application/grpcx"],
            &["Application/grpc"],
            &["application/json"],
            &[" application/grpc"],
        ] {
            assert_eq!(
                of("POST", "/a.C/Do", types),
                Err(NotACall::ContentType),
                "{types:?}"
            );
        }
        let long = format!("/{}/Do", "a".repeat(GRPC_CALL_MAX));
        for path in [
            "",
            "/",
            "*",
            "a.C/Do",
            "/a.C",
            "/a.C/",
            "//Do",
            "/a.C/Do/",
            "/a.C/Do/x",
            "/a.C//Do",
            "/a.C/Do?x",
            "/a.C/D%6f",
            "/.a.C/Do",
            "/a..C/Do",
            "/a.C./Do",
            "/a.C/Do#x",
            "/a.C/..",
            "/a-b.C/Do",
            "/1.C/Do",
            "/a.C/1",
            "/a.C/D\u{f6}",
            "/a.C/Do ",
            "/a.C/*",
            "/*/*",
            long.as_str(),
        ] {
            assert_eq!(of("POST", path, grpc), Err(NotACall::Path), "{path}");
        }
    }
}
