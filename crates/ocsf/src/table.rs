//! What becomes what: the whole mapping, as data.
//!
//! A record belongs to the first of [`ROWS`] that it fits. `docs/ocsf.md` shows these tables, and a test holds it to them.

use ringfence_model::{FlowRecord, Outcome, RecordKind, UNITEMISED};

/// An id of an enumeration, and its caption.
pub type Choice = (u32, &'static str);

/// A class of events.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    /// `class_uid`.
    pub uid: u32,
    /// `class_name`.
    pub caption: &'static str,
    /// `category_uid` and `category_name`.
    pub category: Choice,
}

const SYSTEM: Choice = (1, "System Activity");
const NETWORK: Choice = (4, "Network Activity");
const APPLICATION: Choice = (6, "Application Activity");

macro_rules! classes {
    ($($name:ident = $uid:literal $caption:literal in $category:expr;)*) => {$(
        #[doc = $caption]
        pub const $name: &Class = &Class { uid: $uid, caption: $caption, category: $category };
    )*};
}

classes! {
    KERNEL_ACTIVITY = 1003 "Kernel Activity" in SYSTEM;
    NETWORK_ACTIVITY = 4001 "Network Activity" in NETWORK;
    HTTP_ACTIVITY = 4002 "HTTP Activity" in NETWORK;
    DNS_ACTIVITY = 4003 "DNS Activity" in NETWORK;
    APPLICATION_LIFECYCLE = 6002 "Application Lifecycle" in APPLICATION;
    API_ACTIVITY = 6003 "API Activity" in APPLICATION;
    DATASTORE_ACTIVITY = 6005 "Datastore Activity" in APPLICATION;
    APPLICATION_ERROR = 6008 "Application Error" in APPLICATION;
    BASE_EVENT = 0 "Base Event" in (0, "Uncategorized");
}

impl Class {
    /// Whether its events have the ends of a connection.
    pub(crate) fn has_ends(&self) -> bool {
        self.category == NETWORK || [API_ACTIVITY.uid, DATASTORE_ACTIVITY.uid].contains(&self.uid)
    }

    /// Whether its events tell of a connection.
    pub(crate) fn is_network(&self) -> bool {
        self.category == NETWORK
    }
}

/// How the activity of a class is told from a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Always the same.
    Always(Choice),
    /// By what came of it: passed, refused, failed.
    Came(Choice, Choice, Choice),
    /// By the first word of the operation; one that is not listed is `Other`, under its own name.
    FirstWord(&'static [(&'static str, Choice)]),
    /// By the whole operation; one that is not listed is `Other`, under its own name.
    Operation(&'static [(&'static str, Choice)]),
}

/// Records of one sort.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Their kind.
    pub kind: RecordKind,
    /// Their protocols; none: any.
    pub protocols: &'static [&'static str],
    /// Their outcome, where it matters.
    pub outcome: Option<Outcome>,
    /// What they become.
    pub class: &'static Class,
    /// And which of its activities.
    pub activity: Activity,
}

/// Where no word says what was done.
const UNKNOWN: Choice = (0, "Unknown");
/// Where the caption is a word of the record.
pub const OTHER: u32 = 99;

/// Data bases whose operations are statements.
pub(crate) const RELATIONAL: &[&str] = &["postgres", "postgresql", "mysql"];
/// Data bases whose operations are commands.
const KEY_VALUE: &[&str] = &["redis"];
/// What carries requests of HTTP.
const WEB: &[&str] = &["http", "http2"];
/// What carries messages and calls whose operations begin with a verb.
const CALLS: &[&str] = &["mcp", "a2a", "nats", "mqtt", "kafka", "amqp"];

const ANY: &[&str] = &[];

const fn row(
    kind: RecordKind,
    protocols: &'static [&'static str],
    class: &'static Class,
    activity: Activity,
) -> Row {
    Row {
        kind,
        protocols,
        outcome: None,
        class,
        activity,
    }
}

const REFUSE: Choice = (5, "Refuse");
const FAIL: Choice = (4, "Fail");

/// The mapping. The first row that fits counts; a kind without one becomes a base event.
#[rustfmt::skip]
pub const ROWS: &[Row] = {
    use Activity::{Always, Came, FirstWord, Operation};
    use RecordKind as Kind;
    &[
        row(Kind::Connection, ANY, NETWORK_ACTIVITY, Came((1, "Open"), REFUSE, FAIL)),
        row(Kind::Close, ANY, NETWORK_ACTIVITY, Always((2, "Close"))),
        row(Kind::Operation, WEB, HTTP_ACTIVITY, FirstWord(METHODS)),
        row(Kind::Operation, &["dns"], DNS_ACTIVITY, Always((6, "Traffic"))),
        row(Kind::Operation, &["grpc"], API_ACTIVITY, Always((OTHER, "call"))),
        row(Kind::Operation, CALLS, API_ACTIVITY, FirstWord(&[])),
        row(Kind::Operation, RELATIONAL, DATASTORE_ACTIVITY, FirstWord(STATEMENTS)),
        row(Kind::Operation, KEY_VALUE, DATASTORE_ACTIVITY, FirstWord(STATEMENTS)),
        row(Kind::Operation, ANY, NETWORK_ACTIVITY, Came((6, "Traffic"), REFUSE, FAIL)),
        row(Kind::Wall, &["system call"], KERNEL_ACTIVITY, Always((4, "Invoke"))),
        row(Kind::Wall, ANY, NETWORK_ACTIVITY, Always(REFUSE)),
        Row {
            outcome: Some(Outcome::Error),
            ..row(Kind::Event, ANY, APPLICATION_ERROR, Always((1, "General Error")))
        },
        row(Kind::Event, ANY, APPLICATION_LIFECYCLE, Operation(HAPPENINGS)),
    ]
};

const NOTHING: &Row = &row(
    RecordKind::Unspecified,
    ANY,
    BASE_EVENT,
    Activity::Always(UNKNOWN),
);

/// Methods of HTTP, as IANA registers them.
pub const METHODS: &[(&str, Choice)] = &[
    ("CONNECT", (1, "Connect")),
    ("DELETE", (2, "Delete")),
    ("GET", (3, "Get")),
    ("HEAD", (4, "Head")),
    ("OPTIONS", (5, "Options")),
    ("POST", (6, "Post")),
    ("PUT", (7, "Put")),
    ("TRACE", (8, "Trace")),
    ("PATCH", (9, "Patch")),
    ("ACL", (10, "ACL")),
    ("BASELINE-CONTROL", (11, "Baseline Control")),
    ("BIND", (12, "Bind")),
    ("CHECKIN", (13, "Check In")),
    ("CHECKOUT", (14, "Check Out")),
    ("COPY", (15, "Copy")),
    ("LABEL", (16, "Label")),
    ("LINK", (17, "Link")),
    ("LOCK", (18, "Lock")),
    ("MERGE", (19, "Merge")),
    ("MKACTIVITY", (20, "Make Activity")),
    ("MKCALENDAR", (21, "Make Calendar")),
    ("MKCOL", (22, "Make Collection")),
    ("MKREDIRECTREF", (23, "Make Redirect Reference")),
    ("MKWORKSPACE", (24, "Make Workspace")),
    ("MOVE", (25, "Move")),
    ("ORDERPATCH", (26, "Order Patch")),
    ("PRI", (27, "PRI")),
    ("PROPFIND", (28, "Property Find")),
    ("PROPPATCH", (29, "Property Patch")),
    ("QUERY", (30, "Query")),
    ("REBIND", (31, "Rebind")),
    ("REPORT", (32, "Report")),
    ("SEARCH", (33, "Search")),
    ("UNBIND", (34, "Unbind")),
    ("UNCHECKOUT", (35, "Un-Check Out")),
    ("UNLINK", (36, "Unlink")),
    ("UNLOCK", (37, "Unlock")),
    ("UPDATE", (38, "Update")),
    ("UPDATEREDIRECTREF", (39, "Update Redirect Reference")),
    ("VERSION-CONTROL", (40, "Version Control")),
];

/// Statements and commands of data bases.
pub const STATEMENTS: &[(&str, Choice)] = &[
    ("select", (1, "Read")),
    ("get", (1, "Read")),
    ("update", (2, "Update")),
    ("connect", (3, "Connect")),
    ("insert", (5, "Write")),
    ("set", (5, "Write")),
    ("create", (6, "Create")),
    ("delete", (7, "Delete")),
    ("del", (7, "Delete")),
    ("drop", (7, "Delete")),
];

/// What nodes and operators do.
pub const HAPPENINGS: &[(&str, Choice)] = &[
    ("node started", (3, "Start")),
    ("node stopped", (4, "Stop")),
    ("workload stopped", (4, "Stop")),
    ("enforcer restarted", (5, "Restart")),
    ("release", (6, "Enable")),
    ("quarantine ended", (6, "Enable")),
    ("quarantine", (7, "Disable")),
    ("policy in force", (8, "Update")),
    ("reload accepted", (8, "Update")),
];

/// What an outcome becomes.
#[derive(Debug, PartialEq, Eq)]
pub struct Came {
    /// Of a record.
    pub outcome: Outcome,
    /// `status_id`.
    pub status: Choice,
    /// `severity_id`.
    pub severity: Choice,
    /// `action_id`.
    pub action: Choice,
    /// `disposition_id`.
    pub disposition: Choice,
}

/// One for each outcome that a record may have.
pub const OUTCOMES: &[Came] = &[
    Came {
        outcome: Outcome::Allow,
        status: (1, "Success"),
        severity: (1, "Informational"),
        action: (1, "Allowed"),
        disposition: (1, "Allowed"),
    },
    Came {
        outcome: Outcome::Deny,
        status: (2, "Failure"),
        severity: (3, "Medium"),
        action: (2, "Denied"),
        disposition: (2, "Blocked"),
    },
    Came {
        outcome: Outcome::WouldDeny,
        status: (1, "Success"),
        severity: (2, "Low"),
        action: (3, "Observed"),
        disposition: (15, "Detected"),
    },
    Came {
        outcome: Outcome::Error,
        status: (2, "Failure"),
        severity: (2, "Low"),
        action: (1, "Allowed"),
        disposition: (27, "Error"),
    },
];

const UNTOLD: &Came = &Came {
    outcome: Outcome::Unspecified,
    status: UNKNOWN,
    severity: UNKNOWN,
    action: UNKNOWN,
    disposition: UNKNOWN,
};

/// The row of a record.
pub fn of(record: &FlowRecord) -> &'static Row {
    let fits = |row: &&Row| {
        row.kind == record.kind
            && row.outcome.is_none_or(|outcome| outcome == record.outcome)
            && (row.protocols.is_empty() || row.protocols.contains(&record.protocol.as_str()))
    };
    ROWS.iter().find(fits).unwrap_or(NOTHING)
}

/// What an outcome becomes.
pub fn came(outcome: Outcome) -> &'static Came {
    let one = OUTCOMES.iter().find(|it| it.outcome == outcome);
    one.unwrap_or(UNTOLD)
}

impl Activity {
    /// The activity of a record: its id, and its caption or the record's own word for it.
    pub fn of(self, record: &FlowRecord) -> (u32, &str) {
        match self {
            Self::Always(choice) => choice,
            Self::Came(passed, refused, failed) => match record.outcome {
                Outcome::Allow | Outcome::WouldDeny => passed,
                Outcome::Deny => refused,
                Outcome::Error => failed,
                Outcome::Unspecified => UNKNOWN,
            },
            Self::FirstWord(list) => listed(list, first_word(&record.operation)),
            Self::Operation(list) => listed(list, &record.operation),
        }
    }
}

fn listed<'a>(list: &[(&str, Choice)], word: &'a str) -> (u32, &'a str) {
    match list.iter().find(|it| it.0 == word) {
        Some((_, choice)) => *choice,
        None if word.is_empty() => UNKNOWN,
        None => (OTHER, word),
    }
}

/// The first word of an operation; all of it where it names none.
pub(crate) fn first_word(operation: &str) -> &str {
    match operation.split_once(' ') {
        Some((word, _)) if operation != UNITEMISED => word,
        _ => operation,
    }
}
