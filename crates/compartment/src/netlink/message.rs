//! Writing one netlink message.

/// Answer wanted.
const NLM_F_ACK: u16 = 4;
const NLM_F_REQUEST: u16 = 1;
/// The attribute holds attributes.
const NLA_F_NESTED: u16 = 0x8000;

/// A message being written; complete at any time.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// A request of type `kind`, with `flags` beside `NLM_F_REQUEST`, and the family's own header.
    pub(crate) fn request(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(header);
        let mut message = Self { bytes };
        message.pad();
        message
    }

    /// As [`request`](Self::request), to be acknowledged.
    pub(crate) fn acknowledged(kind: u16, flags: u16, header: &[u8]) -> Self {
        Self::request(kind, flags | NLM_F_ACK, header)
    }

    /// Adds an attribute.
    pub(crate) fn put(mut self, kind: u16, value: &[u8]) -> Self {
        // Every value written here is a few bytes long; lengths have 16 bits.
        self.bytes.extend((4 + value.len() as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.pad();
        self
    }

    /// Adds a number in network order, as netfilter wants them.
    pub(crate) fn put_be32(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds a text with its terminating zero.
    pub(crate) fn put_text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Adds an attribute that holds what `fill` adds.
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend(0_u16.to_ne_bytes());
        self.bytes.extend((kind | NLA_F_NESTED).to_ne_bytes());
        let mut filled = fill(self);
        let length = (filled.bytes.len() - start) as u16;
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled.pad();
        filled
    }

    /// The message as the kernel reads it.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &u8> {
        self.bytes.iter()
    }

    /// Whether the kernel will acknowledge it.
    pub(crate) fn wants_answer(&self) -> bool {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) & NLM_F_ACK != 0
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
    }
}
