//! What the flow log of a busy node holds: fifty agents, twenty services, connections with their requests, names that are
//! resolved, denials, and denials that are folded.

use ringfence_model::flow::{Flow, Kind, Outcome, Side};

const AGENTS: usize = 50;
const SERVICES: usize = 20;
/// Connections that are open at a time.
const OPEN: usize = 300;
/// Mean time between two records: some 4,000 a second.
const BETWEEN_NS: u64 = 250_000;

/// Chance that is the same each time (SplitMix64).
pub(crate) struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Waiting times, sizes and durations are short often and long sometimes.
    fn spread(&mut self, mean: u64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - uniform).ln() * mean as f64) as u64
    }
}

/// What each request of a service may be; `{}` is filled in.
const OPERATIONS: &[&[&str]] = &[
    &[
        "GET /customers/{}",
        "PATCH /customers/{}/notes",
        "GET /customers/{}/orders",
        "GET /search",
    ],
    &[
        "POST /v1/chat/completions",
        "POST /v1/embeddings",
        "GET /v1/models",
    ],
    &[
        "GET /orders/{}",
        "POST /orders",
        "GET /orders/{}/lines",
        "DELETE /orders/{}",
    ],
    &["POST /tickets", "GET /tickets/{}", "PUT /tickets/{}/state"],
    &["GET /articles/{}", "GET /health", "POST /events"],
];

struct Connection {
    id: String,
    agent: usize,
    service: usize,
    opened_ns: u64,
    requests: u64,
    sent: u64,
    received: u64,
}

/// Records without end.
pub(crate) struct Traffic {
    chance: Chance,
    time_ns: u64,
    boot: u64,
    connections: u64,
    open: Vec<Connection>,
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            chance: Chance(20_260_101),
            time_ns: 1_790_000_000_000_000_000,
            boot: 0x5f3a_91c2_77d0_18e4,
            connections: 0,
            open: Vec::new(),
        }
    }

    fn of(&self, kind: Kind, agent: usize, service: Option<usize>) -> Flow {
        let port = service.map_or(443, |service| 8000 + service);
        Flow {
            schema: 1,
            time_ns: self.time_ns,
            node: "node-a.example".into(),
            side: Side::Both.into(),
            kind: kind.into(),
            count: 1,
            source: format!("agent-{agent:02}"),
            source_instance: format!("agent-{agent:02}-{:06x}", agent * 7919 + 71),
            destination: service
                .map(|service| format!("service-{service:02}"))
                .unwrap_or_default(),
            destination_instance: service
                .map(|service| format!("service-{service:02}-{:06x}", service * 104_729))
                .unwrap_or_default(),
            original_destination: format!(
                "100.64.{}.{}:{port}",
                service.unwrap_or(99) / 8,
                10 + service.unwrap_or(0)
            ),
            protocol: "http".into(),
            operation: "connect".into(),
            outcome: Outcome::Allow.into(),
            generation: 17 + self.time_ns / 3_600_000_000_000 % 3,
            mode: "enforce".into(),
            purpose: format!("purpose of agent {agent}, in a few words"),
            ..Flow::default()
        }
    }

    fn rule(agent: usize, line: usize) -> String {
        format!("policies/agent-{agent:02}.yaml:{}", 9 + 2 * line)
    }

    fn resolve(&mut self, agent: usize, service: usize) -> Flow {
        let kind = ["A", "AAAA"][self.chance.below(2) as usize];
        Flow {
            protocol: "dns".into(),
            operation: format!("resolve {kind} service-{service:02}"),
            original_destination: "100.64.0.1:53".into(),
            destination_instance: String::new(),
            reason: "it may be reached".into(),
            ..self.of(Kind::Operation, agent, Some(service))
        }
    }

    fn denied(&mut self, agent: usize) -> Flow {
        let service = self.chance.below(SERVICES as u64) as usize;
        let folded = self.chance.below(10) == 0;
        let count = if folded {
            1 + self.chance.below(900)
        } else {
            1
        };
        let denied = |flow| Flow {
            outcome: Outcome::Deny.into(),
            destination_instance: String::new(),
            count,
            ..flow
        };
        match self.chance.below(4) {
            0 => denied(Flow {
                operation: "socket AF_PACKET".into(),
                protocol: "system call".into(),
                original_destination: String::new(),
                reason: "no workload may call this".into(),
                generation: 0,
                mode: String::new(),
                ..self.of(Kind::Wall, agent, None)
            }),
            1 => denied(Flow {
                original_destination: format!(
                    "10.{}.{}.7:443",
                    self.chance.below(4),
                    self.chance.below(250)
                ),
                reason: "the address belongs to no workload".into(),
                protocol: "tcp".into(),
                ..self.of(Kind::Connection, agent, None)
            }),
            2 => denied(Flow {
                reason: format!(
                    "no rule of policy agent-{agent:02} names service service-{service:02}"
                ),
                ..self.of(Kind::Connection, agent, Some(service))
            }),
            _ => denied(Flow {
                operation: format!("DELETE /customers/{}", self.chance.below(20_000)),
                reason: format!(
                    "no rule of policy agent-{agent:02} for service-{service:02} has this operation; the nearest is {}, \
                     which has another method",
                    Self::rule(agent, 3)
                ),
                ..self.of(Kind::Operation, agent, Some(service))
            }),
        }
    }

    fn connect(&mut self) -> Flow {
        let agent = self.chance.below(AGENTS as u64) as usize;
        // Each agent may reach five, and likes the first best.
        let service = (agent * 3 + self.chance.spread(1).min(4) as usize * 7) % SERVICES;
        if self.chance.below(3) == 0 {
            return self.resolve(agent, service);
        }
        if self.chance.below(12) == 0 {
            return self.denied(agent);
        }
        let id = format!("{:016x}-{}", self.boot, self.connections);
        self.connections += 1;
        let requests = 1 + self.chance.spread(6);
        let connection = Connection {
            id: id.clone(),
            agent,
            service,
            opened_ns: self.time_ns,
            requests,
            sent: 0,
            received: 0,
        };
        self.open.push(connection);
        Flow {
            connection: id,
            reason: "allowed by both ends".into(),
            rule: Self::rule(agent, service % 5),
            ..self.of(Kind::Connection, agent, Some(service))
        }
    }
}

impl Iterator for Traffic {
    type Item = Flow;

    fn next(&mut self) -> Option<Flow> {
        self.time_ns += 20_000 + self.chance.spread(BETWEEN_NS);
        if self.open.len() < OPEN || self.chance.below(8) == 0 {
            return Some(self.connect());
        }
        let at = self.chance.below(self.open.len() as u64) as usize;
        if self.open[at].requests == 0 {
            let ended = self.open.swap_remove(at);
            return Some(Flow {
                connection: ended.id,
                reason: "closed by the client".into(),
                bytes_sent: ended.sent,
                bytes_received: ended.received,
                duration_ns: self.time_ns - ended.opened_ns,
                ..self.of(Kind::Close, ended.agent, Some(ended.service))
            });
        }
        let operations = OPERATIONS[self.open[at].service % OPERATIONS.len()];
        let template = operations[self.chance.spread(1).min(operations.len() as u64 - 1) as usize];
        let operation = template.replace("{}", &(10_000 + self.chance.spread(4_000)).to_string());
        let (sent, received) = (
            180 + self.chance.spread(600),
            400 + self.chance.spread(6_000),
        );
        let connection = &mut self.open[at];
        connection.requests -= 1;
        connection.sent += sent;
        connection.received += received;
        let (id, agent, service) = (connection.id.clone(), connection.agent, connection.service);
        Some(Flow {
            connection: id,
            operation,
            reason: "allowed by both ends".into(),
            rule: Self::rule(agent, service % 5),
            ..self.of(Kind::Operation, agent, Some(service))
        })
    }
}
