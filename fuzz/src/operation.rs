//! Rules' patterns, and the operations that people ask about.

use ringfence_model::operation::{Concrete, HttpPattern, Pattern};
use ringfence_model::path::Allowances;
use ringfence_model::{CanonicalPath, HostName, Name, Protocol};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "operation",
    holds: "a pattern matches exactly what a naive reading of it does, overlaps with what it matches, and errors stay short",
    length_max: 1024,
    run,
};

/// Longest message about a text, in bytes, whatever the text.
const MESSAGE_MAX: usize = 1200;

/// One line is a pattern, the next an operation; each is also tried as a name.
fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (rule, asked) = text.split_once('\n').unwrap_or((text, text));
    names(rule);
    for allowances in [Allowances::default(), Allowances::ALL] {
        for protocol in [Protocol::Http, Protocol::Tcp, Protocol::Udp] {
            let asked = Concrete::parse(asked, protocol, allowances);
            if let Err(error) = &asked {
                assert!(error.to_string().len() + error.help().len() <= MESSAGE_MAX);
            }
            match Pattern::parse(rule, protocol, allowances) {
                Ok(Pattern::Http(pattern)) => {
                    assert!(pattern.overlaps(&pattern));
                    if let Ok(Concrete::Http { method, path }) = &asked {
                        matched(rule, &pattern, method, path, allowances);
                    }
                }
                Ok(_) => assert!(matches!(rule, "connect" | "send")),
                Err(error) => assert!(error.to_string().len() + error.help().len() <= MESSAGE_MAX),
            }
        }
    }
}

fn matched(
    rule: &str,
    pattern: &HttpPattern,
    method: &str,
    path: &CanonicalPath,
    allowances: Allowances,
) {
    let matches = pattern.matches(method, path);
    let naively = naive(rule, method, path, allowances);
    assert_eq!(matches, naively, "{rule:?} on {method} {path}");
    // The operation as a pattern of its own, where it has no wildcards.
    let own = format!("{method} {path}");
    if !own.contains(['*', '{', '}'])
        && let Ok(Pattern::Http(own)) = Pattern::parse(&own, Protocol::Http, allowances)
    {
        assert!(own.matches(method, path));
        assert_eq!(own.overlaps(pattern), matches);
        assert_eq!(pattern.overlaps(&own), matches);
    }
}

/// Segment by segment, from the text.
fn naive(rule: &str, method: &str, path: &CanonicalPath, allowances: Allowances) -> bool {
    let (own, written) = rule.split_once(' ').unwrap();
    if own != "*" && own != method {
        return false;
    }
    let mut written: Vec<&str> = written.split('/').skip(1).collect();
    let mut sent: Vec<&str> = path.as_str().split('/').skip(1).collect();
    if written.last() == Some(&"**") {
        written.pop();
        if sent.len() < written.len() {
            return false;
        }
        sent.truncate(written.len());
    }
    sent.len() == written.len()
        && written.iter().zip(sent).all(|(own, sent)| {
            if *own == "*" || own.starts_with('{') {
                return !sent.is_empty();
            }
            // By itself, a segment is a path of one.
            let own = CanonicalPath::new(format!("/{own}").as_bytes(), allowances);
            own.is_ok_and(|own| own.as_str()[1..] == *sent)
        })
}

fn names(text: &str) {
    match Name::new(text) {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            // Every name is a host name, so that it can be asked for.
            assert_eq!(HostName::new(text).unwrap().as_str(), text);
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
    if let Ok(host) = HostName::new(text) {
        let again = HostName::new(host.as_str()).unwrap();
        assert_eq!(again, host, "not idempotent");
        let spelled = text.strip_suffix('.').unwrap_or(text);
        assert!(host.as_str().eq_ignore_ascii_case(spelled));
        assert!(
            !host
                .as_str()
                .split('.')
                .any(|label| label.is_empty() || label.len() > 63)
        );
    }
}
