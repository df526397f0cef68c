//! Numbers in few bits: Parquet's hybrid of runs and packed values, and its packed differences.

use super::thrift::{unzigzag, varint};

/// Bits of a number, at most, of which eight fit a register.
const SHORT: u32 = 16;

/// Unpacks whole groups of eight numbers, each of few bits: by far the most of a dictionary's.
fn short(packed: &[u8], width: u32, groups: usize, values: &mut Vec<u32>) {
    let mask = (1_u32 << width) - 1;
    for group in packed.chunks_exact(width as usize).take(groups) {
        let mut word = [0; SHORT as usize];
        word[..group.len()].copy_from_slice(group);
        let word = u128::from_le_bytes(word);
        values.extend((0..8).map(|at| (word >> (at * width)) as u32 & mask));
    }
}

/// Reads `count` values of `width` bits (at most 32), run-length encoded or packed.
pub(super) fn hybrid(
    mut rest: &[u8],
    width: u32,
    count: usize,
    values: &mut Vec<u32>,
) -> Option<()> {
    if width > 32 {
        return None;
    }
    let end = values.len() + count;
    while values.len() < end {
        let head = varint(&mut rest)?;
        let left = end - values.len();
        if head & 1 == 0 {
            let run = usize::try_from(head >> 1).ok().filter(|run| *run > 0)?;
            let (bytes, behind) = rest.split_at_checked(width.div_ceil(8) as usize)?;
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            rest = behind;
            values.resize(values.len() + run.min(left), value);
        } else {
            let groups = usize::try_from(head >> 1)
                .ok()
                .filter(|groups| *groups > 0)?;
            // The last group is filled up with zeros, but written whole.
            let bytes = groups.checked_mul(width as usize)?;
            let (packed, behind) = rest.split_at_checked(bytes)?;
            rest = behind;
            let present = groups.checked_mul(8)?.min(left);
            if (1..=SHORT).contains(&width) {
                let start = values.len();
                short(packed, width, present.div_ceil(8), values);
                values.truncate(start + present);
            } else {
                values.extend((0..present).map(|at| bits(packed, at, width) as u32));
            }
        }
    }
    Some(())
}

/// The `at`-th number of `width` bits (at most 64), the low bits first.
fn bits(packed: &[u8], at: usize, width: u32) -> u64 {
    if width == 0 {
        return 0;
    }
    let first = at * width as usize;
    let (byte, shift) = (first / 8, first % 8);
    let mut wide = [0; 16];
    let end = packed.len().min(byte + 9);
    wide[..end - byte].copy_from_slice(&packed[byte..end]);
    let value = (u128::from_le_bytes(wide) >> shift) as u64;
    if width == 64 {
        value
    } else {
        value & ((1 << width) - 1)
    }
}

/// Blocks are of 128 values or a multiple of it; that of the writer is 256.
const BLOCK_MAX: u64 = 65_536;

/// Reads `count` numbers stored as differences, no more and no fewer; what lies behind them is left in `rest`.
pub(super) fn deltas(rest: &mut &[u8], count: usize, values: &mut Vec<i64>) -> Option<()> {
    let block = varint(rest)?;
    let parts = varint(rest)?;
    let total = varint(rest)?;
    let mut last = unzigzag(varint(rest)?);
    let per_part = block.checked_div(parts)?;
    let sound = block <= BLOCK_MAX && block.is_multiple_of(128) && per_part * parts == block;
    if !sound || per_part == 0 || !per_part.is_multiple_of(8) || u64::try_from(count) != Ok(total) {
        return None;
    }
    if count == 0 {
        return Some(());
    }
    values.push(last);
    let mut left = count - 1;
    while left > 0 {
        let least = unzigzag(varint(rest)?);
        let (widths, behind) = rest.split_at_checked(usize::try_from(parts).ok()?)?;
        *rest = behind;
        for width in widths.iter().copied().map(u32::from) {
            if left == 0 {
                // Parts that hold nothing are not there.
                break;
            }
            if width > 64 {
                return None;
            }
            let per_part = usize::try_from(per_part).ok()?;
            let (packed, behind) = rest.split_at_checked(per_part * width as usize / 8)?;
            *rest = behind;
            let present = per_part.min(left);
            values.extend((0..present).map(|at| {
                last = last
                    .wrapping_add(least)
                    .wrapping_add(bits(packed, at, width).cast_signed());
                last
            }));
            left -= present;
        }
    }
    Some(())
}
