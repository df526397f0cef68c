//! Names that some receiver takes for a name that a condition reads.
//!
//! A condition reads one name in one spelling. A receiver may be laxer: gateways give fields to programs as variables in
//! which `X_Team` and `x-team` are one, PHP takes `a.b` and `a[]` for `a_b` and `a`, others ask for parameters in any case,
//! Go and .NET fill `amount` from a member `Amount`, gRPC's JSON takes `maxAmount` for `max_amount`. Two names that fold to
//! the same are one to somebody; where a condition reads one of them, the other is an error.

/// What of a name no reader of fields passes over.
pub(crate) fn header(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect()
}

/// Of a parameter, without brackets behind it: `a[]`, `a[0]` and `a[x]` are parts of `a`.
pub(crate) fn parameter(name: &str) -> String {
    let stem = match name.find('[') {
        Some(at @ 1..) => &name[..at],
        _ => name,
    };
    folded(stem, |c| matches!(c, '_' | '-' | '.' | ' '))
}

/// Of a member of a JSON object.
pub(crate) fn member(name: &str) -> String {
    folded(name, |c| matches!(c, '_' | '-'))
}

/// Up to the byte that ends a text in C, in one case (of letters that have several small forms, the usual one).
fn folded(name: &str, passed_over: impl Fn(char) -> bool) -> String {
    name.chars()
        .take_while(|&c| c != '\0')
        .filter(|&c| !passed_over(c))
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}
