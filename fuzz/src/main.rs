//! The engine's side: libFuzzer calls one target, named by `FUZZ_TARGET`, again and again.
//!
//! One program for all targets, so that everything is built and linked once. Run it through `scripts/fuzz`.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ringfence_fuzz::{TARGETS, Target, is_contained, target};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some(chosen) = target(&name) else {
        eprintln!("FUZZ_TARGET={name:?} is no target; these are:");
        for target in TARGETS {
            // For scripts as well: name, longest input, promise.
            println!("{}\t{}\t{}", target.name, target.length_max, target.holds);
        }
        std::process::exit(2);
    };
    CHOSEN.get_or_init(|| chosen);
    // In place of libfuzzer-sys's, which ends the process for panics that are caught, too.
    std::panic::set_hook(Box::new(|panic| {
        if !is_contained() {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
}

fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(bytes);
    }
});
