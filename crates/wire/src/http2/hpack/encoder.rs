//! Fields to header blocks: the static table, and literals that nobody keeps.

/// Writes the blocks of one side of a connection, whose fields may have been written before, in any order.
///
/// Fields are not put into the table of the other side, and strings are not Huffman-coded: between two processes of one
/// machine, bytes cost less than what it takes to save them.
#[derive(Debug, Default)]
pub struct Encoder {
    begun: bool,
}

impl Encoder {
    /// What a block to be sent now begins with, before its fields.
    pub fn begin(&mut self) -> &'static [u8] {
        match std::mem::replace(&mut self.begun, true) {
            true => &[],
            // "I use no table": as small as any that the other side may ask for later.
            false => &[0x20],
        }
    }

    /// Appends one field. `never`: nobody further on may put it into a table either (RFC 7541, 7.1.3).
    pub fn field(name: &str, value: &[u8], never: bool, out: &mut Vec<u8>) {
        let index = known(name.as_bytes());
        if !never && let Some(exact) = index.and_then(|index| exact(index, value)) {
            out.push(0x80 | exact);
            return;
        }
        let kind = if never { 0x10 } else { 0 };
        match index {
            Some(index) => number(kind, 4, usize::from(index), out),
            None => {
                out.push(kind);
                string(name.as_bytes(), out);
            }
        }
        string(value, out);
    }
}

/// The first entry of the static table with this name.
fn known(name: &[u8]) -> Option<u8> {
    Some(match name {
        b":authority" => 1,
        b":method" => 2,
        b":path" => 4,
        b":scheme" => 6,
        b":status" => 8,
        b"accept-charset" => 15,
        b"accept-encoding" => 16,
        b"accept-language" => 17,
        b"accept-ranges" => 18,
        b"accept" => 19,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"authorization" => 23,
        b"cache-control" => 24,
        b"content-disposition" => 25,
        b"content-encoding" => 26,
        b"content-language" => 27,
        b"content-length" => 28,
        b"content-location" => 29,
        b"content-range" => 30,
        b"content-type" => 31,
        b"cookie" => 32,
        b"date" => 33,
        b"etag" => 34,
        b"expect" => 35,
        b"expires" => 36,
        b"from" => 37,
        b"host" => 38,
        b"if-match" => 39,
        b"if-modified-since" => 40,
        b"if-none-match" => 41,
        b"if-range" => 42,
        b"if-unmodified-since" => 43,
        b"last-modified" => 44,
        b"link" => 45,
        b"location" => 46,
        b"max-forwards" => 47,
        b"proxy-authenticate" => 48,
        b"proxy-authorization" => 49,
        b"range" => 50,
        b"referer" => 51,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"server" => 54,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        b"transfer-encoding" => 57,
        b"user-agent" => 58,
        b"vary" => 59,
        b"via" => 60,
        b"www-authenticate" => 61,
        _ => return None,
    })
}

/// The entry with the name of entry `index`, the first of its name, and this value.
fn exact(index: u8, value: &[u8]) -> Option<u8> {
    Some(match (index, value) {
        (2, b"GET") => 2,
        (2, b"POST") => 3,
        (4, b"/") => 4,
        (6, b"http") => 6,
        (6, b"https") => 7,
        (8, b"200") => 8,
        (8, b"204") => 9,
        (8, b"206") => 10,
        (8, b"304") => 11,
        (8, b"400") => 12,
        (8, b"404") => 13,
        (8, b"500") => 14,
        (16, b"gzip, deflate") => 16,
        _ => return None,
    })
}

/// An integer behind the bits of `kind` (RFC 7541, 5.1).
fn number(kind: u8, prefix: u32, mut value: usize, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        out.push(kind | value as u8);
        return;
    }
    out.push(kind | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    number(0, 7, bytes.len(), out);
    out.extend_from_slice(bytes);
}
