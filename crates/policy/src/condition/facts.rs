//! Where the values of a condition's variables come from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use jiff::Timestamp;
use ringfence_model::operation::{HttpPattern, Segment};
use ringfence_model::resource::{Labels, With};

use super::engine::Variables;
use super::needs::{self, Keys, Needs};
use super::supplied::{check_supplied, scalar, supplied_fields, supplied_now};
use super::{ConditionError, body as bodies, json, spelling};
use crate::verdict::Operation;

/// Longest body that a condition reads, in bytes. A longer one makes every condition on it an error.
pub const BODY_MAX: usize = 64 * 1024;
/// Most parameters of a query that a condition reads.
const PARAMETERS_MAX: usize = 1_000;

/// When a question is asked, and what is known beside who, whom and what.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time of the question.
    pub now: Timestamp,
    /// What conditions can see.
    pub seen: Seen<'a>,
}

impl<'a> Moment<'a> {
    /// At `now`, with `seen`.
    pub fn at(now: Timestamp, seen: Seen<'a>) -> Self {
        Self { now, seen }
    }

    /// What people ask: as of the time that `with` supplies, or else of `now`. Errors when `with` has another shape than
    /// `{request: {host, query: {NAME: VALUE}, headers: {NAME: VALUE}}, now, task, args, body}`, all optional.
    pub fn supplied(with: Option<&'a With>, now: Timestamp) -> Result<Self, WithError> {
        let Some(with) = with else {
            return Ok(Self::at(now, Seen::Nothing));
        };
        check_supplied(with).map_err(|(message, help)| WithError { message, help })?;
        let now = supplied_now(with).unwrap_or(now);
        Ok(Self::at(now, Seen::Supplied(with)))
    }
}

/// A context that nobody can ask about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct WithError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// What conditions can see.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Nothing: a condition that needs a request cannot be decided, and its rule does not match.
    Nothing,
    /// An attempt without a request. A condition that needs one errors.
    Connection,
    /// A request as it arrived.
    Request(&'a Request<'a>),
    /// What a person supplies; what is missing is unknown.
    Supplied(&'a With),
}

/// A request as it arrived, apart from method and path.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The authority, as sent.
    pub host: &'a str,
    /// Without `?`; `None`: there is none.
    pub query: Option<&'a [u8]>,
    /// All fields in their order, names in any case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// As far as it was read.
    pub body: Body<'a>,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// Nobody has read it: conditions on it error.
    Unread,
    /// There is none.
    None,
    /// Longer than [`BODY_MAX`], or not complete in time.
    TooLong,
    /// All of it.
    Bytes(&'a [u8]),
}

/// Who, whom, and what.
pub(crate) struct About<'a> {
    pub(crate) source: Party<'a>,
    pub(crate) destination: Party<'a>,
    pub(crate) operation: Operation<'a>,
    /// The rule's pattern, for the names of its segments.
    pub(crate) pattern: Option<&'a HttpPattern>,
}

/// One side, as `source` and `destination` show it.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) spiffe_id: &'a str,
    pub(crate) owner: Option<&'a str>,
    pub(crate) labels: &'a Labels,
}

/// Why there are no variables.
pub(crate) enum Missing {
    /// It was not supplied.
    Unknown,
    Error(ConditionError),
}

impl From<ConditionError> for Missing {
    fn from(error: ConditionError) -> Self {
        Self::Error(error)
    }
}

pub(super) type Fields<'a> = Vec<(Cow<'a, str>, Result<Cow<'a, str>, ()>)>;

/// Everything that `needs` names, and nothing else.
pub(crate) fn variables(
    needs: &Needs,
    about: &About<'_>,
    moment: &Moment<'_>,
) -> Result<Variables, Missing> {
    let mut variables = Variables::new();
    if needs.source.any() {
        variables.insert("source", party(needs.source, &about.source));
    }
    if needs.destination.any() {
        variables.insert("destination", party(needs.destination, &about.destination));
    }
    if needs.now {
        variables.insert("now", timestamp(moment.now)?);
    }
    if let Some(request) = request(needs, about, moment)? {
        variables.insert("request", request);
    }
    if !needs.names.is_empty() {
        variables.insert("path", names(needs, about)?);
    }
    for (name, needed) in [("task", needs.task), ("args", needs.args)] {
        if needed {
            variables.insert(name, supplied(name, needs, moment)?);
        }
    }
    if needs.body {
        variables.insert("body", body(needs, moment)?);
    }
    Ok(variables)
}

fn text(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

fn map(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    let map: HashMap<Key, Value> = entries
        .into_iter()
        .map(|(key, value)| (Key::String(Arc::new(key)), value))
        .collect();
    Value::Map(Map { map: Arc::new(map) })
}

fn party(needed: needs::Party, party: &Party<'_>) -> Value {
    let mut fields = Vec::new();
    let mut add = |needed: bool, name: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|_| needed) {
            fields.push((name.to_owned(), value));
        }
    };
    add(needed.name, "name", Some(text(party.name)));
    add(needed.kind, "kind", Some(text(party.kind)));
    add(needed.id, "id", Some(text(party.spiffe_id)));
    add(needed.owner, "owner", party.owner.map(text));
    let labels = || {
        let labels = party.labels.iter();
        map(labels.map(|(key, value)| (key.clone(), text(value))))
    };
    add(needed.labels, "labels", needed.labels.then(labels));
    map(fields)
}

fn timestamp(now: Timestamp) -> Result<Value, ConditionError> {
    let nanos = u32::try_from(now.subsec_nanosecond().max(0)).unwrap_or_default();
    chrono::DateTime::from_timestamp(now.as_second(), nanos)
        .map(|now| Value::Timestamp(now.fixed_offset()))
        .ok_or(ConditionError::Evaluation("the clock is out of range"))
}

fn request(
    needs: &Needs,
    about: &About<'_>,
    moment: &Moment<'_>,
) -> Result<Option<Value>, Missing> {
    let mut fields = Vec::new();
    if needs.method || needs.path {
        let Some((method, path)) = about.operation.request() else {
            return Err(ConditionError::Absent("request".into()).into());
        };
        if needs.method {
            fields.push(("method".to_owned(), text(method)));
        }
        if needs.path {
            fields.push(("path".to_owned(), text(path.as_str())));
        }
    }
    if needs.host {
        fields.push(("host".to_owned(), text(&host(moment)?)));
    }
    if needs.query.any() {
        let query = pick(&needs.query, PARAMETER, query(moment)?)?;
        fields.push(("query".to_owned(), query));
    }
    if needs.headers.any() {
        let headers = pick(&needs.headers, HEADER, headers(moment)?)?;
        fields.push(("headers".to_owned(), headers));
    }
    Ok((!fields.is_empty()).then(|| map(fields)))
}

/// `with.request.FIELD`, if `with.request` is there.
fn supplied_request<'a>(with: &'a With, field: &str) -> Result<&'a serde_json::Value, Missing> {
    with.get("request")
        .and_then(|request| request.get(field))
        .ok_or(Missing::Unknown)
}

fn no_request() -> Missing {
    ConditionError::Absent("request".into()).into()
}

fn host<'a>(moment: &Moment<'a>) -> Result<Cow<'a, str>, Missing> {
    match moment.seen {
        Seen::Nothing => Err(Missing::Unknown),
        Seen::Connection => Err(no_request()),
        Seen::Request(request) => Ok(host_name(request.host).into()),
        Seen::Supplied(with) => Ok(host_name(&scalar(supplied_request(with, "host")?)).into()),
    }
}

/// Without port, in lower case. A final dot names the same host, so it is left out.
pub(super) fn host_name(authority: &str) -> String {
    let name = match authority.rsplit_once(':') {
        // Inside brackets it is an address.
        Some((name, port)) if !port.contains(']') => name,
        _ => authority,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn query<'a>(moment: &Moment<'a>) -> Result<Fields<'a>, Missing> {
    match moment.seen {
        Seen::Nothing => Err(Missing::Unknown),
        Seen::Connection => Err(no_request()),
        Seen::Request(request) => Ok(parameters(request.query.unwrap_or_default())?),
        Seen::Supplied(with) => Ok(supplied_fields(supplied_request(with, "query")?)),
    }
}

fn headers<'a>(moment: &Moment<'a>) -> Result<Fields<'a>, Missing> {
    match moment.seen {
        Seen::Nothing => Err(Missing::Unknown),
        Seen::Connection => Err(no_request()),
        Seen::Request(request) => Ok(request
            .headers
            .iter()
            .map(|&(name, value)| {
                let value = std::str::from_utf8(value).map_err(drop);
                (name.to_ascii_lowercase().into(), value.map(Cow::Borrowed))
            })
            .collect()),
        Seen::Supplied(with) => Ok(supplied_fields(supplied_request(with, "headers")?)),
    }
}

/// What a field is called in words, and how its name folds.
type Sort = (&'static str, fn(&str) -> String);

const PARAMETER: Sort = ("parameter", spelling::parameter);
const HEADER: Sort = ("header", spelling::header);

/// Those of `fields` that are read. One that is sent twice, in two spellings or as no text is an error wherever it is
/// read.
fn pick(keys: &Keys, (what, fold): Sort, fields: Fields<'_>) -> Result<Value, ConditionError> {
    // What must not be sent in another spelling: what the expression names, or else whatever was sent first.
    let mut spelled: HashMap<String, Box<str>> = match keys {
        Keys::These(keys) => keys.iter().map(|key| (fold(key), key.clone())).collect(),
        Keys::None | Keys::All => HashMap::new(),
    };
    let mut picked: HashMap<Key, Value> = HashMap::new();
    for (name, value) in fields {
        let read = match keys {
            Keys::None => false,
            Keys::These(keys) => keys.contains(&*name),
            Keys::All => true,
        };
        match spelled.get(&fold(&name)) {
            Some(other) if !read => {
                return Err(ConditionError::OtherSpelling(
                    format!("{what} {other}").into(),
                ));
            }
            Some(other) if *keys == Keys::All && **other != *name => {
                return Err(ConditionError::OtherSpelling(format!("a {what}").into()));
            }
            None if read => {
                spelled.insert(fold(&name), name.as_ref().into());
            }
            _ => {}
        }
        if !read {
            continue;
        }
        // The name is the expression's own, or it might be anything.
        let shown = || match keys {
            Keys::These(_) => format!("{what} {name}").into(),
            _ => format!("a {what}").into(),
        };
        let value = value.map_err(|()| ConditionError::NotText(shown()))?;
        let key = Key::String(Arc::new(name.as_ref().to_owned()));
        if picked.insert(key, text(&value)).is_some() {
            return Err(ConditionError::SentTwice(shown()));
        }
    }
    Ok(Value::Map(Map {
        map: Arc::new(picked),
    }))
}

/// application/x-www-form-urlencoded, split at `&` only.
fn parameters(query: &[u8]) -> Result<Fields<'_>, ConditionError> {
    if query.contains(&b';') {
        return Err(ConditionError::Evaluation(
            "the query holds a semicolon, at which some servers split it",
        ));
    }
    let mut out = Vec::new();
    for part in query.split(|&b| b == b'&').filter(|part| !part.is_empty()) {
        if out.len() == PARAMETERS_MAX {
            return Err(ConditionError::Evaluation(
                "the query has too many parameters",
            ));
        }
        let (name, value) = match part.iter().position(|&b| b == b'=') {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &[][..]),
        };
        // What the receiver takes for the name is unknown, so it could be any.
        let name = decoded(name)
            .map_err(|()| ConditionError::NotText("the name of a parameter".into()))?;
        out.push((name, decoded(value)));
    }
    Ok(out)
}

/// Escapes and `+` decoded; `Err`: broken escapes, or not UTF-8.
fn decoded(part: &[u8]) -> Result<Cow<'_, str>, ()> {
    if !part.iter().any(|b| matches!(b, b'%' | b'+')) {
        return std::str::from_utf8(part).map(Cow::Borrowed).map_err(drop);
    }
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
    while let [first, after @ ..] = rest {
        rest = after;
        out.push(match first {
            b'+' => b' ',
            b'%' => {
                let [high, low, after @ ..] = rest else {
                    return Err(());
                };
                rest = after;
                let digit = |b: &u8| char::from(*b).to_digit(16).ok_or(());
                (digit(high)? * 16 + digit(low)?) as u8
            }
            other => *other,
        });
    }
    String::from_utf8(out).map(Cow::Owned).map_err(drop)
}

fn names(needs: &Needs, about: &About<'_>) -> Result<Value, ConditionError> {
    let absent = || ConditionError::Absent("path".into());
    let (Operation::Http { path, .. }, Some(pattern)) = (about.operation, about.pattern) else {
        return Err(absent());
    };
    let mut fields = Vec::new();
    for (segment, sent) in pattern.segments.iter().zip(path.segments()) {
        if let Segment::One(Some(name)) = segment
            && needs.names.contains(name)
        {
            fields.push((name.to_string(), text(sent)));
        }
    }
    Ok(map(fields))
}

fn supplied(name: &str, needs: &Needs, moment: &Moment<'_>) -> Result<Value, Missing> {
    match moment.seen {
        Seen::Nothing => Err(Missing::Unknown),
        Seen::Connection | Seen::Request(_) => Err(ConditionError::Absent(name.into()).into()),
        Seen::Supplied(with) => {
            let value = with.get(name).ok_or(Missing::Unknown)?;
            json::from_supplied(value, &needs.members).map_err(|fault| match name {
                "body" => ConditionError::Body(fault).into(),
                _ => ConditionError::Evaluation(fault).into(),
            })
        }
    }
}

fn body(needs: &Needs, moment: &Moment<'_>) -> Result<Value, Missing> {
    let request = match moment.seen {
        Seen::Nothing => return Err(Missing::Unknown),
        Seen::Connection => return Err(ConditionError::Absent("body".into()).into()),
        Seen::Supplied(_) => return supplied("body", needs, moment),
        Seen::Request(request) => request,
    };
    let fault = |words| Missing::Error(ConditionError::Body(words));
    let bytes = match request.body {
        Body::Unread => return Err(fault("was not read")),
        Body::None => return Err(ConditionError::Absent("body".into()).into()),
        Body::TooLong => {
            return Err(fault(
                "is longer than 65536 bytes, or did not arrive in time",
            ));
        }
        Body::Bytes(bytes) => bytes,
    };
    bodies::declared_as_json(request.headers).map_err(fault)?;
    json::parse(bytes, &needs.members).map_err(fault)
}
