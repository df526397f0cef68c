//! The attacker's program, and the other parts that one binary plays.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use super::{Ground, Start, Verdict, canary, friends, giver, subjects};

/// For the canary to say what an attempt that went through set off.
const FELT: Duration = Duration::from_millis(100);

/// Plays the part that the first argument names, if it names one: `attack NAME GROUND`, `give KIND GROUND COMMAND…`,
/// `canary DIRECTORY SECRET`, `neighbour NAME SECRET`, `echo`, `honest HOST`. To be called first in `main`, while there is
/// one thread.
pub fn play() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(match words.as_slice() {
        ["attack", name, ground] => attack(name, ground),
        ["give", kind, ground, command @ ..] => giver::give(kind, ground, command),
        ["canary", directory, secret] => canary::host(directory.as_ref(), secret),
        ["neighbour", name, secret] => canary::neighbour(name, secret),
        ["echo"] => friends::echo(),
        ["honest", host] => friends::honest(host),
        _ => return None,
    })
}

fn attack(name: &str, ground: &str) -> ExitCode {
    let ground: Ground = match serde_json::from_str(ground) {
        Ok(ground) => ground,
        Err(cause) => {
            eprintln!("the ground: {cause}");
            return ExitCode::from(2);
        }
    };
    let found = subjects()
        .flat_map(|subject| subject.techniques)
        .find(|technique| technique.name == name);
    let Some(technique) = found else {
        eprintln!("no technique is named {name}");
        return ExitCode::from(2);
    };
    let (word, text) = match (technique.attempt)(&ground) {
        Verdict::Through(evidence) => {
            // The canary may be a moment late to say what it felt; that must not be taken for the next attempt's doing.
            std::thread::sleep(FELT);
            ("through", evidence)
        }
        Verdict::Held(why) => ("held", why),
    };
    let line = format!("\nverdict {word}: {}\n", text.replace('\n', " "));
    let told = match technique.start {
        // Straight to the descriptor: a technique may have done anything to the buffers.
        Start::Plain => std::io::stdout().lock().write_all(line.as_bytes()),
        // What it has for stdout is what is attacked.
        _ => std::fs::write(giver::verdict_file(), line),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(3),
    }
}
