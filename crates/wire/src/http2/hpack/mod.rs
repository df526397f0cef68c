//! HPACK (RFC 7541): header blocks to fields, and fields to header blocks.
//!
//! What comes in is as hostile as everything else: a block of one kilobyte can name a kilobyte of the table a thousand
//! times. So a block is decoded to its end, for the table that both sides keep, while no more of it is kept than
//! [`super::HeaderList`] holds. What goes out uses no table at all: nothing of one request is left in the compression of
//! the next, blocks may be written in any order, and a service spends no memory on it.
//!
//! Reading order: `table.rs`, `huffman.rs`, `decoder.rs`, `encoder.rs`.

mod decoder;
mod encoder;
mod huffman;
mod table;

pub use decoder::{Decoder, Unsound};
pub use encoder::Encoder;
pub(crate) use table::FIELD_OVERHEAD;
