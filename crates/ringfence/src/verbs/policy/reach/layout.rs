//! Where everything stands: columns from left to right, rows in each so that few links cross. The same picture always lies the
//! same way.

use super::picture::{Link, Picture};

/// Height of a box, and from one row to the next.
pub(super) const BOX_HEIGHT: f64 = 44.0;
const ROW: f64 = 58.0;
/// Height of the row in which a link goes through a column.
const WAY: f64 = 14.0;
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
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Route {
    pub(super) start: (f64, f64),
    pub(super) end: (f64, f64),
    /// Columns that it goes through on the way: where it comes to one, where it leaves it, and in which height.
    pub(super) through: Vec<(f64, f64, f64)>,
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
    let grid = Grid::new(picture);
    let mut headings = Vec::new();
    let mut lefts = Vec::new();
    let mut left = MARGIN;
    for track in &grid.tracks {
        let boxes = track.items.iter().filter(|it| **it < picture.nodes.len());
        let width = boxes
            .map(|&node| width(picture, node))
            .fold(150.0, f64::max);
        if track.piece == 0 {
            headings.push((track.column, left));
        }
        lefts.push((left, width));
        left += width + GAP;
    }
    let highest = grid.heights.iter().zip(&grid.at);
    let highest = highest
        .map(|(height, at)| at - height / 2.0)
        .fold(0.0, f64::min);
    // The middle of a box is not that of its row, which has room below it.
    let top = |item: usize| TOP + grid.at[item] - highest - grid.heights[item] / 2.0;
    let places: Vec<Place> = (0..picture.nodes.len())
        .map(|node| {
            let (x, width) = lefts[grid.track_of[node]];
            Place {
                x,
                y: top(node),
                width,
            }
        })
        .collect();
    let bottoms = places.iter().map(|place| place.y + BOX_HEIGHT);
    let bottom = bottoms.fold(TOP + BOX_HEIGHT, f64::max);
    let through = |link: usize| -> Vec<(f64, f64, f64)> {
        let ways = grid.ways[link].iter().map(|&item| {
            let (x, width) = lefts[grid.track_of[item]];
            let y = top(item) + WAY / 2.0;
            match places[picture.links[link].to].x > x {
                true => (x, x + width, y),
                false => (x + width, x, y),
            }
        });
        ways.collect()
    };
    let routes = routes(picture, &places, through);
    Layout {
        routes,
        headings,
        // Links within the last column go round its right side.
        width: left - GAP + MARGIN * 1.5,
        bottom,
        places,
    }
}

fn width(picture: &Picture, node: usize) -> f64 {
    let node = &picture.nodes[node];
    let name = node.name.chars().count().min(NAME_SHOWN) as f64 * NAME_WIDTH;
    let line = node.line.chars().count().min(LINE_SHOWN) as f64 * LINE_WIDTH;
    name.max(line) + BESIDE
}

/// One column, or a part of one that is too full.
struct Track {
    column: usize,
    piece: usize,
    /// From top to bottom: boxes, by the number of their node, and places where a link goes through, numbered after those.
    items: Vec<usize>,
}

/// Everything in its column and row, without units yet.
struct Grid {
    tracks: Vec<Track>,
    track_of: Vec<usize>,
    heights: Vec<f64>,
    /// Height of the middle of each item, from the middle of the picture.
    at: Vec<f64>,
    /// By link: the items by which it goes through columns, from its start to its end.
    ways: Vec<Vec<usize>>,
}

impl Grid {
    fn new(picture: &Picture) -> Self {
        let count = picture.nodes.iter().map(|node| node.column + 1).max();
        let mut columns: Vec<Vec<usize>> = vec![Vec::new(); count.unwrap_or(0)];
        for (index, node) in picture.nodes.iter().enumerate() {
            columns[node.column].push(index);
        }
        let mut grid = Self {
            tracks: Vec::new(),
            track_of: vec![0; picture.nodes.len()],
            heights: vec![ROW; picture.nodes.len()],
            at: vec![0.0; picture.nodes.len()],
            ways: vec![Vec::new(); picture.links.len()],
        };
        for (column, mut nodes) in columns.into_iter().enumerate() {
            nodes.sort_by(|&a, &b| picture.nodes[a].name.cmp(&picture.nodes[b].name));
            let pieces = nodes.len().div_ceil(ROWS_IN_COLUMN).max(1);
            let rows = nodes.len().div_ceil(pieces).max(1);
            for (piece, nodes) in nodes.chunks(rows).enumerate() {
                for &node in nodes {
                    grid.track_of[node] = grid.tracks.len();
                }
                grid.tracks.push(Track {
                    column,
                    piece,
                    items: nodes.to_vec(),
                });
            }
        }
        let neighbours = grid.add_ways(picture);
        grid.order(&neighbours);
        grid
    }

    /// Makes room for links where they go through columns. Gives, by item, those it is linked with.
    fn add_ways(&mut self, picture: &Picture) -> Vec<Vec<usize>> {
        let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); picture.nodes.len()];
        for (index, link) in picture.links.iter().enumerate() {
            let (from, to) = (self.track_of[link.from], self.track_of[link.to]);
            let between: Vec<usize> = match from < to {
                true => (from + 1..to).collect(),
                false => (to + 1..from).rev().collect(),
            };
            let mut before = link.from;
            for track in between {
                let item = self.heights.len();
                self.heights.push(WAY);
                self.at.push(0.0);
                self.track_of.push(track);
                self.tracks[track].items.push(item);
                self.ways[index].push(item);
                neighbours.push(vec![before]);
                // Links beside the shortest ways are drawn faintly, and pull no box.
                if link.main || before >= picture.nodes.len() {
                    neighbours[before].push(item);
                }
                before = item;
            }
            if link.main || before >= picture.nodes.len() {
                neighbours[before].push(link.to);
            }
            if link.main {
                neighbours[link.to].push(before);
            }
        }
        neighbours
    }

    /// Puts each item where its neighbours are on average, from the left, then from the right, and again.
    fn order(&mut self, neighbours: &[Vec<usize>]) {
        for track in 0..self.tracks.len() {
            self.stack(track);
        }
        for sweep in 0..SWEEPS {
            let forward = sweep % 2 == 0;
            let count = self.tracks.len();
            for step in 0..count {
                let track = if forward { step } else { count - 1 - step };
                let pull = |item: usize| {
                    let near = neighbours[item].iter().filter(|&&it| match forward {
                        true => self.track_of[it] < track,
                        false => self.track_of[it] > track,
                    });
                    let (sum, many) = near.fold((0.0, 0.0), |(sum, many), &it| {
                        (sum + self.at[it], many + 1.0)
                    });
                    if many > 0.0 {
                        sum / many
                    } else {
                        self.at[item]
                    }
                };
                let items = &self.tracks[track].items;
                let mut pulled: Vec<(f64, usize)> =
                    items.iter().map(|&item| (pull(item), item)).collect();
                // Those that are pulled alike stay as they were.
                pulled.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.tracks[track].items = pulled.into_iter().map(|(_, item)| item).collect();
                self.stack(track);
            }
        }
    }

    /// One below the other, round the middle.
    fn stack(&mut self, track: usize) {
        let items = &self.tracks[track].items;
        let all: f64 = items.iter().map(|&item| self.heights[item]).sum();
        let mut y = -all / 2.0;
        for &item in items {
            self.at[item] = y + self.heights[item] / 2.0;
            y += self.heights[item];
        }
    }
}

/// Links leave and enter their boxes one below the other, in the order of where they go, so that they do not lie on each
/// other.
fn routes(
    picture: &Picture,
    places: &[Place],
    through: impl Fn(usize) -> Vec<(f64, f64, f64)>,
) -> Vec<Route> {
    let forward = |link: &Link| places[link.to].x > places[link.from].x;
    let beside = |link: &Link| (places[link.to].x - places[link.from].x).abs() < 1.0;
    // Which side of a box a link uses: the right one, but for the end of one that goes on and the start of one that goes back.
    let starts_right = |link: &Link| forward(link) || beside(link);
    let mut routes: Vec<Route> = (0..picture.links.len())
        .map(|link| Route {
            start: (0.0, 0.0),
            end: (0.0, 0.0),
            through: through(link),
            leave: 0.0,
            enter: 0.0,
        })
        .collect();
    for (node, place) in places.iter().enumerate() {
        for right in [true, false] {
            let mut ports: Vec<(f64, usize, bool)> = Vec::new();
            for (index, link) in picture.links.iter().enumerate() {
                let ways = &routes[index].through;
                if link.from == node && starts_right(link) == right {
                    let next = ways.first().map_or(places[link.to].middle(), |it| it.2);
                    ports.push((next, index, true));
                }
                if link.to == node && forward(link) != right {
                    let before = ways.last().map_or(places[link.from].middle(), |it| it.2);
                    ports.push((before, index, false));
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
        let reach = if beside(link) { GAP * 0.35 } else { GAP * 0.5 };
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
        // Where a link goes through a column, it meets no box.
        for (left, right, y) in a.routes.iter().flat_map(|it| &it.through) {
            for place in &a.places {
                let within = *y > place.y && *y < place.y + BOX_HEIGHT;
                let beside = left.max(*right) <= place.x || left.min(*right) >= place.right();
                assert!(beside || !within, "{left} {right} {y} {place:?}");
            }
        }
        let nothing = Picture {
            nodes: Vec::new(),
            links: Vec::new(),
            ..picture(1, 1)
        };
        assert!(of(&nothing).places.is_empty());
    }
}
