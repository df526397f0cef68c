//! Numbers in few bits: Parquet's hybrid of runs and packed values, and its packed differences.

use super::thrift::{unzigzag, varint};

/// Unpacks groups of eight numbers of `WIDTH` bits (at most 16, of which eight fit a register): by far the most of a dictionary's.
fn short<const WIDTH: usize>(packed: &[u8], values: &mut [u32]) {
    let mask = (1_u32 << WIDTH) - 1;
    for (group, values) in packed.chunks_exact(WIDTH).zip(values.chunks_mut(8)) {
        let mut eight = [0; 8];
        if WIDTH <= 8 {
            let mut word = [0; 8];
            word[..WIDTH].copy_from_slice(group);
            let word = u64::from_le_bytes(word);
            for (at, value) in eight.iter_mut().enumerate() {
                *value = (word >> (at * WIDTH)) as u32 & mask;
            }
        } else {
            let mut word = [0; 16];
            word[..WIDTH].copy_from_slice(group);
            let word = u128::from_le_bytes(word);
            for (at, value) in eight.iter_mut().enumerate() {
                *value = (word >> (at * WIDTH)) as u32 & mask;
            }
        }
        match values.as_mut_array() {
            Some(values) => *values = eight,
            None => values.copy_from_slice(&eight[..values.len()]),
        }
    }
}

/// Unpacks as many numbers of `width` bits (at most 32) as `values` takes; `packed` has them all.
fn unpack(packed: &[u8], width: u32, values: &mut [u32]) {
    match width {
        1 => short::<1>(packed, values),
        2 => short::<2>(packed, values),
        3 => short::<3>(packed, values),
        4 => short::<4>(packed, values),
        5 => short::<5>(packed, values),
        6 => short::<6>(packed, values),
        7 => short::<7>(packed, values),
        8 => short::<8>(packed, values),
        9 => short::<9>(packed, values),
        10 => short::<10>(packed, values),
        11 => short::<11>(packed, values),
        12 => short::<12>(packed, values),
        13 => short::<13>(packed, values),
        14 => short::<14>(packed, values),
        15 => short::<15>(packed, values),
        16 => short::<16>(packed, values),
        _ => {
            for (at, value) in values.iter_mut().enumerate() {
                *value = bits(packed, at, width) as u32;
            }
        }
    }
}

/// Reads `count` values of `width` bits (at most 32), run-length encoded or packed, behind those that are there.
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
        let start = values.len();
        let left = end - start;
        if head & 1 == 0 {
            let run = usize::try_from(head >> 1).ok().filter(|run| *run > 0)?;
            let (bytes, behind) = rest.split_at_checked(width.div_ceil(8) as usize)?;
            let value = bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u32::from(*byte));
            rest = behind;
            values.resize(start + run.min(left), value);
        } else {
            let groups = usize::try_from(head >> 1)
                .ok()
                .filter(|groups| *groups > 0)?;
            // The last group is filled up with zeros, but written whole.
            let bytes = groups.checked_mul(width as usize)?;
            let (packed, behind) = rest.split_at_checked(bytes)?;
            rest = behind;
            values.resize(start + groups.checked_mul(8)?.min(left), 0);
            unpack(packed, width, &mut values[start..]);
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

/// As [`bits`], and quicker for a number that is within eight bytes with others behind it.
fn near(packed: &[u8], at: usize, width: u32) -> u64 {
    let first = at * width as usize;
    match packed.get(first / 8..).and_then(<[u8]>::first_chunk) {
        Some(eight) if (1..=56).contains(&width) => {
            u64::from_le_bytes(*eight) >> (first % 8) & ((1 << width) - 1)
        }
        _ => bits(packed, at, width),
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
                    .wrapping_add(near(packed, at, width).cast_signed());
                last
            }));
            left -= present;
        }
    }
    Some(())
}
