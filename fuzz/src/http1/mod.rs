//! Readers of HTTP/1: hostile clients, and hostile services.

pub(crate) mod body;
pub(crate) mod differential;
mod known;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod response;

use ringfence_wire::http1::{BodyReader, Framing, Refusal, Step, write_chunk, write_last_chunk};

/// A body as it was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) data: Vec<u8>,
    pub(crate) trailers: Vec<u8>,
    /// Bytes that it took. `None`: its end has not come.
    pub(crate) length: Option<usize>,
}

/// Reads a body that arrives in pieces that end at `cuts`.
pub(crate) fn read_body(
    framing: Framing,
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
) -> Result<Body, Refusal> {
    let mut reader = BodyReader::new(framing);
    let mut body = Body {
        data: Vec::new(),
        trailers: Vec::new(),
        length: None,
    };
    let mut start = 0;
    for end in cuts.into_iter().chain([bytes.len()]) {
        let mut input = bytes.get(start..end).unwrap_or_default();
        start = start.max(end);
        loop {
            let before = input.len();
            match reader.next(&mut input)? {
                Step::Partial => {
                    assert!(input.is_empty(), "asks for more with some left");
                    break;
                }
                Step::Data(data) => {
                    assert!(!data.is_empty(), "data without a byte");
                    assert!(input.len() < before);
                    body.data.extend_from_slice(data);
                }
                Step::End => {
                    assert!(reader.is_complete());
                    body.trailers = reader.trailers().to_vec();
                    body.length = Some(end - input.len());
                    return Ok(body);
                }
            }
        }
    }
    Ok(body)
}

/// The same data in chunks, as they are sent on.
pub(crate) fn rechunked(body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    // Two chunks, so that their seam is tried as well.
    let (first, second) = body.data.split_at(body.data.len() / 2);
    write_chunk(first, &mut out);
    write_chunk(second, &mut out);
    write_last_chunk(&body.trailers, &mut out);
    out
}
