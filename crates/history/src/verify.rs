//! Feeds the whole log to whoever verifies it: sealed files, then segments.

use std::path::Path;

use ringfence_archive::{ArchiveError, SealedFile, SealedReader, files};
use ringfence_audit::Seq;
use ringfence_audit::tree::{Stretch, Verifier};

use crate::{place, seal};

/// Feeds every record of the log in the directory `log`, from the oldest. A node may go on sealing it meanwhile.
pub fn feed(log: &Path, verifier: &mut Verifier) {
    pruned(log, verifier);
    // Of what was sealed since the segments were listed, the next look has the file.
    let (mut begun, mut settled) = (0, false);
    loop {
        let sealed = match files(&place::sealed(log)) {
            Ok(sealed) => sealed,
            Err(error) => return verifier.doubt(None, error.to_string()),
        };
        begun = begun.max(verifier.next().0);
        let rest: Vec<SealedFile> = (sealed.into_iter())
            .filter(|file| file.first >= begun)
            .collect();
        for file in &rest {
            feed_file(log, file, verifier);
            begun = file.first + 1;
        }
        // Nothing new twice in a row: what is missing is nowhere.
        let seen = verifier.next();
        if verifier.segments(settled) {
            return;
        }
        settled = rest.is_empty() && verifier.next() == seen;
    }
}

fn pruned(log: &Path, verifier: &mut Verifier) {
    let path = place::pruned(log);
    match place::read_statement(&path) {
        Ok(Some(bytes)) => verifier.pruned(&path, &bytes),
        Ok(None) => {}
        Err(error) => verifier.doubt(None, format!("{}: {error}", path.display())),
    }
}

fn feed_file(log: &Path, file: &SealedFile, verifier: &mut Verifier) {
    if !file.path.exists() {
        // Pruned since it was listed, as the node has signed by then; otherwise it is missed below.
        pruned(log, verifier);
        return;
    }
    let shown = file.path.display();
    let first = Some(file.first);
    let statement = place::statement(&file.path);
    let said = match place::read_statement(&statement) {
        Ok(Some(bytes)) => verifier.sealed(&statement, &bytes),
        Ok(None) => {
            verifier.doubt(first, format!("{shown}: nobody signed that it was sealed"));
            None
        }
        Err(error) => {
            verifier.doubt(first, format!("{}: {error}", statement.display()));
            None
        }
    };
    match (seal::digest(&file.path), &said) {
        (Ok(found), Some(said)) if found != said.sha256 => verifier.doubt(
            first,
            format!("{shown} is not the file that was signed when it was sealed"),
        ),
        (Ok(_), _) => {}
        (Err(error), _) => verifier.doubt(first, format!("{shown}: {error}")),
    }
    verifier.read_sealed();
    if let Err(error) = feed_leaves(file, said.map(|said| said.records), verifier) {
        let seq = match &error {
            ArchiveError::Damaged { row, .. } => file.first.saturating_add(*row),
            _ => file.first,
        };
        verifier.doubt(Some(seq), error.to_string());
    }
}

fn feed_leaves(
    file: &SealedFile,
    said: Option<Stretch>,
    verifier: &mut Verifier,
) -> Result<(), ArchiveError> {
    let shown = file.path.display();
    let mut reader = SealedReader::open(&file.path)?;
    let records = Stretch {
        from: reader.first_seq(),
        to: reader.last_seq() + 1,
    };
    if records.from != file.first || said.is_some_and(|said| said != records) {
        verifier.doubt(
            Some(file.first),
            format!(
                "{shown} has records {} to {}, which its name or its signature says differently",
                records.from,
                records.to - 1
            ),
        );
    }
    if records.to <= verifier.signed() {
        match verifier.root(records.to) {
            Ok(root) if root == reader.root() => {}
            Ok(_) => verifier.doubt(
                Some(records.from),
                format!("{shown} names another root than the tree has after its last record"),
            ),
            Err(error) => verifier.doubt(Some(records.from), error.to_string()),
        }
    }
    if verifier.passes(records) {
        verifier.pass(records);
        return Ok(());
    }
    while let Some((seq, leaf)) = reader.read()? {
        verifier.leaf(Seq(seq), leaf);
    }
    Ok(())
}
