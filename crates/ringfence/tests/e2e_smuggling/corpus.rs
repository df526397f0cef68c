//! The cases: raw bytes, what they try, and what should come of them.
//!
//! A case is one entry of a text file:
//!
//! ```text
//! == name
//! What it tries.
//! => 200 400
//! GET /a HTTP/1.1\r\n
//! @repeat 3 X: y\r\n
//! ```
//!
//! Behind `=>` stands what the client hears, in order (see [`Part`]). Then come the bytes: line ends of the file mean
//! nothing, `\r`, `\n`, `\t`, `\\` and `\xHH` are what they are in Rust, `{host}` is the name of the server.

use serde_json::{Value, json};

/// One case.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expected: Vec<Part>,
    bytes: Vec<u8>,
}

/// What comes of a request, or of what stands where a request should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// `200`: it passes, every server sees it, and it is recorded as allowed.
    Passes,
    /// `100`: an interim answer.
    Interim,
    /// `400`, `403`...: refused with this status and recorded as such. No server sees it.
    Refused(u16),
    /// `400-body`: allowed, and then refused for the rest of it. No server sees it whole.
    RefusedLater(u16),
    /// `cut`: allowed, and the client ends before it is complete. No server sees it whole.
    Cut,
    /// `short`: the client ends within its head. Recorded as refused.
    Short,
}

impl Part {
    fn parse(word: &str) -> Self {
        let status = |text: &str| text.parse().unwrap();
        match word {
            "200" => Self::Passes,
            "100" => Self::Interim,
            "cut" => Self::Cut,
            "short" => Self::Short,
            _ => match word.strip_suffix("-body") {
                Some(text) => Self::RefusedLater(status(text)),
                None => Self::Refused(status(word)),
            },
        }
    }

    /// The status that the client hears.
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Passes => Some(200),
            Self::Interim => Some(100),
            Self::Refused(status) | Self::RefusedLater(status) => Some(status),
            Self::Cut | Self::Short => None,
        }
    }

    /// How many records of an allowed request it leaves, and how many of a refused one.
    pub(crate) fn records(self) -> (u64, u64) {
        match self {
            Self::Interim => (0, 0),
            Self::Passes | Self::Cut => (1, 0),
            Self::Refused(_) | Self::Short => (0, 1),
            Self::RefusedLater(_) => (1, 1),
        }
    }
}

impl From<Entry> for Case {
    fn from(entry: Entry) -> Self {
        assert!(entry.marks.is_empty(), "{}: {:?}", entry.name, entry.marks);
        Self {
            expected: entry.expected.split(' ').map(Part::parse).collect(),
            name: entry.name,
            bytes: entry.bytes,
        }
    }
}

impl Case {
    /// As the sending program takes it.
    fn to_json(&self) -> Value {
        json!({"name": self.name, "steps": [["send", hex(&self.bytes)]]})
    }

    /// How many requests every server sees.
    pub(crate) fn passes(&self) -> usize {
        self.expected
            .iter()
            .filter(|&&part| part == Part::Passes)
            .count()
    }
}

/// All requests.
pub(crate) fn requests() -> Vec<Case> {
    let files = [
        include_str!("requests/framing.txt"),
        include_str!("requests/chunks.txt"),
        include_str!("requests/lines.txt"),
        include_str!("requests/versions.txt"),
        include_str!("requests/targets.txt"),
        include_str!("requests/authority.txt"),
        include_str!("requests/fields.txt"),
        include_str!("requests/hop_by_hop.txt"),
    ];
    let entries = files.iter().flat_map(|text| parse(text));
    let cases: Vec<_> = entries.map(Case::from).collect();
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two cases of one name");
    cases
}

/// For `client.py`.
pub(crate) fn to_json(cases: &[Case]) -> String {
    json!(cases.iter().map(Case::to_json).collect::<Vec<_>>()).to_string()
}

/// An entry of a file, as it stands there.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// What stands behind `=> `.
    pub(crate) expected: String,
    pub(crate) bytes: Vec<u8>,
    /// Lines that begin with `@`, without it, but for `@repeat`.
    pub(crate) marks: Vec<String>,
}

/// Reads a file of entries.
pub(crate) fn parse(text: &str) -> Vec<Entry> {
    let (before, entries) = text.split_once("== ").unwrap();
    assert!(before.is_empty(), "text before the first case: {before:?}");
    entries.split("\n== ").map(parse_entry).collect()
}

fn parse_entry(entry: &str) -> Entry {
    let mut lines = entry.lines();
    let name = lines.next().unwrap().to_owned();
    let expected = lines.find_map(|line| line.strip_prefix("=> "));
    let expected = expected.unwrap_or_else(|| panic!("{name} does not say what is expected"));
    let (mut bytes, mut marks) = (Vec::new(), Vec::new());
    for line in lines {
        if let Some(rest) = line.strip_prefix("@repeat ") {
            let (count, text) = rest.split_once(' ').unwrap();
            bytes.extend(unescape(text).repeat(count.parse().unwrap()));
        } else if let Some(mark) = line.strip_prefix('@') {
            marks.push(mark.to_owned());
        } else {
            bytes.extend(unescape(line));
        }
    }
    Entry {
        name,
        expected: expected.to_owned(),
        bytes,
        marks,
    }
}

/// For programs that take bytes as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("unknown escape {other:?} in {text}"),
        });
    }
    out
}
