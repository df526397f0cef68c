//! What can go wrong with a simulated host.

/// Why a host, a node or a command could not be had. Tests usually `unwrap` it: it says all there is to say.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// A system call or a program of the simulation.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it did not work.
        cause: std::io::Error,
    },
    /// The namespaces could not be made.
    #[error(
        "the simulated host did not start: {said}; it needs util-linux, iproute2 and user namespaces \
         (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns), or root"
    )]
    Host {
        /// What its set-up printed.
        said: String,
    },
    /// A process ended, or did not say what was expected, within its time.
    #[error("{what} within {seconds} s; it printed:\n{said}")]
    Late {
        /// What was waited for.
        what: String,
        /// The time it had.
        seconds: u64,
        /// Its output so far.
        said: String,
    },
    /// An answer of `ringfence` that is not what its documentation says.
    #[error("{what}: {said}")]
    Answer {
        /// Which one.
        what: String,
        /// What it was.
        said: String,
    },
}

impl TestbedError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}
