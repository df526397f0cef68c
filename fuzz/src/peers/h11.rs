//! h11, an event at a time.

use h11::{Connection, Event, Role, State};

use super::{Ended, Request, Seen};

/// Bytes that it may hold back while an event is incomplete: more than any input has.
const HELD_MAX: usize = 1 << 20;

pub(super) fn read(stream: &[u8]) -> Seen {
    let mut requests = Vec::new();
    let mut rest = stream.to_vec();
    loop {
        if rest.is_empty() {
            return Seen {
                requests,
                ended: Ended::Between,
            };
        }
        // One connection for each request: going on with the first takes an answer, which nobody wants here.
        let mut connection = Connection::new(Role::Server, Some(HELD_MAX));
        let fed = connection.receive_data(&rest);
        let ended = fed
            .map_err(|_| Ended::Rejected)
            .and_then(|()| one(&mut connection));
        match ended {
            Ok(request) => requests.push(request),
            Err(ended) => return Seen { requests, ended },
        }
        // It has let go of a connection that is not to live on, or that asks for another protocol.
        if connection.get_their_state() != State::Done {
            return Seen {
                requests,
                ended: Ended::Closed,
            };
        }
        rest = connection.get_trailing_data().0;
    }
}

fn one(connection: &mut Connection) -> Result<Request, Ended> {
    let mut request = Request::default();
    loop {
        match connection.next_event().map_err(|_| Ended::Rejected)? {
            Event::Request(head) => {
                request.fields = head.headers.iter().collect();
                request.method = head.method;
                request.target = head.target;
            }
            Event::Data(data) => request.body.extend(data.data),
            Event::EndOfMessage(_) => return Ok(request),
            Event::NeedData() => return Err(Ended::Waiting),
            _ => return Err(Ended::Rejected),
        }
    }
}
