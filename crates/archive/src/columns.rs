//! The columns of a sealed file: one table, from which files are written, read and described.

use std::sync::Arc;

use parquet::basic::{Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use ringfence_model::{Outcome, RecordKind, Side};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Position in the log.
    Seq,
    /// Nanoseconds since the Unix epoch, UTC.
    Time,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A word of an enumeration.
    Word(Words),
    /// The leaf itself, where the other columns do not make it.
    Leaf,
}

/// An enumeration of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// [`Side`]
    Side,
    /// [`RecordKind`]
    Kind,
    /// [`Outcome`]
    Outcome,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name: the key in JSON.
    pub name: &'static str,
    /// Its field in `flow.proto`; 0 when it is none.
    pub tag: usize,
    /// What it holds.
    pub shape: Shape,
    /// The form of the file that has it first.
    pub since: u32,
    /// Whether every row has a value: as in JSON, the others are null where the record says nothing.
    pub always: bool,
    /// How its values are laid down, as measured on the traffic of `bench/`.
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Each value once, rows refer to it.
    Dictionary,
    /// The difference to the value before.
    Delta,
    /// As it is.
    Plain,
}

impl Column {
    const fn new(name: &'static str, tag: usize, shape: Shape) -> Self {
        Self {
            name,
            tag,
            shape,
            since: 1,
            always: false,
            layout: Layout::Dictionary,
        }
    }

    const fn always(mut self) -> Self {
        self.always = true;
        self
    }

    const fn since(mut self, form: u32) -> Self {
        self.since = form;
        self
    }

    const fn delta(mut self) -> Self {
        self.layout = Layout::Delta;
        self
    }

    const fn plain(mut self) -> Self {
        self.layout = Layout::Plain;
        self
    }

    /// Whether it is stored as a number.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.shape, Shape::Seq | Shape::Time | Shape::Number)
    }

    /// The encoding of its pages; `None`: a dictionary.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        Some(match (self.layout, self.is_number()) {
            (Layout::Dictionary, _) => return None,
            (Layout::Delta, true) => Encoding::DELTA_BINARY_PACKED,
            (Layout::Delta, false) => Encoding::DELTA_BYTE_ARRAY,
            (Layout::Plain, _) => Encoding::PLAIN,
        })
    }

    fn field(&self) -> Result<Type, ParquetError> {
        let physical = if self.is_number() {
            Physical::INT64
        } else {
            Physical::BYTE_ARRAY
        };
        let logical = match self.shape {
            Shape::Time => Some(LogicalType::timestamp(true, TimeUnit::NANOS)),
            Shape::Text | Shape::Word(_) => Some(LogicalType::String),
            Shape::Seq | Shape::Number | Shape::Leaf => None,
        };
        let repetition = if self.always {
            Repetition::REQUIRED
        } else {
            Repetition::OPTIONAL
        };
        Type::primitive_type_builder(self.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
    }
}

/// Every column, in the order of the file: those of a form stand before those that later ones added, so that a file of any
/// form has the first of them.
///
/// Rows are in the order of the log. Sorted by pair and connection they would take a fifth less, as measured, and no reader could pass
/// over pages by their time, or give the leaves back one after the other.
pub const COLUMNS: &[Column] = &[
    Column::new("seq", 0, Shape::Seq).always().delta(),
    Column::new("time", 2, Shape::Time).always().delta(),
    Column::new("node", 3, Shape::Text).always(),
    Column::new("side", 4, Shape::Word(Words::Side)).always(),
    Column::new("kind", 5, Shape::Word(Words::Kind)).always(),
    Column::new("connection", 6, Shape::Text),
    Column::new("count", 7, Shape::Number).always(),
    Column::new("source", 8, Shape::Text).always(),
    Column::new("sourceInstance", 9, Shape::Text),
    Column::new("destination", 10, Shape::Text).always(),
    Column::new("destinationInstance", 11, Shape::Text),
    Column::new("originalDestination", 12, Shape::Text),
    Column::new("protocol", 13, Shape::Text).always(),
    Column::new("operation", 14, Shape::Text).always(),
    Column::new("outcome", 15, Shape::Word(Words::Outcome)).always(),
    Column::new("reason", 16, Shape::Text).always(),
    Column::new("rule", 17, Shape::Text),
    Column::new("generation", 18, Shape::Number),
    Column::new("mode", 19, Shape::Text),
    Column::new("task", 20, Shape::Text),
    Column::new("purpose", 21, Shape::Text),
    Column::new("bytesSent", 22, Shape::Number).delta(),
    Column::new("bytesReceived", 23, Shape::Number).delta(),
    Column::new("durationNs", 24, Shape::Number).delta(),
    Column::new("leaf", 0, Shape::Leaf).plain(),
    Column::new("lastTime", 25, Shape::Time).since(2).delta(),
    Column::new("fields", 26, Shape::Text).since(2),
    Column::new("fieldsKey", 27, Shape::Number).since(2),
];

/// One more than the highest field number of `flow.proto` that has a column.
pub(crate) const TAGS: usize = 28;

/// The column of each field.
pub(crate) const BY_TAG: [Option<&Column>; TAGS] = by_tag();

const fn by_tag() -> [Option<&'static Column>; TAGS] {
    let mut found = [None; TAGS];
    let mut at = 0;
    while at < COLUMNS.len() {
        if COLUMNS[at].tag != 0 {
            found[COLUMNS[at].tag] = Some(&COLUMNS[at]);
        }
        at += 1;
    }
    found
}

/// How many of [`COLUMNS`] a file of `form` has.
pub(crate) fn columns_of(form: u32) -> usize {
    COLUMNS.partition_point(|column| column.since <= form)
}

/// The schema as Parquet has it.
pub(crate) fn schema() -> Result<TypePtr, ParquetError> {
    let fields: Result<Vec<TypePtr>, ParquetError> = COLUMNS
        .iter()
        .map(|column| column.field().map(Arc::new))
        .collect();
    Ok(Arc::new(
        Type::group_type_builder("flows")
            .with_fields(fields?)
            .build()?,
    ))
}

impl Words {
    /// The word for the number that the leaf has; of a number that has none, its digits.
    pub(crate) fn word(self, number: u64) -> WordOf {
        let known = i32::try_from(number).ok().and_then(|number| match self {
            Self::Side => word(Side::ALL, number, Side::number, Side::as_str),
            Self::Kind => word(
                RecordKind::ALL,
                number,
                RecordKind::number,
                RecordKind::as_str,
            ),
            Self::Outcome => word(Outcome::ALL, number, Outcome::number, Outcome::as_str),
        });
        known.map_or_else(|| WordOf::Digits(number.to_string()), WordOf::Known)
    }

    /// The number of a word, or of digits.
    pub(crate) fn number(self, word: &str) -> Option<u64> {
        let known = match self {
            Self::Side => Side::from_word(word).map(Side::number),
            Self::Kind => RecordKind::from_word(word).map(RecordKind::number),
            Self::Outcome => Outcome::from_word(word).map(Outcome::number),
        };
        match known {
            Some(number) => u64::try_from(number).ok(),
            None => word.parse().ok(),
        }
    }
}

/// What is written for a number of an enumeration.
pub(crate) enum WordOf {
    Known(&'static str),
    Digits(String),
}

fn word<T: Copy>(
    all: &[T],
    number: i32,
    of: fn(T) -> i32,
    text: fn(T) -> &'static str,
) -> Option<&'static str> {
    all.iter()
        .find(|value| of(**value) == number)
        .map(|value| text(*value))
}
