//! Thrift's compact protocol, as much of it as a footer and a page header have.

/// Nesting that is followed; footers have six levels.
const DEPTH: u32 = 12;

/// A reader of bytes that may be anything. `None`: not what was asked for.
pub(super) struct Thrift<'a> {
    rest: &'a [u8],
}

/// The type of a field or element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Number,
    Double,
    Binary,
    List,
    Struct,
}

impl Kind {
    fn of(nibble: u8) -> Option<Self> {
        Some(match nibble {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Number,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            12 => Self::Struct,
            _ => return None,
        })
    }
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn varint(&mut self) -> Option<u64> {
        varint(&mut self.rest)
    }

    pub(super) fn number(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    pub(super) fn binary(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        str::from_utf8(self.binary()?).ok()
    }

    /// The head of a list: what its elements are, and how many. Each takes a byte at least.
    pub(super) fn list(&mut self) -> Option<(Kind, usize)> {
        let head = self.byte()?;
        let length = match head >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            short => usize::from(short),
        };
        (length <= self.rest.len()).then_some((Kind::of(head & 15)?, length))
    }

    /// A list of at most `most` structs, each read by `element`, which is told its place.
    pub(super) fn structs<T>(
        &mut self,
        most: usize,
        mut element: impl FnMut(&mut Self, usize) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (kind, length) = self.list()?;
        if kind != Kind::Struct || length > most {
            return None;
        }
        (0..length).map(|at| element(self, at)).collect()
    }

    /// Calls `field` for each field of a struct; it reads the value, or says `false` for one to be passed over.
    pub(super) fn fields(
        &mut self,
        mut field: impl FnMut(&mut Self, i64, Kind) -> Option<bool>,
    ) -> Option<()> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            let kind = Kind::of(head & 15)?;
            id = match head >> 4 {
                0 => self.number()?,
                delta => id.checked_add(i64::from(delta))?,
            };
            if !field(self, id, kind)? {
                self.pass_over(kind, DEPTH)?;
            }
        }
    }

    fn pass_over(&mut self, kind: Kind, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            Kind::True | Kind::False => {}
            Kind::Byte => drop(self.byte()?),
            Kind::Number => drop(self.varint()?),
            Kind::Double => self.rest = self.rest.get(8..)?,
            Kind::Binary => drop(self.binary()?),
            Kind::List => {
                let (kind, length) = self.list()?;
                for _ in 0..length {
                    match kind {
                        // As an element, unlike as a field, a boolean has a byte.
                        Kind::True | Kind::False => drop(self.byte()?),
                        other => self.pass_over(other, depth)?,
                    }
                }
            }
            Kind::Struct => loop {
                let head = self.byte()?;
                if head == 0 {
                    break;
                }
                if head >> 4 == 0 {
                    self.number()?;
                }
                self.pass_over(Kind::of(head & 15)?, depth)?;
            },
        }
        Some(())
    }
}

/// A number of seven bits a byte, the low ones first.
pub(super) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..10 {
        let byte = *rest.get(at)?;
        if at == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
