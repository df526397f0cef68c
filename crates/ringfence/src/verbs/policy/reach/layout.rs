//! Where everything stands: columns from left to right, rows in each so that few links cross. The same picture always lies the
//! same way.

use super::picture::{Link, Picture};

/// Height of a box, and from one row to the next.
pub(super) const BOX_HEIGHT: f64 = 44.0;
const ROW: f64 = 58.0;
/// Between the boxes of two columns.
const GAP: f64 = 120.0;
/// Left of the first column, and above the first row.
pub(super) const MARGIN: f64 = 32.0;
pub(super) const TOP: f64 = 128.0;
/// Most rows of one column; a fuller one goes on in another beside it.
const ROWS_IN_COLUMN: usize = 18;
/// Widths of characters (monospace, 13 and 11 pixels), and of what stands beside them in a box.
pub(super) const NAME_WIDTH: f64 = 7.85;
pub(super) const LINE_WIDTH: f64 = 6.65;
const BESIDE: f64 = 52.0;
/// Most characters of a name and of the line below it.
pub(super) const NAME_SHOWN: usize = 36;
pub(super) const LINE_SHOWN: usize = 42;
/// How often rows are put in order again by where their neighbours are.
const SWEEPS: usize = 8;

/// Where one box stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

impl Place {
    pub(super) fn middle(&self) -> f64 {
        self.y + BOX_HEIGHT / 2.0
    }

    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }
}

/// The way of one link: from the side of one box to the side of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Route {
    pub(super) start: (f64, f64),
    pub(super) end: (f64, f64),
    /// How far the curve leaves each box sideways: to the right is positive.
    pub(super) leave: f64,
    pub(super) enter: f64,
}

/// All of it.
pub(super) struct Layout {
    /// In the order of nodes.
    pub(super) places: Vec<Place>,
    /// In the order of links.
    pub(super) routes: Vec<Route>,
    /// The hops of each column, and where it begins; not for its continuations.
    pub(super) headings: Vec<(usize, f64)>,
    pub(super) width: f64,
    /// Down to the last box.
    pub(super) bottom: f64,
}

/// Lays a picture out.
pub(super) fn of(picture: &Picture) -> Layout {
    let columns = ordered(picture);
    let mut places = vec![
        Place {
            x: 0.0,
            y: 0.0,
            width: 0.0
        };
        picture.nodes.len()
    ];
    let mut headings = Vec::new();
    let mut left = MARGIN;
    let pieces: Vec<(usize, usize, &[usize])> = columns
        .iter()
        .enumerate()
        .flat_map(|(column, nodes)| {
            let pieces = nodes.len().div_ceil(ROWS_IN_COLUMN).max(1);
            let rows = nodes.len().div_ceil(pieces).max(1);
            nodes
                .chunks(rows)
                .enumerate()
                .map(move |(piece, nodes)| (column, piece, nodes))
        })
        .collect();
    let tallest = pieces.iter().map(|(_, _, it)| it.len()).max().unwrap_or(1);
    for (column, piece, nodes) in pieces {
        if piece == 0 {
            headings.push((column, left));
        }
        let width = nodes.iter().map(|&node| width(picture, node));
        let width = width.fold(150.0, f64::max);
        let above = (tallest - nodes.len()) as f64 * ROW / 2.0;
        for (row, &node) in nodes.iter().enumerate() {
            places[node] = Place {
                x: left,
                y: TOP + above + row as f64 * ROW,
                width,
            };
        }
        left += width + GAP;
    }
    let routes = routes(picture, &places);
    Layout {
        routes,
        headings,
        width: left - GAP + MARGIN,
        bottom: TOP + tallest as f64 * ROW - (ROW - BOX_HEIGHT),
        places,
    }
}

fn width(picture: &Picture, node: usize) -> f64 {
    let node = &picture.nodes[node];
    let name = node.name.chars().count().min(NAME_SHOWN) as f64 * NAME_WIDTH;
    let line = node.line.chars().count().min(LINE_SHOWN) as f64 * LINE_WIDTH;
    name.max(line) + BESIDE
}

/// Nodes by column, each where its neighbours are on average.
fn ordered(picture: &Picture) -> Vec<Vec<usize>> {
    let count = picture.nodes.iter().map(|node| node.column + 1).max();
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); count.unwrap_or(0)];
    for (index, node) in picture.nodes.iter().enumerate() {
        columns[node.column].push(index);
    }
    for column in &mut columns {
        column.sort_by(|&a, &b| picture.nodes[a].name.cmp(&picture.nodes[b].name));
    }
    // Links beside the shortest ways do not pull: they are drawn faintly.
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
    for link in picture.links.iter().filter(|link| link.main) {
        neighbours[link.from].push(link.to);
        neighbours[link.to].push(link.from);
    }
    let mut rank = vec![0.0; picture.nodes.len()];
    let place = |column: &[usize], rank: &mut Vec<f64>| {
        let middle = (column.len() as f64 - 1.0) / 2.0;
        for (row, &node) in column.iter().enumerate() {
            rank[node] = row as f64 - middle;
        }
    };
    columns.iter().for_each(|column| place(column, &mut rank));
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let count = columns.len();
        for step in 0..count {
            let at = if forward { step } else { count - 1 - step };
            let pull = |node: usize| {
                let near = neighbours[node].iter().filter(|&&it| {
                    let column = picture.nodes[it].column;
                    if forward { column < at } else { column > at }
                });
                let (sum, many) =
                    near.fold((0.0, 0.0), |(sum, many), &it| (sum + rank[it], many + 1.0));
                if many > 0.0 { sum / many } else { rank[node] }
            };
            let mut pulled: Vec<(f64, usize)> =
                columns[at].iter().map(|&node| (pull(node), node)).collect();
            // Those that are pulled alike stay as they were.
            pulled.sort_by(|a, b| a.0.total_cmp(&b.0));
            columns[at] = pulled.into_iter().map(|(_, node)| node).collect();
            place(&columns[at], &mut rank);
        }
    }
    columns
}

/// Links leave and enter their boxes one below the other, in the order of where they go, so that they do not lie on each
/// other.
fn routes(picture: &Picture, places: &[Place]) -> Vec<Route> {
    let forward = |link: &Link| places[link.to].x > places[link.from].x;
    let beside = |link: &Link| (places[link.to].x - places[link.from].x).abs() < 1.0;
    // Which side of a box a link uses: the right one, but for the end of one that goes on and the start of one that goes back.
    let starts_right = |link: &Link| forward(link) || beside(link);
    let mut routes = vec![
        Route {
            start: (0.0, 0.0),
            end: (0.0, 0.0),
            leave: 0.0,
            enter: 0.0
        };
        picture.links.len()
    ];
    for (node, place) in places.iter().enumerate() {
        for right in [true, false] {
            let mut ports: Vec<(f64, usize, bool)> = Vec::new();
            for (index, link) in picture.links.iter().enumerate() {
                if link.from == node && starts_right(link) == right {
                    ports.push((places[link.to].y, index, true));
                }
                if link.to == node && forward(link) != right {
                    ports.push((places[link.from].y, index, false));
                }
            }
            ports.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let step = (BOX_HEIGHT - 16.0) / ports.len().max(1) as f64;
            for (row, &(_, index, start)) in ports.iter().enumerate() {
                let offset = (row as f64 + 0.5) * step - (BOX_HEIGHT - 16.0) / 2.0;
                let x = if right { place.right() } else { place.x };
                let point = (x, place.middle() + offset);
                let sideways = if right { 1.0 } else { -1.0 };
                if start {
                    routes[index].start = point;
                    routes[index].leave = sideways;
                } else {
                    routes[index].end = point;
                    routes[index].enter = sideways;
                }
            }
        }
    }
    for (route, link) in routes.iter_mut().zip(&picture.links) {
        let far = (route.end.0 - route.start.0).abs();
        let reach = if beside(link) {
            GAP * 0.35
        } else {
            (far * 0.5).clamp(GAP * 0.4, GAP)
        };
        route.leave *= reach;
        route.enter *= reach;
    }
    routes
}

#[cfg(test)]
mod tests {
    use ringfence_model::Kind;

    use super::super::picture::{Node, Style};
    use super::*;

    fn picture(count: usize, columns: usize) -> Picture {
        let nodes = (0..count).map(|index| Node {
            name: format!("workload-{index}"),
            kind: if index % 2 == 0 {
                Kind::Agent
            } else {
                Kind::Service
            },
            column: index % columns,
            line: "x".repeat(index * 7 % 90),
            conditional: false,
            tip: String::new(),
        });
        let links = (0..count * 3).map(|index| Link {
            from: index % count,
            to: (index * 7 + 1) % count,
            main: index % 2 == 0,
            style: Style::Plain,
            label: String::new(),
            tip: String::new(),
        });
        Picture {
            from: None,
            nodes: nodes.collect(),
            links: links.collect(),
            apart: Vec::new(),
        }
    }

    #[test]
    fn no_two_boxes_touch_and_all_lie_within() {
        for (count, columns) in [(1, 1), (2, 1), (9, 3), (60, 1), (60, 4), (120, 7)] {
            let layout = of(&picture(count, columns));
            for (index, a) in layout.places.iter().enumerate() {
                assert!(a.x >= MARGIN && a.right() <= layout.width - MARGIN + 0.5);
                assert!(a.y >= TOP && a.y + BOX_HEIGHT <= layout.bottom + 0.5);
                for b in &layout.places[index + 1..] {
                    let apart = a.right() < b.x
                        || b.right() < a.x
                        || a.y + BOX_HEIGHT < b.y
                        || b.y + BOX_HEIGHT < a.y;
                    assert!(apart, "{count} in {columns}: {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn the_same_picture_lies_the_same_way_and_nothing_is_nowhere() {
        let (a, b) = (of(&picture(50, 5)), of(&picture(50, 5)));
        assert_eq!((&a.places, &a.routes), (&b.places, &b.routes));
        assert!(a.routes.iter().all(|it| it.start.0 > 0.0 && it.end.0 > 0.0));
        let nothing = Picture {
            nodes: Vec::new(),
            links: Vec::new(),
            ..picture(1, 1)
        };
        assert!(of(&nothing).places.is_empty());
    }
}
