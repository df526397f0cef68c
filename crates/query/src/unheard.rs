//! Parts of a question that the engine would pass over: the answer would be to another one.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Query, Select, Statement as Sql, TableFactor, Visit as _, Visitor,
};

/// What the engine reads and does not do, in the words that stand in the question.
pub(crate) fn unheard(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Statement(sql) => of(sql),
        Statement::Explain(explain) => unheard(&explain.statement),
        // None of them is a question.
        _ => None,
    }
}

fn of(sql: &Sql) -> Option<&'static str> {
    sql.visit(&mut Finder).break_value()
}

struct Finder;

impl Visitor for Finder {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<&'static str> {
        first(&[
            (!query.locks.is_empty(), "FOR UPDATE"),
            (query.for_clause.is_some(), "FOR XML, JSON or BROWSE"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
        ])
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<&'static str> {
        first(&[
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
        ])
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<&'static str> {
        match factor {
            TableFactor::Table {
                sample,
                with_hints,
                partitions,
                index_hints,
                ..
            } => first(&[
                (sample.is_some(), "TABLESAMPLE"),
                (!with_hints.is_empty(), "WITH (…)"),
                (!partitions.is_empty(), "PARTITION"),
                (!index_hints.is_empty(), "USE INDEX"),
            ]),
            TableFactor::Derived { sample, .. } => first(&[(sample.is_some(), "TABLESAMPLE")]),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn first(found: &[(bool, &'static str)]) -> ControlFlow<&'static str> {
    match found.iter().find(|(there, _)| *there) {
        Some((_, words)) => ControlFlow::Break(words),
        None => ControlFlow::Continue(()),
    }
}
