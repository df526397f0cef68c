//! What may stand in each mapping of a resource file. The loader knows keys from here, and the JSON Schema is made of it, so
//! that editors and loader cannot disagree about them.

use crate::limits::{PROCESSES_MAX, PROCESSES_MIN};
use crate::resource::ReachCase;

use super::{API_VERSION, CONDITION_MAX, LABEL_MAX, LABELS_MAX, TEXT_MAX};

/// One kind of mapping.
#[derive(Debug)]
pub(super) struct Shape {
    /// A word for it, unique among shapes.
    pub(super) title: &'static str,
    pub(super) known: &'static [Field],
    /// Keys of versions to come: refused, never ignored.
    pub(super) later: &'static [&'static str],
    /// Keys that must be there.
    pub(super) required: &'static [&'static str],
    /// Pairs of which exactly one must be there.
    pub(super) either: &'static [[&'static str; 2]],
}

impl Shape {
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.known.iter().map(|field| field.name)
    }
}

/// One key.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) value: Value,
    /// A sentence for whoever writes it.
    pub(super) about: &'static str,
}

/// What may stand behind a key, as far as a schema can say it.
#[derive(Debug)]
pub(super) enum Value {
    /// This text.
    Exactly(&'static str),
    /// One of these texts.
    Word(&'static [&'static str]),
    /// A text of this many bytes at most.
    Text(usize),
    /// A text that this expression (ECMA 262) matches, and an example of it.
    Pattern(&'static str, &'static str),
    Date,
    /// A whole number within these bounds.
    Number(u32, u32),
    Port,
    Truth,
    List(&'static Value),
    /// A list that is not empty.
    Some(&'static Value),
    Map(&'static Shape),
    Either(&'static [Value]),
    /// A mapping of short texts.
    Labels,
    /// Any mapping.
    Anything,
}

const fn field(name: &'static str, value: Value, about: &'static str) -> Field {
    Field { name, value, about }
}

const fn shape(title: &'static str, known: &'static [Field]) -> Shape {
    Shape {
        title,
        known,
        later: &[],
        required: &[],
        either: &[],
    }
}

const NAME: Value = Value::Pattern("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "customer-data");
const HOST: Value = Value::Pattern(
    r"^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$",
    "payments.internal",
);
const OPERATION: Value = Value::Pattern(
    r"^(connect|send|[^ ]+ /.*|[A-Za-z_][A-Za-z0-9_.]*/([A-Za-z_][A-Za-z0-9_]*|\*))$",
    "GET /customers/*",
);
const PATH: Value = Value::Pattern("^/.*[^/]", "/opt/agents");
const WORDS: Value = Value::Text(TEXT_MAX);
const CONDITION: Value = Value::Text(CONDITION_MAX);
const PEM: Value = Value::Text(4096);
const PROTOCOL: Value = Value::Word(&["http", "http2", "grpc", "tls", "tcp", "udp"]);
const SELECTOR: Value = Value::Some(&Value::Pattern(
    r"^(\*|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$",
    "*",
));

/// Kinds of resources, and the shapes of their `spec`.
pub(super) const KINDS: [(&str, Value); 5] = [
    ("Service", Value::Map(&SERVICE)),
    ("Agent", Value::Map(&AGENT)),
    ("Policy", Value::Map(&POLICY)),
    ("Guardrail", Value::Map(&GUARDRAIL)),
    (
        "Test",
        Value::Either(&[Value::Map(&TESTS), Value::Map(&CASE), Value::Map(&REACH)]),
    ),
];

pub(super) const DOCUMENT: Shape = Shape {
    later: &["status"],
    required: &["apiVersion", "kind", "metadata"],
    ..shape(
        "document",
        &[
            field(
                "apiVersion",
                Value::Exactly(API_VERSION),
                "the version of the resource files",
            ),
            field(
                "kind",
                Value::Word(&["Service", "Agent", "Policy", "Guardrail", "Test"]),
                "what the document is about",
            ),
            field(
                "metadata",
                Value::Map(&METADATA),
                "its name, and labels of agents and services",
            ),
            field("spec", Value::Anything, "what it says"),
        ],
    )
};

pub(super) const METADATA: Shape = Shape {
    later: &["annotations"],
    required: &["name"],
    ..shape(
        "metadata",
        &[
            field(
                "name",
                NAME,
                "unique across services and agents; policies, guardrails and tests have names of their own",
            ),
            field(
                "labels",
                Value::Labels,
                "words for conditions to ask after: source.labels, destination.labels",
            ),
        ],
    )
};

pub(super) const SERVICE: Shape = Shape {
    later: &["durability"],
    required: &["protocol", "port"],
    ..shape(
        "service",
        &[
            field(
                "protocol",
                PROTOCOL,
                "what is spoken on the port: http, http2 and grpc are decided by request, tls and tcp by connection, udp by datagram flow",
            ),
            field("port", Value::Port, "the one port that exists on it"),
            field(
                "hosts",
                Value::List(&HOST),
                "further names it answers to; no two workloads share one",
            ),
            field("owner", WORDS, "who answers for it"),
            field(
                "paths",
                Value::Map(&PATHS),
                "forms of path it accepts though they are refused elsewhere",
            ),
            field(
                "record",
                Value::Map(&RECORD),
                "values of its requests that may be read in the flow log; all others stand there as HMACs",
            ),
            field(
                "endpoints",
                Value::Some(&Value::Map(&ENDPOINT)),
                "where it really is, if it does not run in a compartment; tried in order",
            ),
            field(
                "mutualAuth",
                Value::Map(&EXEMPTION),
                "permission for endpoints that do not prove themselves",
            ),
            field(
                "receive",
                ENTRIES,
                "who may call it, for what; without the list whoever's policy names it, with [] nobody",
            ),
            field(
                "attest",
                Value::Map(&ATTEST),
                "who may claim to be it; without it the node's owner and root only",
            ),
            field(
                "limits",
                Value::Map(&LIMITS),
                "how much of its host it may take",
            ),
        ],
    )
};

pub(super) const AGENT: Shape = Shape {
    later: &["task", "tasks"],
    ..shape(
        "agent",
        &[
            field(
                "purpose",
                WORDS,
                "what it is for; recorded with what it does",
            ),
            field("owner", WORDS, "who answers for it"),
            field(
                "serves",
                Value::Map(&SERVES),
                "what others may call; without it nothing can be called",
            ),
            field(
                "hosts",
                Value::List(&HOST),
                "further names it answers to; no two workloads share one",
            ),
            field(
                "attest",
                Value::Map(&ATTEST),
                "who may claim to be it; without it the node's owner and root only",
            ),
            field(
                "limits",
                Value::Map(&LIMITS),
                "how much of its host it may take",
            ),
        ],
    )
};

pub(super) const SERVES: Shape = Shape {
    required: &["protocol", "port"],
    ..shape(
        "serves",
        &[
            field("protocol", PROTOCOL, "what is spoken on the port"),
            field("port", Value::Port, "the one port that exists on it"),
            field(
                "paths",
                Value::Map(&PATHS),
                "forms of path it accepts though they are refused elsewhere",
            ),
            field(
                "record",
                Value::Map(&RECORD),
                "values of its requests that may be read in the flow log; all others stand there as HMACs",
            ),
        ],
    )
};

pub(super) const PATHS: Shape = Shape {
    required: &["accept"],
    ..shape(
        "paths",
        &[field(
            "accept",
            Value::List(&Value::Word(&[
                "encoded-slash",
                "encoded-backslash",
                "empty-segment",
                "semicolon",
                "raw-non-ascii",
                "double-escape",
                "not-utf-8",
            ])),
            "forms of path",
        )],
    )
};

pub(super) const RECORD: Shape = shape(
    "record",
    &[
        field(
            "headers",
            Value::Some(&Value::Pattern(
                "^[A-Za-z0-9!#$&'*+.^_`|-]{1,64}$",
                "x-tenant",
            )),
            "names of header fields",
        ),
        field(
            "query",
            Value::Some(&Value::Pattern("^[A-Za-z0-9_.$@:\\[\\]-]{1,64}$", "page")),
            "names of query parameters",
        ),
    ],
);

pub(super) const ATTEST: Shape = shape(
    "attest",
    &[
        field(
            "uid",
            Value::Number(0, u32::MAX - 1),
            "the user who may claim the name",
        ),
        field("exe", PATH, "the program that is started"),
        field(
            "sha256",
            Value::Pattern(
                "^[0-9A-Fa-f]{64}$",
                "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            ),
            "the digest of the program that is started",
        ),
        field(
            "unit",
            Value::Text(TEXT_MAX),
            "the systemd unit that the claimant runs in",
        ),
    ],
);

pub(super) const LIMITS: Shape = shape(
    "limits",
    &[
        field(
            "memory",
            Value::Pattern("^[0-9]+(Ki|Mi|Gi|Ti)?$", "2Gi"),
            "all of its memory; it is ended when it takes more",
        ),
        field(
            "processes",
            Value::Number(PROCESSES_MIN, PROCESSES_MAX),
            "its processes and threads",
        ),
    ],
);

pub(super) const EXEMPTION: Shape = Shape {
    required: &["exempt", "until"],
    ..shape(
        "mutualAuth",
        &[
            field(
                "exempt",
                WORDS,
                "why an endpoint goes without mutual authentication",
            ),
            field(
                "until",
                Value::Date,
                "the last day (UTC) on which that holds; then everything to it is denied",
            ),
        ],
    )
};

pub(super) const ENDPOINT: Shape = Shape {
    required: &["address"],
    ..shape(
        "endpoint",
        &[
            field(
                "address",
                Value::Pattern(
                    r"^(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+):[0-9]{1,5}$",
                    "db.internal:5432",
                ),
                "where to connect",
            ),
            field(
                "tls",
                Value::Map(&TLS),
                "speak TLS to it; {} takes all defaults, without it plain text is spoken",
            ),
        ],
    )
};

pub(super) const TLS: Shape = shape(
    "tls",
    &[
        field(
            "ca",
            PEM,
            "trust anchors: system, or a PEM file, from the configuration directory if relative",
        ),
        field(
            "name",
            HOST,
            "the name its certificate must carry; required when the address is an IP address",
        ),
        field(
            "clientCert",
            Value::Map(&CLIENT_CERT),
            "our certificate, for mutual authentication",
        ),
    ],
);

pub(super) const CLIENT_CERT: Shape = Shape {
    required: &["cert", "key"],
    ..shape(
        "clientCert",
        &[
            field("cert", PEM, "certificate chain, PEM"),
            field("key", PEM, "private key, PEM"),
        ],
    )
};

pub(super) const POLICY: Shape = Shape {
    later: &["when", "limits"],
    either: &[["agent", "service"]],
    ..shape(
        "policy",
        &[
            field("agent", NAME, "the agent it is about"),
            field("service", NAME, "the service it is about"),
            field(
                "mode",
                Value::Word(&["enforce", "learn", "shadow"]),
                "what becomes of its own refusals; learn and shadow let them pass and record them",
            ),
            field(
                "until",
                Value::Date,
                "last day (UTC) of learn or shadow; they hold for the 30 days before it at most",
            ),
            field("owner", WORDS, "who answers for it"),
            field("reviewBy", Value::Date, "when it is due to be read again"),
            field("initiate", ENTRIES, "what the subject may start"),
            field("receive", ENTRIES, "what the subject takes from others"),
            field(
                "tests",
                Value::List(&Value::Map(&OWN_TEST)),
                "what must hold, checked at every load",
            ),
            field(
                "filesystem",
                Value::Map(&FILESYSTEM),
                "paths of the host its compartment sees beyond the built root",
            ),
        ],
    )
};

pub(super) const FILESYSTEM: Shape = Shape {
    later: &["exec"],
    ..shape(
        "filesystem",
        &[
            field("read", Value::List(&PATH), "seen read-only"),
            field("write", Value::List(&PATH), "seen writable"),
            field(
                "sockets",
                Value::Truth,
                "whether those may hold sockets and FIFOs",
            ),
        ],
    )
};

const ENTRIES: Value = Value::List(&Value::Map(&ENTRY));

pub(super) const ENTRY: Shape = Shape {
    later: &["when", "with"],
    required: &["operations"],
    either: &[["agent", "service"]],
    ..shape(
        "entry",
        &[
            field("agent", NAME, "the other side"),
            field("service", NAME, "the other side"),
            field(
                "operations",
                Value::Some(&Value::Either(&[OPERATION, Value::Map(&RULE)])),
                "a set: any match allows",
            ),
            field("until", Value::Date, "last day (UTC) of all its operations"),
        ],
    )
};

pub(super) const RULE: Shape = Shape {
    later: &["with"],
    required: &["allow"],
    ..shape(
        "operation",
        &[
            field(
                "allow",
                OPERATION,
                "METHOD /path for http and http2, package.Service/Method for grpc, connect for tcp and tls, send for udp",
            ),
            field("when", CONDITION, "what must be true beside, in CEL"),
            field("until", Value::Date, "last day (UTC) on which it holds"),
        ],
    )
};

pub(super) const GUARDRAIL: Shape = Shape {
    later: &["until", "reviewBy"],
    required: &["owner", "reason", "from", "to"],
    either: &[["deny", "only"]],
    ..shape(
        "guardrail",
        &[
            field("owner", WORDS, "who answers for it"),
            field(
                "reason",
                WORDS,
                "why it is there; whoever asks why something is denied reads it",
            ),
            field(
                "from",
                SELECTOR,
                "initiators it is about: names, or [\"*\"] for all",
            ),
            field(
                "to",
                SELECTOR,
                "receivers it is about: names, or [\"*\"] for all",
            ),
            field(
                "deny",
                Value::Some(&OPERATION),
                "operations that nobody may do, whatever policies say",
            ),
            field(
                "only",
                Value::Some(&OPERATION),
                "operations that remain; all others are forbidden",
            ),
            field(
                "when",
                CONDITION,
                "it forbids only while this is true, in CEL; an error forbids as well",
            ),
        ],
    )
};

const LATER: &[&str] = &["unreachable", "hops", "when"];

pub(super) const TESTS: Shape = Shape {
    required: &["tests"],
    ..shape(
        "tests",
        &[field(
            "tests",
            Value::Some(&Value::Either(&[Value::Map(&CASE), Value::Map(&REACH)])),
            "claims that must hold at every load",
        )],
    )
};

pub(super) const CASE: Shape = Shape {
    later: &["when"],
    required: &["from", "to"],
    either: &[["allow", "deny"]],
    ..shape(
        "test",
        &[
            field("from", NAME, "who starts it"),
            field("to", NAME, "who is called"),
            field("allow", CLAIM, "an operation that must be allowed"),
            field("deny", CLAIM, "an operation that must be denied"),
            field("with", Value::Anything, "what conditions see"),
        ],
    )
};

pub(super) const REACH: Shape = Shape {
    later: &["when", "with"],
    required: &["from"],
    either: &[["unreachable", "reachable"]],
    ..shape(
        "reachTest",
        &[
            field("from", NAME, "who was taken over"),
            field(
                "unreachable",
                NAME,
                "whom it must not reach, directly or through others",
            ),
            field(
                "reachable",
                NAME,
                "whom it must reach, directly or through others",
            ),
            field(
                "hops",
                Value::Number(1, ReachCase::HOPS_MAX),
                "most connections on the way; without it, any number",
            ),
        ],
    )
};

/// Concrete, and possibly a path that is refused.
const CLAIM: Value = Value::Pattern(
    r"^(connect|send|[^ ]+ [\s\S]+|[^ /]+/[^ /]+)$",
    "GET /customers/42",
);

pub(super) const OWN_TEST: Shape = Shape {
    later: LATER,
    either: &[["to", "from"], ["allow", "deny"]],
    ..shape(
        "policyTest",
        &[
            field("to", NAME, "whom the subject calls"),
            field("from", NAME, "who calls the subject"),
            field("allow", CLAIM, "an operation that must be allowed"),
            field("deny", CLAIM, "an operation that must be denied"),
            field("with", Value::Anything, "what conditions see"),
        ],
    )
};

/// Bounds of labels, for the schema.
pub(super) const LABEL_BOUNDS: (usize, usize) = (LABELS_MAX, LABEL_MAX);
