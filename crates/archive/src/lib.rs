//! The sealed form of a stretch of the flow log: a Parquet file that any reader of Parquet understands, and that gives each
//! leaf back byte for byte.
//!
//! What comes in: the number of the first record and the leaves that follow it ([`seal`], or [`Sealer`] leaf by leaf). What goes
//! out: a file under its own name once it is whole and on disk, and from a file its leaves again, in order ([`SealedReader`]).
//! What this crate never does: drop a byte of a leaf, whatever is in it; trust a file. It knows no directory of a node, and
//! judges no signature: that the leaves are those of the log is for the tree to say, whose root is kept in the file.
//!
//! A record's columns are the keys of its JSON. A row whose columns do not make exactly its leaf keeps the leaf beside them.
//! docs/sealed.md describes the file.
//!
//! Start reading at [`COLUMNS`], then `leaf.rs`, `seal.rs`, `group.rs` and `pages.rs` for the way in, `read/mod.rs` for the way out.
#![forbid(unsafe_code)]

mod chunk;
mod columns;
mod dictionary;
mod error;
mod file;
mod footer;
mod group;
mod leaf;
mod packing;
mod pages;
mod read;
mod seal;
mod value;

pub use columns::{COLUMNS, Column, Shape, Words};
pub use error::ArchiveError;
pub use file::{EXTENSION, SealedFile, file_name, files};
pub use read::{Block, MAGIC as SEALED_MAGIC, SealedReader, Texts};
pub use seal::{GROUP_BYTES, GROUP_ROWS, Sealer, Summary, ZSTD_LEVEL, seal};
pub use value::{Value, value};

/// Version of the sealed form that this code writes. It reads this one and all before it.
pub const SEALED_FORM: u32 = 3;
/// Longest leaf, in bytes: as long as a record of the log may be.
pub const LEAF_MAX: usize = 65_535;
