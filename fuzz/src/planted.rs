//! A fault on purpose, to see that the engine is guided by what inputs reach.

use crate::target::Target;

/// Not one of [`crate::TARGETS`]: `scripts/fuzz` runs it first, and goes no further unless the fault is found. Blind
/// chance finds it once in 2^96 tries.
pub const PLANTED: Target = Target {
    name: "planted",
    holds: "nothing: an engine that sees comparisons and coverage breaks it within seconds",
    length_max: 64,
    run,
};

fn run(bytes: &[u8]) {
    let Some((start, rest)) = bytes.split_first_chunk::<8>() else {
        return;
    };
    // One comparison of eight bytes, then steps that each have to be seen as progress.
    if u64::from_le_bytes(*start) == 0x7265_6361_6c6c_2e31
        && let Some((b'f', rest)) = rest.split_first()
        && let Some((b'e', rest)) = rest.split_first()
        && let Some((b'n', rest)) = rest.split_first()
    {
        assert!(rest.first() != Some(&b'c'), "found what was planted");
    }
}
