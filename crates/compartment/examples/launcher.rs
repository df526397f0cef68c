//! `launcher STATE NAME [--workdir DIR] [--root] [--env NAME=VALUE]… -- CMD ARGS…`: the body of `ringfence run`, alone, for
//! this crate's tests.

use std::ffi::OsString;
use std::process::ExitCode;

use ringfence_compartment::launch::{LaunchRequest, run};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = || arguments.next();
    let (Some(state), Some(name)) = (next(), next()) else {
        eprintln!(
            "usage: launcher STATE NAME [--workdir DIR] [--root] [--env NAME=VALUE]… -- CMD ARGS…"
        );
        return ExitCode::from(125);
    };
    let mut request = LaunchRequest {
        state: state.into(),
        name: name.to_string_lossy().into_owned(),
        command: Vec::new(),
        workdir: None,
        user: None,
        env: Vec::new(),
    };
    while let Some(argument) = next() {
        match argument.to_str() {
            Some("--workdir") => request.workdir = next().map(Into::into),
            Some("--env") => {
                let pair = next().unwrap_or_default();
                let pair = pair.to_string_lossy();
                let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
                request
                    .env
                    .push((OsString::from(name), OsString::from(value)));
            }
            Some("--root") => request.user = Some((0, 0)),
            Some("--") => break,
            _ => {
                eprintln!("unknown argument {}", argument.to_string_lossy());
                return ExitCode::from(125);
            }
        }
    }
    request.command = arguments.collect();
    ExitCode::from(run(request))
}
