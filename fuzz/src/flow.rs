//! Records as JSON, and the texts of others in them on their way to a terminal.

use ringfence_model::text::{misleads, safe, safe_json, safe_lines};
use ringfence_model::{FLOW_LINE_MAX, FlowRecord};

use crate::target::Target;

pub(crate) const TARGET: Target = Target {
    name: "flow_json",
    holds: "a record that is read from JSON is the same after it was stored, printed and read again; what is printed moves no cursor",
    length_max: 4096,
    run,
};

fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    printed(&text);
    let Ok(record) = serde_json::from_slice::<FlowRecord>(bytes.trim_ascii()) else {
        return;
    };
    let stored = record.to_flow();
    assert_eq!(FlowRecord::new(record.seq, &stored).as_ref(), Ok(&record));
    let line = serde_json::to_string(&record).unwrap();
    assert!(line.len() <= FLOW_LINE_MAX && !line.contains('\n'));
    assert_eq!(serde_json::from_str::<FlowRecord>(&line).unwrap(), record);
    let shown = safe_json(&line);
    assert!(!shown.contains(misleads), "{shown:?}");
    assert_eq!(serde_json::from_str::<FlowRecord>(&shown).unwrap(), record);
    assert_eq!(record.time().len(), "2026-11-25T00:00:00.000000000Z".len());
}

fn printed(text: &str) {
    let shown = safe(text);
    assert!(!shown.contains(misleads), "{shown:?}");
    assert!(!shown.bytes().any(|b| b < 0x20 || b == 0x7f));
    assert_eq!(safe(&shown), shown, "not idempotent");
    assert_eq!(
        safe_lines(text).matches('\n').count(),
        text.matches('\n').count()
    );
    let json = serde_json::to_string(text).unwrap();
    let shown = safe_json(&json);
    assert!(!shown.contains(misleads));
    assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
}
