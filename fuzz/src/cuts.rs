//! Ways to cut an input into the pieces in which a connection could bring it.

/// Ends of pieces, each way from the front to the end: byte by byte, in two, and as chance has it. Chance is made of the
/// input, so that a find can be replayed.
pub(crate) fn cuts(bytes: &[u8]) -> Vec<Vec<usize>> {
    let mut state = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, &byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut chance = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let length = bytes.len();
    let mut ways = vec![vec![chance(length + 1), length]];
    // Byte by byte costs its square, where every piece is looked at from the front.
    if length <= 512 {
        ways.push((1..=length).collect());
    }
    let mut uneven = Vec::new();
    let mut at = 0;
    while at < length {
        let scale = 1 << chance(8);
        at = (at + 1 + chance(scale)).min(length);
        uneven.push(at);
    }
    ways.push(uneven);
    ways
}
