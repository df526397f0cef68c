//! What binds an event to its place in the log.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The leaf hash of RFC 6962, 2.1: SHA-256 of a zero byte and the leaf, in lower-case hex.
pub(crate) fn hash(leaf: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(leaf);
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        let _never_fails = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of Certificate Transparency's own tests: the hash of an empty leaf.
    #[test]
    fn an_empty_leaf_has_the_hash_that_others_give_it() {
        assert_eq!(
            hash(b""),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }
}
