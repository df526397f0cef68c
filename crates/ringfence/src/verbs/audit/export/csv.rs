//! Records as rows for a spreadsheet.

use std::io::{self, Write};

use ringfence_model::FlowRecord;

use crate::verbs::csv::line;

/// The keys of a record in JSON, in the same order.
const COLUMNS: [&str; 27] = [
    "seq",
    "time",
    "node",
    "side",
    "kind",
    "connection",
    "count",
    "source",
    "sourceInstance",
    "destination",
    "destinationInstance",
    "originalDestination",
    "protocol",
    "operation",
    "outcome",
    "reason",
    "rule",
    "generation",
    "mode",
    "task",
    "purpose",
    "bytesSent",
    "bytesReceived",
    "durationNs",
    "lastTime",
    "fields",
    "fieldsKey",
];

/// The line of column names.
pub(super) fn header(out: &mut impl Write) -> io::Result<()> {
    line(out, COLUMNS.map(str::to_owned))
}

/// One record.
pub(super) fn row(out: &mut impl Write, record: &FlowRecord) -> io::Result<()> {
    let cells: [String; COLUMNS.len()] = [
        record.seq.to_string(),
        record.time(),
        record.node.clone(),
        record.side.to_string(),
        record.kind.to_string(),
        record.connection.clone(),
        record.count.to_string(),
        record.source.clone(),
        record.source_instance.clone(),
        record.destination.clone(),
        record.destination_instance.clone(),
        record.original_destination.clone(),
        record.protocol.clone(),
        record.operation.clone(),
        record.outcome.to_string(),
        record.reason.clone(),
        record.rule.clone(),
        record.generation.to_string(),
        record.mode.clone(),
        record.task.clone(),
        record.purpose.clone(),
        record.bytes_sent.to_string(),
        record.bytes_received.to_string(),
        record.duration_ns.to_string(),
        record.last_time().unwrap_or_default(),
        record.fields.clone(),
        record.fields_key.to_string(),
    ];
    line(out, cells)
}
