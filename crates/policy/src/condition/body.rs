//! What a request says its body is.

use super::spelling;

/// Whether the body says that it is JSON, in UTF-8, as it is.
pub(super) fn declared_as_json(headers: &[(&str, &[u8])]) -> Result<(), &'static str> {
    let one = |wanted: &str| {
        let mut found = headers
            .iter()
            .filter(|(name, _)| spelling::header(name) == wanted);
        let one = found.next();
        // In another spelling, it is not the one that everybody reads.
        let odd = one.is_some_and(|(name, _)| !name.eq_ignore_ascii_case(wanted));
        (one.map(|(_, value)| *value), odd || found.next().is_some())
    };
    const WRONG: &str = "is not declared as application/json";
    // A second field adds to the first, so that only a single `identity` means none.
    match one("content-encoding") {
        (None, _) => {}
        (Some(encoding), false) if encoding.eq_ignore_ascii_case(b"identity") => {}
        _ => return Err("is encoded"),
    }
    let (Some(declared), false) = one("content-type") else {
        return Err(WRONG);
    };
    let declared = std::str::from_utf8(declared).map_err(|_| WRONG)?;
    let mut parts = declared.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    // Of several types in one value, some read the first.
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
    let json = essence.strip_prefix("application/").is_some_and(|subtype| {
        subtype.chars().all(token) && (subtype == "json" || subtype.ends_with("+json"))
    });
    let charset = parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase();
        // `charset*` and its like are other ways to say it.
        !parameter.contains("charset")
            || matches!(parameter.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
    });
    if json && charset { Ok(()) } else { Err(WRONG) }
}
