//! What a picture shows: who, in which column, and who may do something to whom.

use std::collections::{BTreeMap, HashMap, HashSet};

use ringfence_model::Kind;
use ringfence_policy::{Edge, Reached, Snapshot, Web, WorkloadIx};

/// Everything that is drawn.
pub(super) struct Picture {
    /// Who was taken over; `None`: the whole estate is shown.
    pub(super) from: Option<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    /// Workloads that are not drawn: out of reach, or in touch with nobody. Sorted.
    pub(super) apart: Vec<(Kind, String)>,
}

/// A workload.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Hops from the one that was taken over; in a whole estate, from those whom nobody calls.
    pub(super) column: usize,
    /// An operation by which it is reached, or how many it reaches.
    pub(super) line: String,
    /// Only ways with a condition lead to it.
    pub(super) conditional: bool,
    /// In full, for whoever points at it.
    pub(super) tip: String,
}

/// Somebody may do something to somebody.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// On a shortest way. In a whole estate each is.
    pub(super) main: bool,
    pub(super) style: Style,
    pub(super) label: String,
    pub(super) tip: String,
}

/// On what it depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Condition,
    /// A mode lets it pass.
    Soft,
}

impl Picture {
    pub(super) fn of(
        snapshot: &Snapshot,
        web: &mut Web<'_>,
        from: Option<WorkloadIx>,
        hops: Option<u32>,
    ) -> Self {
        match from {
            Some(from) => Self::spread(snapshot, web, from, hops),
            None => Self::estate(snapshot, web),
        }
    }

    fn spread(snapshot: &Snapshot, web: &mut Web<'_>, from: WorkloadIx, hops: Option<u32>) -> Self {
        let reached = web.spread(from, hops);
        let origin = &snapshot.workload(from).id;
        let mut nodes = vec![Node {
            name: origin.name.to_string(),
            kind: origin.kind,
            column: 0,
            line: "taken over".to_owned(),
            conditional: false,
            tip: format!("{origin}, taken over"),
        }];
        let mut main: HashSet<(String, String)> = HashSet::new();
        let mut indices = vec![from];
        for it in &reached {
            let steps = steps(web, &it.path);
            for step in &steps {
                main.insert((step.from.name.to_string(), step.to.name.to_string()));
            }
            indices.extend(it.path.last());
            nodes.push(Node {
                name: it.to.name.to_string(),
                kind: it.to.kind,
                column: it.hops as usize,
                line: steps.last().map_or_else(String::new, shown),
                conditional: it.plain_hops.is_none(),
                tip: tip(it, &steps),
            });
        }
        let is_main =
            |edge: &Edge| main.contains(&(edge.from.name.to_string(), edge.to.name.to_string()));
        // Beyond the last hop that is asked for, nothing is followed.
        let last = hops.map_or(usize::MAX, |hops| hops as usize);
        let starts = indices
            .iter()
            .zip(&nodes)
            .filter(|(_, node)| node.column < last)
            .map(|(ix, _)| *ix)
            .collect();
        let links = links(web, starts, &nodes, is_main);
        let apart = apart(snapshot, &nodes);
        Self {
            from: Some(origin.name.to_string()),
            nodes,
            links,
            apart,
        }
    }

    fn estate(snapshot: &Snapshot, web: &mut Web<'_>) -> Self {
        let indices: Vec<WorkloadIx> = snapshot.workloads().collect();
        let mut next: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut called: BTreeMap<String, usize> = BTreeMap::new();
        for &ix in &indices {
            let name = snapshot.workload(ix).id.name.to_string();
            let to: Vec<String> = web
                .edges_of(ix)
                .iter()
                .map(|edge| edge.to.name.to_string())
                .collect();
            for to in &to {
                *called.entry(to.clone()).or_default() += 1;
            }
            next.insert(name, to);
        }
        let columns = columns(&next, &called);
        let mut nodes = Vec::new();
        for &ix in &indices {
            let id = &snapshot.workload(ix).id;
            let Some(&column) = columns.get(id.name.as_str()) else {
                continue;
            };
            let all = web.radius(ix, None).map_or(0, |radius| radius.all);
            let line = match all {
                0 => "reaches nobody".to_owned(),
                all => format!("reaches {all}"),
            };
            nodes.push(Node {
                name: id.name.to_string(),
                kind: id.kind,
                column,
                tip: format!("{id} {line}"),
                line,
                conditional: false,
            });
        }
        let links = links(web, indices, &nodes, |_| true);
        let apart = apart(snapshot, &nodes);
        Self {
            from: None,
            nodes,
            links,
            apart,
        }
    }
}

/// Callers left of whom they call, as far as there are no rings, and close to them. Who calls nobody and is called by nobody has
/// no column.
fn columns(
    next: &BTreeMap<String, Vec<String>>,
    called: &BTreeMap<String, usize>,
) -> BTreeMap<String, usize> {
    // After all whom one calls comes itself, but for those who are on the way to it already.
    let mut ordered: Vec<&String> = Vec::new();
    let mut begun: HashSet<&String> = HashSet::new();
    for start in next.keys() {
        let mut way: Vec<(&String, usize)> = Vec::new();
        if begun.insert(start) {
            way.push((start, 0));
        }
        while let Some((name, at)) = way.last_mut() {
            let name = *name;
            match next[name].get(*at) {
                Some(to) => {
                    *at += 1;
                    if begun.insert(to) {
                        way.push((to, 0));
                    }
                }
                None => {
                    ordered.push(name);
                    way.pop();
                }
            }
        }
    }
    let mut columns: BTreeMap<String, usize> = BTreeMap::new();
    let mut passed: HashSet<&String> = HashSet::new();
    for name in ordered.iter().rev() {
        let own = *columns.entry((*name).clone()).or_insert(0);
        passed.insert(name);
        for to in next[*name].iter().filter(|to| !passed.contains(to)) {
            let column = columns.entry(to.clone()).or_insert(0);
            *column = (*column).max(own + 1);
        }
    }
    // Those whom nobody calls stand beside the nearest whom they call.
    for name in next.keys().filter(|name| !called.contains_key(*name)) {
        let nearest = next[name].iter().filter_map(|to| columns.get(to)).min();
        if let Some(&nearest) = nearest {
            columns.insert(name.clone(), nearest.saturating_sub(1));
        }
    }
    columns.retain(|name, _| !next[name].is_empty() || called.contains_key(name));
    let first = columns.values().min().copied().unwrap_or(0);
    columns.values_mut().for_each(|column| *column -= first);
    columns
}

fn links(
    web: &mut Web<'_>,
    starts: Vec<WorkloadIx>,
    nodes: &[Node],
    is_main: impl Fn(&Edge) -> bool,
) -> Vec<Link> {
    let places: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| (node.name.as_str(), index))
        .collect();
    let mut links = Vec::new();
    for start in starts {
        for edge in web.edges_of(start) {
            let ends = places
                .get(edge.from.name.as_str())
                .zip(places.get(edge.to.name.as_str()));
            let Some((&from, &to)) = ends else {
                continue;
            };
            let style = match (edge.depends.mode, edge.is_plain()) {
                (Some(_), _) => Style::Soft,
                (None, true) => Style::Plain,
                (None, false) => Style::Condition,
            };
            let marks = super::marks(std::slice::from_ref(edge));
            let mut tip = format!(
                "{} → {} : {}",
                edge.from.name,
                edge.to.name,
                edge.operations.join(", ")
            );
            if !marks.is_empty() {
                tip += &format!(" ({marks})");
            }
            links.push(Link {
                from,
                to,
                main: is_main(edge),
                style,
                label: shown(edge),
                tip,
            });
        }
    }
    links
}

fn apart(snapshot: &Snapshot, nodes: &[Node]) -> Vec<(Kind, String)> {
    let drawn: HashSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let ids = snapshot.workloads().map(|ix| &snapshot.workload(ix).id);
    ids.filter(|id| !drawn.contains(id.name.as_str()))
        .map(|id| (id.kind, id.name.to_string()))
        .collect()
}

/// The edges of a way.
pub(super) fn steps(web: &mut Web<'_>, path: &[WorkloadIx]) -> Vec<Edge> {
    let pairs = path.iter().zip(path.iter().skip(1));
    pairs
        .filter_map(|(&from, &to)| web.edge(from, to).cloned())
        .collect()
}

fn shown(edge: &Edge) -> String {
    let one = edge.operations.first().cloned();
    let mut text = one.unwrap_or_else(|| "perhaps something".to_owned());
    if edge.operations.len() > 1 {
        text += &format!(" +{}", edge.operations.len() - 1);
    }
    text
}

fn tip(reached: &Reached, steps: &[Edge]) -> String {
    let way: Vec<String> = steps.iter().map(super::hop).collect();
    let mut tip = format!("{}: {}", reached.to, way.join(" → "));
    let marks = super::marks(steps);
    if !marks.is_empty() {
        tip += &format!(" ({marks})");
    }
    tip
}
