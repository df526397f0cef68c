//! A reader that nobody outside calls but its fuzz target.
//!
//! Always compiled: behind a feature, the crate would be built twice in every build of the workspace. Nothing that ships
//! calls it, so nothing that ships has it.

use std::io;

use tokio::io::AsyncRead;

use crate::scrape;

/// Reads a monitor's request: `metrics`, or the status it is answered with; `None`: it left before that. `named`: it has to
/// ask under a name of this host.
pub async fn scrape<S: AsyncRead + Unpin>(
    mut monitor: S,
    named: bool,
) -> io::Result<Option<&'static str>> {
    let asked = scrape::read(&mut monitor, named).await?;
    Ok(asked.map(|asked| match asked {
        scrape::Asked::Metrics(_) => "metrics",
        scrape::Asked::Wrongly(status) => status,
    }))
}
