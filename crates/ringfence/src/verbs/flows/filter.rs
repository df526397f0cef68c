//! Which records are wanted, as the options say it, and what was probably meant where no record bears a name.

use std::collections::BTreeSet;
use std::mem::{Discriminant, discriminant};
use std::net::{IpAddr, SocketAddr};

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches};
use ringfence_model::suggest::nearest;
use ringfence_model::{FlowRecord, Outcome, RecordKind};

/// Names that are remembered of each sort, to tell what was probably meant.
const NAMES_MAX: usize = 1024;

const NOT: &str = "not";
const VERDICT: &str = "verdict";
const PROTOCOL: &str = "protocol";
const KIND: &str = "kind";

/// One filter option with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    From(String),
    To(String),
    Verdict(Outcome),
    Protocol(String),
    Kind(RecordKind),
}

impl Test {
    fn holds(&self, record: &FlowRecord) -> bool {
        match self {
            Self::From(name) => record.source == *name,
            Self::To(name) => {
                record.destination == *name
                    || record.original_destination == *name
                    || (record.original_destination.parse())
                        .is_ok_and(|address: SocketAddr| address.ip().to_string() == *name)
            }
            Self::Verdict(outcome) => record.outcome == *outcome,
            Self::Protocol(name) => record.protocol.eq_ignore_ascii_case(name),
            Self::Kind(kind) => record.kind == *kind,
        }
    }
}

/// The options that name a source and a destination.
#[derive(Clone, Copy, Debug)]
struct Ends {
    from: &'static str,
    to: &'static str,
}

/// Of `observe`.
const ROUTE: Ends = Ends {
    from: "from",
    to: "to",
};
/// Of verbs whose `--from` and `--to` are numbers of records.
const COLUMNS: Ends = Ends {
    from: "source",
    to: "destination",
};

/// All filters together. The same option twice means either; different options must all hold; what a negated one
/// matches is left out.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    ends: Ends,
    wanted: Vec<(Discriminant<Test>, Vec<Test>)>,
    unwanted: Vec<Test>,
}

impl Filters {
    /// Whether there are none.
    pub(crate) fn take_all(&self) -> bool {
        self.wanted.is_empty() && self.unwanted.is_empty()
    }

    /// Whether a record is wanted.
    pub(crate) fn take(&self, record: &FlowRecord) -> bool {
        let any = |tests: &[Test]| tests.iter().any(|test| test.holds(record));
        self.wanted.iter().all(|(_, tests)| any(tests)) && !any(&self.unwanted)
    }

    fn new(ends: Ends) -> Self {
        Self {
            ends,
            wanted: Vec::new(),
            unwanted: Vec::new(),
        }
    }

    fn add(&mut self, test: Test, negated: bool) {
        if negated {
            self.unwanted.push(test);
            return;
        }
        let sort = discriminant(&test);
        match self.wanted.iter_mut().find(|(known, _)| *known == sort) {
            Some((_, tests)) => tests.push(test),
            None => self.wanted.push((sort, vec![test])),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Test> {
        let wanted = self.wanted.iter().flat_map(|(_, tests)| tests);
        wanted.chain(&self.unwanted)
    }

    /// The options. Written by hand, for what the derive cannot say: the order of `--not` and those behind it.
    fn options(ends: Ends, command: Command) -> Command {
        let filter = |name: &'static str, value: &'static str, help: &'static str| {
            Arg::new(name)
                .long(name)
                .value_name(value)
                .help(help)
                .action(ArgAction::Append)
                .help_heading("Filters")
        };
        let outcomes = [
            Outcome::Allow,
            Outcome::Deny,
            Outcome::WouldDeny,
            Outcome::Error,
        ];
        let kinds = [
            RecordKind::Connection,
            RecordKind::Operation,
            RecordKind::Close,
            RecordKind::Wall,
            RecordKind::Event,
            RecordKind::Void,
        ];
        command
            .arg(filter(
                ends.from,
                "NAME",
                "Only records whose source is the workload NAME",
            ))
            .arg(filter(
                ends.to,
                "NAME",
                "Only records whose destination is the workload NAME, or an address someone tried",
            ))
            .arg(
                filter(VERDICT, "OUTCOME", "Only records with this outcome")
                    .value_parser(PossibleValuesParser::new(outcomes.map(Outcome::as_str))),
            )
            .arg(filter(
                PROTOCOL,
                "NAME",
                "Only records of this protocol: http, http2, grpc, tls, tcp, udp, dns, or what a wall saw (icmp, system call)",
            ))
            .arg(
                filter(KIND, "KIND", "Only records of this kind")
                    .value_parser(PossibleValuesParser::new(kinds.map(RecordKind::as_str))),
            )
            .arg(
                Arg::new(NOT)
                    .long(NOT)
                    .num_args(0)
                    .default_missing_value("")
                    .action(ArgAction::Append)
                    .help(format!(
                        "Leave out what the filter behind it matches: --not --{} assistant",
                        ends.from
                    ))
                    .help_heading("Filters"),
            )
    }

    fn given(ends: Ends, matches: &ArgMatches) -> Result<Self, Error> {
        let mut given: Vec<(usize, Option<Test>)> = Vec::new();
        given.extend((matches.indices_of(NOT).into_iter().flatten()).map(|index| (index, None)));
        for name in [ends.from, ends.to, VERDICT, PROTOCOL, KIND] {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<String>(name).into_iter().flatten();
            for (index, value) in indices.zip(values) {
                let test = match name {
                    name if name == ends.from => Some(Test::From(value.clone())),
                    name if name == ends.to => Some(Test::To(value.clone())),
                    VERDICT => Outcome::from_word(value).map(Test::Verdict),
                    PROTOCOL => Some(Test::Protocol(value.clone())),
                    _ => RecordKind::from_word(value).map(Test::Kind),
                };
                let unknown = || Error::raw(ErrorKind::InvalidValue, format!("--{name} {value}\n"));
                given.push((index, Some(test.ok_or_else(unknown)?)));
            }
        }
        given.sort_by_key(|(index, _)| *index);

        let dangling = || {
            Error::raw(
                ErrorKind::MissingRequiredArgument,
                format!(
                    "--not leaves out what the filter behind it matches, and there is none; write --not --{} NAME\n",
                    ends.from
                ),
            )
        };
        let mut filters = Self::new(ends);
        let mut negated = false;
        for (_, test) in given {
            match test {
                None if negated => return Err(dangling()),
                None => negated = true,
                Some(test) => filters.add(test, std::mem::take(&mut negated)),
            }
        }
        if negated {
            return Err(dangling());
        }
        Ok(filters)
    }
}

impl clap::Args for Filters {
    fn augment_args(command: Command) -> Command {
        Self::options(ROUTE, command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::given(ROUTE, matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The same filters, where `--source` and `--destination` name the ends.
#[derive(Clone, Debug)]
pub(crate) struct ColumnFilters(pub(crate) Filters);

impl clap::Args for ColumnFilters {
    fn augment_args(command: Command) -> Command {
        Filters::options(COLUMNS, command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ColumnFilters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Filters::given(COLUMNS, matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The names that records bear, as far as they are looked for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    sources: BTreeSet<String>,
    destinations: BTreeSet<String>,
    protocols: BTreeSet<String>,
}

impl Names {
    /// Remembers what a record says.
    pub(crate) fn note(&mut self, record: &FlowRecord) {
        for (names, name) in [
            (&mut self.sources, &record.source),
            (&mut self.destinations, &record.destination),
            (&mut self.protocols, &record.protocol),
        ] {
            if !name.is_empty() && names.len() < NAMES_MAX && !names.contains(name) {
                names.insert(name.clone());
            }
        }
    }

    /// For each filter by a name that no record bears, and that is near one: what was probably meant.
    pub(crate) fn slips(&self, filters: &Filters) -> Vec<String> {
        let mut slips = Vec::new();
        for test in filters.all() {
            let (option, names, name) = match test {
                Test::From(name) => (filters.ends.from, &self.sources, name),
                Test::To(name) if is_address(name) => continue,
                Test::To(name) => (filters.ends.to, &self.destinations, name),
                Test::Protocol(name) => (PROTOCOL, &self.protocols, name),
                Test::Verdict(_) | Test::Kind(_) => continue,
            };
            if names.iter().any(|known| known.eq_ignore_ascii_case(name)) && option == PROTOCOL
                || names.contains(name)
            {
                continue;
            }
            if let Some(meant) = nearest(name, names.iter().map(String::as_str)) {
                slips.push(format!(
                    "no record is --{option} {name}; did you mean {meant}?"
                ));
            }
        }
        slips
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}
