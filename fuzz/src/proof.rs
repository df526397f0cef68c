//! Proofs that somebody hands over, with the checkpoint in them.

use ringfence_audit::tree::{PROOF_MAX, check_proof};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "proof",
    holds: "a proof of any bytes proves nothing but what the log's key signed: that record, at that place, under that checkpoint",
    length_max: 4096,
    run,
};

/// A proof, and the key of its log.
const PROOF: &str = include_str!("../../crates/history/tests/golden/schema-1/42.tlog-proof");
const KEY: &str = include_str!("../../crates/history/tests/golden/schema-1/log/key.pub");

/// The first byte says what the rest is: a whole proof; changes of a sound one, each of two bytes for the place and one for the
/// value; or a place to cut it at, and what stands there instead.
fn run(bytes: &[u8]) {
    let Some((mode, rest)) = bytes.split_first() else {
        return;
    };
    let mut text = PROOF.as_bytes().to_vec();
    let place = |at: &[u8]| usize::from(at[0]) | usize::from(at[1]) << 8;
    match mode % 3 {
        0 => text = rest.to_vec(),
        1 => {
            for change in rest.chunks_exact(3) {
                let at = place(change) % text.len();
                text[at] = change[2];
            }
        }
        _ if rest.len() >= 4 => {
            let from = place(rest) % text.len();
            let to = (from + place(&rest[2..]) % 512).min(text.len());
            text.splice(from..to, rest[4..].iter().copied());
        }
        _ => return,
    }
    let text = String::from_utf8_lossy(&text);
    assert!(text.len() <= PROOF_MAX + 3 * 4096);
    let Ok((seq, leaf, held)) = check_proof(&text, KEY) else {
        return;
    };
    let (sound, bytes, checkpoint) = check_proof(PROOF, KEY).unwrap();
    assert_eq!((seq, leaf), (sound, bytes), "proven, and never signed");
    assert_eq!((held.size, held.root), (checkpoint.size, checkpoint.root));
    // Any other key proves nothing.
    let other = KEY.replacen("bank-1", "bank-2", 1);
    check_proof(&text, &other).unwrap_err();
}
