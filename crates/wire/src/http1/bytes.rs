//! Classes of bytes (RFC 9110, 5.6; RFC 3986).

/// `tchar`: what methods, field names and connection options are made of.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// `bytes` as text, when it is a token: one or more `tchar`.
pub(crate) fn token(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || !bytes.iter().all(|&b| is_token(b)) {
        return None;
    }
    std::str::from_utf8(bytes).ok()
}

/// A control byte that has no place anywhere in a head. HTAB, CR and LF have theirs.
pub(crate) const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f)
}

/// Without the spaces and tabs at both ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a gateway interface (CGI, WSGI, PHP and their kin) could take field name `name` for `canonical`: case
/// aside, and every byte that is no letter or digit standing for `-`. `canonical` is in lower case.
pub(crate) fn could_be(name: &str, canonical: &str) -> bool {
    name.len() == canonical.len()
        && name
            .bytes()
            .zip(canonical.bytes())
            .all(|(n, c)| variable(n) == c)
}

/// Whether two field names are different, and a gateway interface takes them for one.
pub(crate) fn is_other_spelling(one: &str, other: &str) -> bool {
    !one.eq_ignore_ascii_case(other)
        && one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .all(|(a, b)| variable(a) == variable(b))
}

/// What becomes of a byte of a field name in a gateway interface, in the spelling of field names.
fn variable(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}
