//! Numbers to few bits: Parquet's hybrid of runs and packed values. `read/packed.rs` is the way back.

/// Numbers in a row that are told as a run.
const RUN: usize = 8;

/// Bits of any number below `count`.
pub(crate) fn width(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// Appends `values`, each of `width` bits (at most 32): runs of [`RUN`] and more as one, all others packed in eights.
pub(crate) fn hybrid(values: &[u32], width: u32, to: &mut Vec<u8>) {
    // From here to where the present run begins, values are to be packed.
    let mut packed = 0;
    let mut at = 0;
    while at < values.len() {
        let value = values[at];
        let run = values[at..]
            .iter()
            .take_while(|next| **next == value)
            .count();
        // What is packed before a run is whole eights: what it lacks is taken from the run.
        let lacking = (at - packed).next_multiple_of(8) - (at - packed);
        if run < RUN + lacking {
            at += run;
            continue;
        }
        pack(&values[packed..at + lacking], width, to);
        put_varint((run - lacking) as u64 * 2, to);
        to.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
        at += run;
        packed = at;
    }
    pack(&values[packed..], width, to);
}

/// In eights, the last of which is filled up with zeros.
fn pack(values: &[u32], width: u32, to: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let eights = values.len().div_ceil(8);
    put_varint(eights as u64 * 2 + 1, to);
    let end = to.len() + eights * width as usize;
    let (mut word, mut bits) = (0_u64, 0);
    for value in values {
        word |= u64::from(*value) << bits;
        bits += width;
        if bits >= 32 {
            to.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= 32;
            bits -= 32;
        }
    }
    to.extend_from_slice(&word.to_le_bytes());
    // Either too many zeros, or too few.
    to.resize(end, 0);
}

fn put_varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::unpacked;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_numbers_come_back(
            runs in proptest::collection::vec((any::<u32>(), 1..40_usize), 0..60),
            width in 0..=32_u32,
        ) {
            let mask = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            let values: Vec<u32> = runs
                .iter()
                .flat_map(|(value, run)| std::iter::repeat_n(value & mask, *run))
                .collect();
            let mut bytes = Vec::new();
            hybrid(&values, width, &mut bytes);
            prop_assert_eq!(unpacked(&bytes, width, values.len()), Some(values));
        }
    }

    #[test]
    fn as_many_bits_as_the_highest_number_has() {
        let widths = [0, 1, 2, 3, 4, 5, 256, 257].map(width);
        assert_eq!(widths, [0, 0, 1, 2, 2, 3, 8, 9]);
    }
}
