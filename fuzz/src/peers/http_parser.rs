//! http_parser, by its callbacks.

use http_muncher::{Parser, ParserHandler};

use super::{Ended, Request, Seen};

pub(super) fn read(stream: &[u8]) -> Seen {
    let mut parser = Parser::request();
    let mut handler = Handler::default();
    // A byte at a time, because the binding knows the method of a request only between two calls.
    for byte in stream {
        let taken = parser.parse(&mut handler, &[*byte]);
        if handler.unnamed {
            handler.unnamed = false;
            handler.request.method = parser.http_method().as_bytes().to_vec();
            handler.requests.push(std::mem::take(&mut handler.request));
        }
        // It says from the head on that another protocol is asked for, and hands over behind the body.
        handler.closed |= parser.is_upgrade() && handler.place == Place::Between;
        if handler.closed || parser.has_error() || taken != 1 {
            break;
        }
    }
    let ended = match () {
        () if handler.closed => Ended::Closed,
        () if parser.has_error() => Ended::Rejected,
        () if handler.place == Place::Between => Ended::Between,
        () => Ended::Waiting,
    };
    Seen {
        requests: handler.requests,
        ended,
    }
}

#[derive(Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    Head {
        /// The last call was about a value.
        in_value: bool,
    },
    /// Fields from here on are trailers.
    Body,
}

#[derive(Default)]
struct Handler {
    place: Place,
    request: Request,
    requests: Vec<Request>,
    /// The request is whole but for its method.
    unnamed: bool,
    closed: bool,
}

impl ParserHandler for Handler {
    fn on_message_begin(&mut self, _: &mut Parser) -> bool {
        self.place = Place::Head { in_value: false };
        self.request = Request::default();
        true
    }

    fn on_url(&mut self, _: &mut Parser, part: &[u8]) -> bool {
        self.request.target.extend_from_slice(part);
        true
    }

    fn on_header_field(&mut self, _: &mut Parser, part: &[u8]) -> bool {
        if let Place::Head { in_value } = &mut self.place {
            if self.request.fields.is_empty() || *in_value {
                self.request.fields.push(Default::default());
            }
            *in_value = false;
            if let Some((name, _)) = self.request.fields.last_mut() {
                name.extend_from_slice(part);
            }
        }
        true
    }

    fn on_header_value(&mut self, _: &mut Parser, part: &[u8]) -> bool {
        if let Place::Head { in_value } = &mut self.place {
            *in_value = true;
            if let Some((_, value)) = self.request.fields.last_mut() {
                value.extend_from_slice(part);
            }
        }
        true
    }

    fn on_headers_complete(&mut self, _: &mut Parser) -> bool {
        self.place = Place::Body;
        true
    }

    fn on_body(&mut self, _: &mut Parser, part: &[u8]) -> bool {
        self.request.body.extend_from_slice(part);
        true
    }

    fn on_message_complete(&mut self, parser: &mut Parser) -> bool {
        self.place = Place::Between;
        self.unnamed = true;
        self.closed = !parser.should_keep_alive();
        !self.closed
    }
}
