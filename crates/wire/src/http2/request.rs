//! Request heads.

use super::Refusal;
use super::field::{Fields, is_dropped, regular, value, within_bounds};
use super::hpack::Encoder;
use super::list::HeaderList;
use crate::http1::bytes::token;
use crate::http1::framing::announced;
use crate::http1::hop::{CLIENT_CERT, is_rewritten, overrides_operation};
use crate::http1::limits::{METHOD_MAX, SENT_FIELDS_MAX};
use crate::http1::request::{expectation, refuse_two_spellings};
use crate::http1::target::{parse_authority, parse_target};
use crate::http1::{self, Field, Framing, Version};

/// A request head with every question settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// A token without small letters; never CONNECT.
    pub method: &'a str,
    /// The raw path: starts with `/`, holds no `?` or `#`. Not yet canonical.
    pub path: &'a [u8],
    /// What followed `?`: printable ASCII without `#`.
    pub query: Option<&'a [u8]>,
    /// `host` or `host:port`, no userinfo, case as sent.
    pub authority: &'a str,
    /// How many bytes of body were announced.
    pub length: Option<u64>,
    /// The client waits for leave to send the body.
    pub expect_continue: bool,
    fields: Fields<'a>,
}

/// What takes the place of the client's own words on the way to the service.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// `http` or `https`, as the connection to the service is.
    pub scheme: &'a str,
    /// The canonical path, as it was decided on.
    pub path: &'a str,
    /// For `:authority`.
    pub authority: &'a str,
    /// For `x-forwarded-client-cert`.
    pub client_cert: &'a str,
    /// Whether the service may give leave to send the body: not where it was read before.
    pub expect_continue: bool,
}

/// Pseudo-header fields of a request.
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
}

impl<'a> Pseudo<'a> {
    fn take(&mut self, name: &[u8], text: &'a [u8]) -> Result<(), Refusal> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return Err(Refusal::PseudoUnknown),
        };
        match place.replace(value(text)?) {
            None => Ok(()),
            Some(_) => Err(Refusal::PseudoRepeated),
        }
    }
}

/// Reads what a whole header block that begins a stream was decoded to. `ended`: no body follows.
pub fn read_request(list: &mut HeaderList, ended: bool) -> Result<RequestHead<'_>, Refusal> {
    within_bounds(list)?;
    list.join_cookies();
    let list = &*list;
    let mut pseudo = Pseudo::default();
    let mut raws = list.raw();
    let mut first = None;
    for raw in raws.by_ref() {
        if raw.name.first() != Some(&b':') {
            first = Some(raw);
            break;
        }
        pseudo.take(raw.name, raw.value)?;
    }
    let method = method(pseudo.method.ok_or(Refusal::PseudoMissing)?)?;
    let scheme = pseudo.scheme.ok_or(Refusal::PseudoMissing)?;
    let path = pseudo.path.ok_or(Refusal::PseudoMissing)?;
    if path.is_empty() {
        return Err(Refusal::PathEmpty);
    }
    let mut fields = Fields::with_capacity(16);
    // Where the authority is told apart from fields, a service shows it to its programs as one.
    let host_place = Field {
        name: "host",
        value: b"",
    };
    fields.push(host_place, false)?;
    let mut host = None;
    for raw in first.into_iter().chain(raws) {
        if raw.name.first() == Some(&b':') {
            return Err(Refusal::PseudoLate);
        }
        let field = regular(raw)?;
        if field.name == "host" {
            if host.replace(field.value).is_some() {
                return Err(http1::Refusal::HostRepeated.into());
            }
        } else if overrides_operation(&field) {
            return Err(http1::Refusal::Override.into());
        } else if !is_dropped(&field) {
            fields.push(field, raw.never)?;
        }
    }
    let authority = authority(pseudo.authority, host)?;
    if let Some(place) = fields.all.first_mut() {
        place.value = authority.as_bytes();
    }
    if scheme != b"http" {
        return Err(Refusal::Scheme);
    }
    if !path.starts_with(b"/") && path != b"*" {
        return Err(http1::Refusal::Target.into());
    }
    let target = parse_target(path, method)?;
    let length = match announced(&fields.all, Version::Http11)? {
        Framing::Length(length) => Some(length),
        _ => None,
    };
    if ended && length.is_some_and(|length| length > 0) {
        return Err(Refusal::Length);
    }
    let expect_continue = expectation(&fields.all)?;
    refuse_two_spellings(&fields.all)?;
    Ok(RequestHead {
        method,
        path: target.path,
        query: target.query,
        authority,
        length,
        expect_continue,
        fields,
    })
}

fn method(bytes: &[u8]) -> Result<&str, Refusal> {
    let method = token(bytes)
        .filter(|method| method.len() <= METHOD_MAX)
        .ok_or(http1::Refusal::Method)?;
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(http1::Refusal::Connect.into());
    }
    if method.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(http1::Refusal::MethodCase.into());
    }
    Ok(method)
}

/// Both say the same where both are there (RFC 9113, 8.3.1).
fn authority<'a>(pseudo: Option<&'a [u8]>, host: Option<&'a [u8]>) -> Result<&'a str, Refusal> {
    let named = pseudo.or(host).ok_or(http1::Refusal::HostMissing)?;
    if host.is_some_and(|host| !host.eq_ignore_ascii_case(named)) {
        return Err(http1::Refusal::AuthorityMismatch.into());
    }
    Ok(parse_authority(named).ok_or(http1::Refusal::Host)?)
}

impl<'a> RequestHead<'a> {
    /// The fields that the service will see, in their order: what may be asked about.
    pub fn fields(&self) -> &[Field<'a>] {
        &self.fields.all
    }

    /// Appends the fields of the header block that goes on to `out`. Errors leave `out` as it was: nothing may be sent then.
    pub fn write(&self, onward: Onward<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let printable = |text: &str| text.bytes().all(|b| (0x20..0x7f).contains(&b));
        let sound_path = onward.path.starts_with('/')
            && onward
                .path
                .bytes()
                .all(|b| (0x21..0x7f).contains(&b) && b != b'?' && b != b'#');
        if !sound_path
            || parse_authority(onward.authority.as_bytes()).is_none()
            || !printable(onward.client_cert)
        {
            return Err(http1::Refusal::Insertion.into());
        }
        let onward_fields = || self.fields.iter().filter(|(field, _)| !is_rewritten(field));
        // The authority counts as a field, as it does for a service; so do the three that may be written anew.
        let (authority, written_anew) = (1, 3);
        if onward_fields().count() + authority + written_anew > SENT_FIELDS_MAX {
            return Err(http1::Refusal::TooManyFields.into());
        }
        Encoder::field(":method", self.method.as_bytes(), false, out);
        Encoder::field(":scheme", onward.scheme.as_bytes(), false, out);
        Encoder::field(":authority", onward.authority.as_bytes(), false, out);
        match self.query {
            None => Encoder::field(":path", onward.path.as_bytes(), false, out),
            Some(query) => {
                let path = [onward.path.as_bytes(), query].join(&b'?');
                Encoder::field(":path", &path, false, out);
            }
        }
        for (field, never) in onward_fields() {
            Encoder::field(field.name, field.value, never, out);
        }
        if let Some(length) = self.length {
            let length = length.to_string();
            Encoder::field("content-length", length.as_bytes(), false, out);
        }
        if onward.expect_continue {
            Encoder::field("expect", b"100-continue", false, out);
        }
        Encoder::field(CLIENT_CERT, onward.client_cert.as_bytes(), false, out);
        Ok(())
    }
}
