//! What an index means: the static table, and the one that a peer fills.

use std::collections::VecDeque;

/// The static table (RFC 7541, appendix A), from index 1.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// What a field counts beside its bytes (RFC 7541, 4.1; RFC 9113, 6.5.2).
pub(crate) const FIELD_OVERHEAD: usize = 32;

/// The table that one side fills and both keep.
#[derive(Debug)]
pub(super) struct Table {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

#[derive(Debug)]
struct Entry {
    /// Name and value, one behind the other.
    bytes: Box<[u8]>,
    name: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.bytes.len() + FIELD_OVERHEAD
    }
}

impl Table {
    /// Empty, for at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max,
        }
    }

    /// The highest index that stands for something.
    pub(super) fn len(&self) -> usize {
        STATIC.len() + self.entries.len()
    }

    /// Name and value at `index`.
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some((name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index - 1 - STATIC.len())?;
        entry.bytes.split_at_checked(entry.name)
    }

    /// Puts `bytes`, a name of `name` bytes and a value, before all others. One that is larger than the table empties it.
    pub(super) fn insert(&mut self, bytes: &[u8], name: usize) {
        let size = bytes.len() + FIELD_OVERHEAD;
        self.make_room(size);
        if size <= self.max {
            self.size += size;
            let bytes = Box::from(bytes);
            self.entries.push_front(Entry { bytes, name });
        }
    }

    /// Takes at most `max` bytes from now on.
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max;
        self.make_room(0);
    }

    fn make_room(&mut self, size: usize) {
        while self.size + size > self.max
            && let Some(last) = self.entries.pop_back()
        {
            self.size -= last.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_behind_the_static_ones_and_the_oldest_goes() {
        let mut table = Table::new(2 * (FIELD_OVERHEAD + 2));
        assert_eq!(table.get(0), None);
        assert_eq!(table.get(2), Some((&b":method"[..], &b"GET"[..])));
        assert_eq!(table.get(61), Some((&b"www-authenticate"[..], &b""[..])));
        assert_eq!(table.get(62), None);
        table.insert(b"ab", 1);
        table.insert(b"cd", 1);
        assert_eq!(table.get(62), Some((&b"c"[..], &b"d"[..])));
        assert_eq!(table.get(63), Some((&b"a"[..], &b"b"[..])));
        table.insert(b"ef", 2);
        assert_eq!(table.get(62), Some((&b"ef"[..], &b""[..])));
        assert_eq!(table.get(64), None);
        table.insert(&[b'x'; 100], 1);
        assert_eq!(table.get(62), None, "too large: all the others go as well");
        table.insert(b"ab", 1);
        table.resize(0);
        assert_eq!((table.get(62), table.size), (None, 0));
    }
}
