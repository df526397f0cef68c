//! The Huffman code of header strings (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: shorter codes come first, and codes of one length stand in the order of their symbols. So the
//! lengths tell all of it, and the rest is computed when this is compiled.

use super::Unsound;

/// The symbol that says "end", which a string never holds.
const END: u16 = 256;

/// Bits of the code of each symbol.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// Bits of the longest code.
const LONGEST: usize = 30;

/// Symbols in the order of their codes, and where the codes of each length begin.
struct Canonical {
    symbols: [u16; 257],
    /// By length: the first code, how many there are, and the place of the first in `symbols`.
    lengths: [(u32, u32, u32); LONGEST + 1],
}

const CANONICAL: Canonical = canonical();

const fn canonical() -> Canonical {
    let mut symbols = [0; 257];
    let mut lengths = [(0, 0, 0); LONGEST + 1];
    let mut place = 0;
    let mut code = 0u32;
    let mut length = 1;
    while length <= LONGEST {
        code <<= 1;
        let first = place;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        let count = (place - first) as u32;
        lengths[length] = (code, count, first as u32);
        code += count;
        length += 1;
    }
    Canonical { symbols, lengths }
}

/// By the next eight bits: the symbol whose code they begin with and the length of that; length 0 where it is longer.
const SHORT: [(u8, u8); 256] = short();

const fn short() -> [(u8, u8); 256] {
    let mut table = [(0, 0); 256];
    let mut next = 0;
    while next < 256 {
        let mut length = 1;
        while length <= 8 {
            let (first, count, place) = CANONICAL.lengths[length];
            let code = (next >> (8 - length)) as u32;
            if code >= first && code - first < count {
                let symbol = CANONICAL.symbols[(place + code - first) as usize];
                table[next] = (symbol as u8, length as u8);
            }
            length += 1;
        }
        next += 1;
    }
    table
}

/// Appends what `coded` stands for to `out`.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Unsound> {
    let mut input = coded.iter();
    // The next bits, at the top.
    let mut bits = 0u64;
    let mut held = 0u32;
    loop {
        while held <= 56
            && let Some(&byte) = input.next()
        {
            bits |= u64::from(byte) << (56 - held);
            held += 8;
        }
        let (symbol, length) = SHORT[(bits >> 56) as usize];
        let (symbol, length) = match u32::from(length) {
            0 => match long(bits) {
                Some((END, length)) if length <= held => return Err(Unsound::EndSymbol),
                Some((symbol, length)) => (symbol, length),
                None => return Err(Unsound::Huffman),
            },
            length => (u16::from(symbol), length),
        };
        if length > held {
            // Only the end of input leaves less than the longest code: what remains is filled up with ones.
            let padding = held < 8 && bits >> (64 - held.max(1)) == (1 << held.max(1)) - 1;
            return match held == 0 || padding {
                true => Ok(()),
                false => Err(Unsound::Huffman),
            };
        }
        out.push(symbol as u8);
        bits <<= length;
        held -= length;
    }
}

/// The symbol whose code, longer than eight bits, `bits` begin with, and its length.
fn long(bits: u64) -> Option<(u16, u32)> {
    (9..=LONGEST).find_map(|length| {
        let (first, count, place) = CANONICAL.lengths[length];
        let code = (bits >> (64 - length)) as u32;
        let after = code.checked_sub(first).filter(|&after| after < count)?;
        let symbol = CANONICAL.symbols.get((place + after) as usize)?;
        Some((*symbol, length as u32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, Unsound> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    /// Encodes as the appendix says, bit by bit.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for &byte in text {
            let length = usize::from(LENGTHS[usize::from(byte)]);
            let (first, _, place) = CANONICAL.lengths[length];
            let symbols = &CANONICAL.symbols[place as usize..];
            let after = symbols.iter().position(|&s| s == u16::from(byte)).unwrap();
            bits += &format!("{:0length$b}", first + after as u32);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let byte = |at: usize| u8::from_str_radix(&bits[at..at + 8], 2).unwrap();
        (0..bits.len()).step_by(8).map(byte).collect()
    }

    #[test]
    fn reads_the_examples_of_the_rfc() {
        let coded = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&coded).unwrap(), b"www.example.com");
        assert_eq!(encode(b"www.example.com"), coded);
        let coded = [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        assert_eq!(decoded(&coded).unwrap(), b"no-cache");
        assert_eq!(decoded(&[]).unwrap(), b"");
    }

    #[test]
    fn reads_every_symbol_at_every_place_of_a_byte() {
        for symbol in 0..=255u8 {
            for before in 0..8 {
                let mut text = vec![b'0'; before];
                text.extend([symbol, symbol, b'a']);
                assert_eq!(decoded(&encode(&text)).unwrap(), text, "{symbol}");
            }
        }
    }

    #[test]
    fn refuses_padding_that_is_long_or_not_all_ones_and_the_end_symbol() {
        // `0` is 00000: three bits are left over.
        assert_eq!(decoded(&[0b0000_0111]).unwrap(), b"0");
        for wrong in [0b0000_0110, 0b0000_0101, 0b0000_0011] {
            assert_eq!(decoded(&[wrong]), Err(Unsound::Huffman), "{wrong:#b}");
        }
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Unsound::Huffman));
        assert_eq!(decoded(&[0xff]), Err(Unsound::Huffman));
        assert_eq!(decoded(&[0xff; 4]), Err(Unsound::EndSymbol));
    }
}
