//! The environment of a workload: built, not inherited. Proxy settings and secrets pass only when they are named.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::LaunchRequest;
use crate::error::Refusal;
use crate::root::{USER, WORK};

/// Where programs are looked for, unless `--env PATH=…` says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Passed on from the caller where set; so is everything that starts with `LC_`.
const PASSED: &[&str] = &["TERM", "COLORTERM", "LANG", "TZ"];

/// `NAME=VALUE` each, and the value of `PATH`.
pub(super) struct Environment {
    pub(super) variables: Vec<Vec<u8>>,
    pub(super) path: OsString,
}

/// Builds it.
pub(super) fn build(request: &LaunchRequest) -> Result<Environment, Refusal> {
    let mut variables: Vec<(OsString, OsString)> = [
        ("PATH", PATH),
        ("HOME", WORK),
        ("USER", USER),
        ("LOGNAME", USER),
        ("SHELL", "/bin/sh"),
        ("TMPDIR", "/tmp"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .to_vec();
    variables.extend(std::env::vars_os().filter(|(name, _)| {
        name.as_bytes().starts_with(b"LC_") || PASSED.iter().any(|passed| name == passed)
    }));
    for (name, value) in &request.env {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            return Err(Refusal::new(
                format!("{} is no name of a variable", name.to_string_lossy()),
                "give --env NAME or --env NAME=VALUE",
            ));
        }
        variables.retain(|(known, _)| known != name);
        variables.push((name.clone(), value.clone()));
    }
    let path = variables
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.clone())
        .unwrap_or_default();
    Ok(Environment {
        variables: variables
            .iter()
            .map(|(name, value)| joined(name, value))
            .collect(),
        path,
    })
}

fn joined(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inherits_nothing_that_was_not_named() {
        let request = LaunchRequest {
            state: "/".into(),
            name: "a".to_owned(),
            command: vec!["true".into()],
            workdir: None,
            user: None,
            env: vec![
                ("TOKEN".into(), "x=y".into()),
                ("HOME".into(), "/tmp".into()),
            ],
        };
        let built = build(&request).unwrap();
        let has = |text: &str| built.variables.iter().any(|v| v == text.as_bytes());
        assert!(has("TOKEN=x=y") && has("HOME=/tmp") && !has("HOME=/work"));
        // Cargo sets many; none of them may pass.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        assert!(!built.variables.iter().any(|v| v.starts_with(b"CARGO")));
        let bad = LaunchRequest {
            env: vec![("A=B".into(), "".into())],
            ..request
        };
        assert!(build(&bad).is_err());
    }
}
