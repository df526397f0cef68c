//! Every finding there is. The one place that says what a code means; its page stands in `docs/lint`.

use std::fmt;

use serde::Serialize;

/// How much a finding matters. The greater, the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Probably not what was meant, or a risk somebody should own.
    Warning,
    /// Cannot be what was meant.
    Error,
}

impl Level {
    /// As output writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a finding means. Codes never change their meaning; one that is given up is not used again.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `RF` and four digits: 10 rules, 11 edges, 12 care, 13 modes.
    pub id: &'static str,
    /// How much it matters.
    pub level: Level,
    /// A few words, as on its page.
    pub title: &'static str,
    /// Its page of the manual, Markdown.
    pub page: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $level:ident, $title:literal;)*) => {
        $(
            #[doc = $title]
            pub(super) static $name: Code = Code {
                id: $id,
                level: Level::$level,
                title: $title,
                page: include_str!(concat!("../../../../docs/lint/", $id, ".md")),
            };
        )*
        /// All codes, by number.
        pub static CODES: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    DEAD_RULE = "RF1001", Warning, "a rule that its receiver takes nothing of";
    SWALLOWED = "RF1002", Warning, "a rule that another one swallows";
    REFUSED_EDGE = "RF1003", Warning, "an edge whose receiver refuses it";
    NEVER_ASKED = "RF1004", Info, "something received that nobody initiates";
    ENDED_RULE = "RF1005", Warning, "a rule whose last day has passed";
    FORBIDDEN_RULE = "RF1006", Warning, "a rule that guardrails forbid altogether";
    UNSENDABLE = "RF1007", Error, "a pattern that no request can match";
    ODD_METHOD = "RF1008", Warning, "a method in letters that nobody sends";
    IDLE_GUARDRAIL = "RF1009", Warning, "a guardrail that never forbids anything";
    READS_BODY = "RF1010", Info, "a condition that reads the body";
    NO_MUTUAL_AUTH = "RF1101", Warning, "an edge without mutual authentication";
    EXEMPTION_ENDS = "RF1102", Warning, "an exemption that ends soon";
    EXEMPTION_ENDED = "RF1103", Error, "an exemption that has ended";
    OPEN_SERVICE = "RF1104", Warning, "a service that takes whoever names it";
    NO_POLICY = "RF1105", Info, "an agent without a policy";
    IDLE_EXEMPTION = "RF1106", Info, "an exemption that nothing needs";
    SHARED_TREE = "RF1107", Warning, "a tree of files through which two workloads can talk";
    HOST_SOCKETS = "RF1108", Warning, "sockets of the host that no rule names";
    UNSEEN = "RF1109", Warning, "a service whose operations cannot be seen";
    NO_OWNER = "RF1201", Warning, "nobody answers for it";
    NO_REVIEW = "RF1202", Warning, "a policy without a review date";
    OVERDUE = "RF1203", Warning, "a review that is overdue";
    NO_TESTS = "RF1204", Info, "a policy that no test is about";
    NO_END = "RF1301", Warning, "learn or shadow without an end";
    MODE_ENDS = "RF1302", Warning, "learn or shadow that ends soon";
    MODE_ENDED = "RF1303", Warning, "learn or shadow that has ended";
    END_TOO_FAR = "RF1304", Warning, "learn or shadow that ends too late to hold today";
}

/// The code with this number, in any case.
pub fn code(id: &str) -> Option<&'static Code> {
    CODES
        .iter()
        .copied()
        .find(|code| code.id.eq_ignore_ascii_case(id))
}
