//! Guardrails, in the ways in which receivers read operations.

use ringfence_model::operation::Pattern;
use ringfence_model::resource::Selector;
use ringfence_model::{Estate, Position};

use super::Compiler;
use crate::guardrail::{self, Dialect, Guardrail, Members};

impl Compiler<'_> {
    pub(super) fn add_guardrails(&mut self, estate: &Estate) {
        // One list for each way in which some receiver reads operations.
        let mut dialects: Vec<Dialect> = Vec::new();
        for workload in &self.snapshot.workloads {
            if let Some((protocol, _)) = workload.serves
                && !dialects.contains(&(protocol, workload.path_allowances))
            {
                dialects.push((protocol, workload.path_allowances));
            }
        }
        for guardrail in &estate.guardrails {
            let when = match &guardrail.when {
                // Receivers may speak anything, so nothing is known to be missing.
                Some(when) => match self.condition(when, None, &Pattern::Connect) {
                    Some(condition) => Some(condition),
                    None => continue,
                },
                None => None,
            };
            let (from, to) = (
                self.members(&guardrail.from, &guardrail.at),
                self.members(&guardrail.to, &guardrail.at),
            );
            let forbids = guardrail.forbids;
            let lists = dialects
                .iter()
                .map(|&(protocol, allowances)| {
                    // What cannot be said in a dialect cannot be done there either.
                    let patterns: Vec<Pattern> = guardrail
                        .operations
                        .iter()
                        .filter_map(|it| Pattern::parse(&it.text, protocol, allowances).ok())
                        .flat_map(|pattern| guardrail::readings(pattern, forbids))
                        .collect();
                    let root = self.snapshot.tries.add(&patterns);
                    self.patterns.insert(root, patterns);
                    ((protocol, allowances), root)
                })
                .collect();
            self.snapshot.guardrails.push(Guardrail {
                name: guardrail.name.clone(),
                why: guardrail.reason.as_str().into(),
                at: guardrail.at.clone(),
                from,
                to,
                forbids: guardrail.forbids,
                texts: guardrail
                    .operations
                    .iter()
                    .map(|it| it.text.as_str().into())
                    .collect(),
                lists,
                when,
            });
        }
    }

    fn members(&mut self, selector: &Selector, at: &Position) -> Members {
        let Selector::Names(names) = selector else {
            return Members::All;
        };
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            match self.snapshot.by_name.get(name) {
                Some(&index) => members.push(index),
                None => self.error(
                    at,
                    format!("{name} does not exist"),
                    "name an agent or a service of this zone",
                ),
            }
        }
        members.sort_unstable();
        Members::These(members)
    }
}
