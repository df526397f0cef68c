//! Request targets and authorities.

use super::Refusal;
use super::limits::{AUTHORITY_MAX, TARGET_MAX};

/// A request target in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Of the absolute form.
    pub(crate) authority: Option<&'a str>,
    /// Not yet canonical, not empty, starts with `/`.
    pub(crate) path: &'a [u8],
    /// What follows the first `?`.
    pub(crate) query: Option<&'a [u8]>,
}

/// Takes origin form, and absolute form over http. `method` decides what an absolute form without a path means.
pub(crate) fn parse_target<'a>(target: &'a [u8], method: &str) -> Result<Target<'a>, Refusal> {
    if target.len() > TARGET_MAX {
        return Err(Refusal::TargetTooLong);
    }
    if target == b"*" {
        return Err(Refusal::Asterisk);
    }
    if memchr::memchr(b'#', target).is_some() {
        return Err(Refusal::Fragment);
    }
    let (authority, rest) = match target {
        [b'/', ..] => (None, target),
        _ => {
            let (authority, rest) = split_absolute(target)?;
            (Some(authority), rest)
        }
    };
    let (path, query) = match memchr::memchr(b'?', rest) {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
        None => (rest, None),
    };
    if query
        .unwrap_or_default()
        .iter()
        .any(|&b| !(0x21..0x7f).contains(&b))
    {
        return Err(Refusal::Query);
    }
    let path = match path {
        // `OPTIONS http://host` means `OPTIONS *` (RFC 9112, 3.2.4).
        [] if method == "OPTIONS" => return Err(Refusal::Asterisk),
        [] => b"/",
        path => path,
    };
    Ok(Target {
        authority,
        path,
        query,
    })
}

/// `http://authority` and what follows it.
fn split_absolute(target: &[u8]) -> Result<(&str, &[u8]), Refusal> {
    let (scheme, rest) = target.split_at_checked(7).ok_or(Refusal::Target)?;
    if !scheme.eq_ignore_ascii_case(b"http://") {
        return Err(Refusal::Target);
    }
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Ok((parse_authority(authority).ok_or(Refusal::Target)?, rest))
}

/// `host` or `host:port`, where host is a name, an IPv4 address or an IPv6 address in brackets. No userinfo, no
/// escapes, no empty host or port.
pub(crate) fn parse_authority(bytes: &[u8]) -> Option<&str> {
    if bytes.len() > AUTHORITY_MAX {
        return None;
    }
    let (host_ok, rest) = match bytes {
        [b'[', inner @ ..] => {
            let end = memchr::memchr(b']', inner)?;
            let (address, rest) = inner.split_at(end);
            let address = std::str::from_utf8(address).ok()?;
            (
                address.parse::<std::net::Ipv6Addr>().is_ok(),
                rest.get(1..)?,
            )
        }
        _ => {
            let end = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
            let (host, rest) = bytes.split_at(end);
            let ok = !host.is_empty()
                && host
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
            (ok, rest)
        }
    };
    let port_ok = match rest {
        [] => true,
        [b':', port @ ..] => {
            // A leading zero is another text and the same number.
            (1..=5).contains(&port.len())
                && !port.starts_with(b"0")
                && port.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(port).ok()?.parse::<u16>().is_ok()
        }
        _ => false,
    };
    if host_ok && port_ok {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    }
}
