//! `ringfence audit match`: whether a value is the one that a record has only an HMAC of.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use ringfence_audit::{FieldKey, HMAC_LEN, Seq};
use ringfence_history::Records;
use ringfence_model::flow::Flow;

use super::Whose;
use crate::output::{EXIT_CHECK, Failure};
use crate::verbs::flows;

/// Longest value that is read.
const COMPARED_MAX: u64 = 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  printf %s 'Bearer eyJhbGciOi…' | ringfence audit match 847 header.authorization
  ringfence audit match 847 query.customer < value.txt

A record has values of header fields and query parameters in clear only where the service's resource names them; the others it \
has as HMACs, under a key that lies beside the log. The value to compare is read from standard input, so that it stands in no \
list of processes and no history of a shell; one line end behind it is no part of it. Header names are header.NAME, those of \
parameters query.NAME, with the value as the service reads it (escapes decoded).

Once `ringfence audit redact` has deleted the key, nobody can compare any more. docs/flows.md has the form.

Exit codes: 0 it is that value, 1 no such record, nothing to compare with, or the key is gone, 2 usage, 4 it is not.";

/// Tell whether a value is the one that a record has as HMAC
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct MatchArgs {
    #[command(flatten)]
    whose: Whose,
    /// Number of the record
    #[arg(value_name = "SEQ")]
    seq: u64,
    /// What the value was sent as: header.NAME or query.NAME
    #[arg(value_name = "NAME", value_parser = name)]
    name: Name,
}

/// A name, as HMACs have it.
#[derive(Clone, Debug)]
struct Name {
    kind: &'static str,
    whole: String,
}

/// Reads `header.NAME`, `query.NAME`, or `query` for a part of a query that is no parameter.
fn name(text: &str) -> Result<Name, String> {
    let forms = || "write header.NAME or query.NAME".to_owned();
    match text.split_once('.') {
        Some(("header", name)) if !name.is_empty() => Ok(Name {
            kind: "header",
            whole: text.to_ascii_lowercase(),
        }),
        Some(("query", _)) => Ok(Name {
            kind: "query",
            whole: text.to_owned(),
        }),
        None if text == "query" => Ok(Name {
            kind: "query",
            whole: text.to_owned(),
        }),
        _ => Err(forms()),
    }
}

/// Runs the verb.
pub(super) fn check(args: &MatchArgs) -> Result<ExitCode, Failure> {
    let log = args.whose.log()?;
    let seq = args.seq;
    let mut records = Records::open(&log).map_err(flows::failure)?;
    let found = records.skip_to(Seq(seq)).map_err(flows::failure)?;
    let flow = match records.read().map_err(flows::failure)? {
        Some((at, flow)) if found && at == Seq(seq) => flow,
        _ => {
            return Err(Failure::new(
                format!("there is no record {seq} in {}", log.display()),
                "`ringfence observe --last 1 -o json` shows the latest; older ones may have been pruned",
            ));
        }
    };
    let entries = Entries::of(&flow, &args.name);
    if entries.clear.is_empty() && entries.hidden.is_empty() {
        return Err(Failure::new(
            format!(
                "record {seq} has no value that could be {}",
                args.name.whole
            ),
            format!(
                "`ringfence observe -o json` shows its fields: {:?}",
                flow.fields
            ),
        ));
    }
    let mut value = Vec::new();
    io::stdin().take(COMPARED_MAX + 1).read_to_end(&mut value)?;
    if value.len() as u64 > COMPARED_MAX {
        return Err(Failure::new(
            "the value is longer than any that is recorded",
            "give the value alone on standard input",
        ));
    }
    if value.ends_with(b"\n") {
        value.pop();
    }
    let mut same = entries.clear.contains(&value);
    if !same && !entries.hidden.is_empty() {
        let number = flow.fields_key;
        let key = FieldKey::read(&log, number).map_err(Failure::plain)?;
        let Some(key) = key else {
            return Err(Failure::new(
                format!("the key {number} of record {seq} is gone: its values are redacted"),
                "`ringfence observe --kind event` shows by whom and when; nobody can compare any more",
            ));
        };
        // All of them are compared, whichever it is.
        for hmac in &entries.hidden {
            same |= key.is_hmac(hmac, args.name.whole.as_bytes(), &value);
        }
    }
    let (word, code) = match same {
        true => ("is", ExitCode::SUCCESS),
        false => ("is not", ExitCode::from(EXIT_CHECK)),
    };
    writeln!(
        io::stdout(),
        "it {word} {} of record {seq}",
        args.name.whole
    )?;
    Ok(code)
}

/// What a record has that could be of a name.
struct Entries {
    clear: Vec<Vec<u8>>,
    hidden: Vec<[u8; HMAC_LEN]>,
}

impl Entries {
    fn of(flow: &Flow, name: &Name) -> Self {
        let mut found = Self {
            clear: Vec::new(),
            hidden: Vec::new(),
        };
        for entry in flow.fields.split(' ') {
            let Some(at) = entry.find(['=', '~']) else {
                continue;
            };
            let (shown, rest) = entry.split_at(at);
            let (sign, text) = rest.split_at(1);
            match sign {
                "=" if shown == name.whole => found.clear.extend(decode(text)),
                // Its own name, or none that may be read.
                "~" if shown == name.whole || shown == name.kind => {
                    found.hidden.extend(hmac(text));
                }
                _ => {}
            }
        }
        found
    }
}

fn hmac(text: &str) -> Option<[u8; HMAC_LEN]> {
    if text.len() != 2 * HMAC_LEN || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; HMAC_LEN];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// A value in clear, whose escapes are decoded.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            plain => plain,
        });
    }
    Some(bytes)
}
