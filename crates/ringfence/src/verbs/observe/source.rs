//! Where records come from: the log of a node, a copy of one of its segments, or JSON lines that `observe` printed elsewhere.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ringfence_archive::SEALED_MAGIC;
use ringfence_audit::SEGMENT_MAGIC;
use ringfence_history::Records;
use ringfence_model::{FLOW_LINE_MAX, FlowRecord};

use crate::output::Failure;
use crate::verbs::flows::copy_failure;

/// Bytes of JSON read at a time.
const CHUNK: usize = 128 * 1024;

/// Opens what `-i` names.
pub(super) fn open(input: &Path) -> Result<Input, Failure> {
    if input.as_os_str() == "-" {
        return Ok(Input::Lines(Lines::new(
            Box::new(io::stdin()),
            "standard input",
        )));
    }
    let shown = input.display().to_string();
    let cannot = |error: io::Error| {
        Failure::new(
            format!("{shown} cannot be read: {error}"),
            "name a file of JSON lines, a copy of a file of the log (hot/*.seg, sealed/*.parquet), or `-` for standard input",
        )
    };
    let file = File::open(input).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_file() {
        let mut head = [0; SEGMENT_MAGIC.len()];
        let read = file.read_at(&mut head, 0).map_err(cannot)?;
        if head[..read] == SEGMENT_MAGIC || head[..read].starts_with(&SEALED_MAGIC) {
            return Records::open_file(input)
                .map(Input::Log)
                .map_err(copy_failure);
        }
    }
    Ok(Input::Lines(Lines::new(Box::new(file), &shown)))
}

/// An opened `-i`.
pub(super) enum Input {
    /// A segment, or a sealed file.
    Log(Records),
    /// JSON.
    Lines(Lines),
}

/// Records from JSON lines. Blank lines are passed over.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    name: String,
    number: u64,
    line: Vec<u8>,
}

impl Lines {
    fn new(reader: Box<dyn Read>, name: &str) -> Self {
        Self {
            reader: BufReader::with_capacity(CHUNK, reader),
            name: name.to_owned(),
            number: 0,
            line: Vec::new(),
        }
    }

    /// Whether the next record has not arrived yet: what is to be seen by then must be written out first.
    pub(super) fn may_wait(&self) -> bool {
        !self.reader.buffer().contains(&b'\n')
    }

    /// The next record; `None` at the end.
    pub(super) fn read(&mut self) -> Result<Option<FlowRecord>, Failure> {
        loop {
            self.line.clear();
            let limit = FLOW_LINE_MAX as u64 + 1;
            let read = (self.reader.by_ref().take(limit))
                .read_until(b'\n', &mut self.line)
                .map_err(|error| {
                    Failure::plain(format!("{} cannot be read: {error}", self.name))
                })?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.line.last() != Some(&b'\n') && self.line.len() > FLOW_LINE_MAX {
                return Err(self.wrong(&format!("it is longer than {FLOW_LINE_MAX} bytes")));
            }
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            return match serde_json::from_slice(line) {
                Ok(record) => Ok(Some(record)),
                // Its own count of lines is always one.
                Err(error) => {
                    Err(self.wrong(&error.to_string().replace(" at line 1 column", " at column")))
                }
            };
        }
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::new(
            format!(
                "line {} of {} is no flow record: {what}",
                self.number, self.name
            ),
            "give lines that `ringfence observe -o json` printed, whole; docs/flows.md says what each key means",
        )
    }
}
