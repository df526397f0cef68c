//! An estate of any size, as the text that people would write.

use ringfence_model::{Diagnostics, Estate, load};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) agents: usize,
    /// Services that each agent names.
    pub(crate) rules: usize,
    /// Operations of each of them.
    pub(crate) operations: usize,
}

/// Documents of one file: each file is read by itself, and bounded.
const AGENTS_PER_FILE: usize = 100;

/// What agents may do is told apart by this word, which no two of their operations share.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "PATCH"];

impl Size {
    /// A tenth as many services as agents, and enough for all rules of one agent.
    pub(crate) fn services(self) -> usize {
        (self.agents / 10).max(self.rules)
    }

    /// Which service the rule of an agent names.
    pub(crate) fn service(self, agent: usize, rule: usize) -> usize {
        // Any stride that has no factor in common with small counts: the rules of one agent name different services.
        (agent * 7 + rule * (self.services() / self.rules)) % self.services()
    }

    /// The loaded estate; `when`: the condition of every operation.
    pub(crate) fn load(self, when: Option<&str>) -> Result<Estate, Diagnostics> {
        let mut files = vec![(0..self.services()).map(service).collect::<String>()];
        files.extend((0..self.agents).step_by(AGENTS_PER_FILE).map(|first| {
            (first..self.agents.min(first + AGENTS_PER_FILE))
                .map(|agent| self.agent(agent, when))
                .collect()
        }));
        let names: Vec<_> = (0..files.len()).map(|n| format!("{n:04}.yaml")).collect();
        let sources: Vec<_> = names
            .iter()
            .zip(&files)
            .map(|(name, text)| (name.as_str(), text.trim_start_matches("---\n").as_bytes()))
            .collect();
        load::documents(&sources)
    }

    fn agent(self, agent: usize, when: Option<&str>) -> String {
        let rules: String = (0..self.rules)
            .map(|rule| {
                let operations: Vec<_> = (0..self.operations)
                    .map(|operation| match when {
                        None => format!("'{}'", pattern(operation)),
                        Some(when) => {
                            format!("{{allow: '{}', when: \"{when}\"}}", pattern(operation))
                        }
                    })
                    .collect();
                format!(
                    "    - {{service: s{}, operations: [{}]}}\n",
                    self.service(agent, rule),
                    operations.join(", ")
                )
            })
            .collect();
        format!(
            "---\napiVersion: {version}\nkind: Agent\nmetadata: {{name: a{agent}}}\n\
             ---\napiVersion: {version}\nkind: Policy\nmetadata: {{name: a{agent}}}\n\
             spec:\n  agent: a{agent}\n  initiate:\n{rules}",
            version = load::API_VERSION
        )
    }
}

fn service(service: usize) -> String {
    format!(
        "---\napiVersion: {}\nkind: Service\nmetadata: {{name: s{service}}}\nspec: {{protocol: http, port: 80}}\n",
        load::API_VERSION
    )
}

/// The operation of a rule, as a policy says it.
fn pattern(operation: usize) -> String {
    let method = METHODS[operation % METHODS.len()];
    match operation % 3 {
        0 => format!("{method} /v1/things-{operation}/*"),
        1 => format!("{method} /v1/things-{operation}/*/notes"),
        _ => format!("{method} /v1/things-{operation}/**"),
    }
}

/// One that the pattern has, or, not `allowed`, one that no pattern has.
pub(crate) fn concrete(operation: usize, id: usize, allowed: bool) -> (&'static str, String) {
    let method = METHODS[operation % METHODS.len()];
    let tail = match (allowed, operation % 3) {
        (true, 0) => format!("{id}"),
        (true, 1) => format!("{id}/notes"),
        (true, _) => format!("{id}/deep/down"),
        (false, _) => return (method, format!("/v1/things-{operation}x/{id}")),
    };
    (method, format!("/v1/things-{operation}/{tail}"))
}
