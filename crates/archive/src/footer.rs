//! What a sealed file says of itself, as key-value metadata of its footer.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use ringfence_model::FLOW_SCHEMA;

use crate::SEALED_FORM;
use crate::columns::columns_of;

const FORM: &str = "ringfence.sealed";
const SCHEMA: &str = "ringfence.schema";
const FIRST: &str = "ringfence.first_seq";
const LAST: &str = "ringfence.last_seq";
const RECORDS: &str = "ringfence.records";
const ROOT: &str = "ringfence.root";
/// Of each row group, in forms before [`COLUMNS_HASHED_SINCE`].
const GROUP_DIGESTS: &str = "ringfence.group_sha256";
/// Of each column of each row group, since then.
const COLUMN_DIGESTS: &str = "ringfence.column_sha256";

/// The first form in which columns are hashed one by one, so that who wants few of them reads and hashes no more than these.
pub(crate) const COLUMNS_HASHED_SINCE: u32 = 3;

/// SHA-256 of the bytes of a row group, or of a column of one.
pub(crate) type Digest = [u8; 32];

/// The description of a sealed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) form: u32,
    pub(crate) first: u64,
    pub(crate) records: u64,
    pub(crate) root: [u8; 32],
    /// As many for each row group as [`About::digests_of_group`] says, in the order of the file.
    pub(crate) digests: Vec<Digest>,
}

impl About {
    /// Sequence number of the last record.
    pub(crate) fn last(&self) -> u64 {
        self.first + (self.records - 1)
    }

    /// How many hashes a row group has.
    pub(crate) fn digests_of_group(&self) -> usize {
        if self.form < COLUMNS_HASHED_SINCE {
            1
        } else {
            columns_of(self.form)
        }
    }

    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let digests: Vec<String> = self.digests.iter().map(|digest| hex(digest)).collect();
        vec![
            (FORM, self.form.to_string()),
            (SCHEMA, FLOW_SCHEMA.to_string()),
            (FIRST, self.first.to_string()),
            (LAST, self.last().to_string()),
            (RECORDS, self.records.to_string()),
            (ROOT, hex(&self.root)),
            (digests_key(self.form), digests.join(",")),
        ]
    }

    /// Reads what [`About::pairs`] wrote. Any other pair is passed over.
    pub(crate) fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, String> {
        let get = |key: &str| {
            let mut found = pairs.iter().filter(|(name, _)| *name == key);
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(*value),
                (None, _) => Err(format!("not a sealed file of a flow log: it has no {key}")),
                _ => Err(format!("{key} is there twice")),
            }
        };
        let number = |key: &str| {
            let value = get(key)?;
            let number: u64 = value.parse().map_err(|_| format!("{key} is no number"))?;
            if number.to_string() != value {
                return Err(format!("{key} is not written as a number is"));
            }
            Ok(number)
        };
        let version = |key: &str, read: RangeInclusive<u32>| {
            let version = number(key)?;
            let known = u32::try_from(version).ok();
            known.filter(|known| read.contains(known)).ok_or_else(|| {
                let (first, last) = (read.start(), read.end());
                let ours = if first == last {
                    first.to_string()
                } else {
                    format!("{first} to {last}")
                };
                format!(
                    "{key} is {version}, this program reads {ours}; use the version that wrote it"
                )
            })
        };
        let form = version(FORM, 1..=SEALED_FORM)?;
        version(SCHEMA, FLOW_SCHEMA..=FLOW_SCHEMA)?;
        let (first, records) = (number(FIRST)?, number(RECORDS)?);
        let last = records
            .checked_sub(1)
            .and_then(|more| first.checked_add(more));
        let seqs_fit = last.is_some_and(|last| i64::try_from(last).is_ok());
        if !seqs_fit || last != Some(number(LAST)?) {
            return Err(format!(
                "{FIRST}, {LAST} and {RECORDS} do not belong together"
            ));
        }
        let noted = digests_key(form);
        let digests: Option<Vec<Digest>> = get(noted)?.split(',').map(unhex).collect();
        Ok(Self {
            form,
            first,
            records,
            root: unhex(get(ROOT)?)
                .ok_or_else(|| format!("{ROOT} is not 64 hexadecimal digits"))?,
            digests: digests
                .ok_or_else(|| format!("{noted} are not 64 hexadecimal digits each"))?,
        })
    }
}

fn digests_key(form: u32) -> &'static str {
    if form < COLUMNS_HASHED_SINCE {
        GROUP_DIGESTS
    } else {
        COLUMN_DIGESTS
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _never_fails = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digit = |at: usize| match digits[at] {
            digit @ b'0'..=b'9' => Some(digit - b'0'),
            digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = digit(2 * at)? << 4 | digit(2 * at + 1)?;
    }
    Some(bytes)
}
