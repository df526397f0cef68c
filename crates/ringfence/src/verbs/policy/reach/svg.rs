//! The picture. One file without scripts, fonts or references, light or dark as whoever looks at it has it.

use std::fmt::Write as _;

use ringfence_model::Kind;

use super::super::counted;
use super::super::junit::escaped;
use super::layout::{self, BOX_HEIGHT, LINE_SHOWN, LINE_WIDTH, Layout, MARGIN, NAME_SHOWN};
use super::picture::{Link, Node, Picture, Style};

/// Most workloads that one picture shows; more than that nobody can read.
pub(super) const NODES_MAX: usize = 400;
/// Most links beside the shortest ways. With more, none of those is drawn, and they are counted.
const ASIDES_SHOWN: usize = 120;
/// Most names of workloads that are not drawn; the rest is counted.
const NAMES_SHOWN: usize = 60;
/// Narrowest picture: the heading has to fit.
const NARROWEST: f64 = 720.0;

const STYLE: &str = "
  .page { fill: #ffffff }
  text { fill: #1b2733; font-family: ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px }
  .head { font-size: 21px; font-weight: 600 }
  .dim { fill: #5a6878 }
  .col { fill: #5a6878; font-size: 11px; letter-spacing: 1.2px }
  .name, .line, .chip { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace }
  .name { font-size: 13px; font-weight: 600 }
  .line, .chip { font-size: 11px }
  .box { fill: #f8fafc; stroke: #9aa9b8; stroke-width: 1.5 }
  .if { stroke-dasharray: 6 4 }
  .h0 .box { fill: #fdeaea; stroke: #c92a2a; stroke-width: 2.5 } .h0 .icon { fill: #c92a2a }
  .h1 .box { fill: #fff1e6; stroke: #d9480f } .h1 .icon { fill: #d9480f }
  .h2 .box { fill: #fff8e1; stroke: #b98300 } .h2 .icon { fill: #b98300 }
  .h3 .box { fill: #f3f0ff; stroke: #7048c6 } .h3 .icon { fill: #7048c6 }
  .e .box { stroke: #4c7ba8 } .e .icon { fill: #4c7ba8 }
  .mark { fill: #ffffff; font-size: 10px; font-weight: 700; text-anchor: middle }
  .way { fill: none; stroke: #55677a; stroke-width: 1.7 }
  .tip { fill: #55677a }
  .aside { stroke: #b4c0cb; stroke-width: 1.1 } .aside.tip { fill: #b4c0cb; stroke: none }
  .when { stroke-dasharray: 7 5 }
  .soft { stroke: #b98300; stroke-dasharray: 2 4; stroke-linecap: round } .soft.tip { fill: #b98300; stroke: none }
  .out { fill: none; stroke: #7fb68d; stroke-width: 1 }
  .ok { fill: #2b7a3d; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #10161d } text { fill: #e5ecf3 } .dim, .col { fill: #97a6b5 }
    .box { fill: #1a232d; stroke: #5d6f81 }
    .h0 .box { fill: #3b1717; stroke: #ff6b6b } .h0 .icon { fill: #ff6b6b }
    .h1 .box { fill: #35200f; stroke: #ff922b } .h1 .icon { fill: #ff922b }
    .h2 .box { fill: #2e270d; stroke: #f2c037 } .h2 .icon { fill: #f2c037 }
    .h3 .box { fill: #241d3a; stroke: #a58bf0 } .h3 .icon { fill: #a58bf0 }
    .e .box { stroke: #6ea8dc } .e .icon { fill: #6ea8dc }
    .mark { fill: #10161d } .way { stroke: #8fa1b3 } .tip { fill: #8fa1b3 }
    .aside { stroke: #3c4956 } .aside.tip { fill: #3c4956 }
    .soft { stroke: #f2c037 } .soft.tip { fill: #f2c037 }
    .out { stroke: #3f7a50 } .ok { fill: #69c483 }
  }
";

/// Draws it.
pub(super) fn document(picture: &Picture) -> String {
    let layout = layout::of(picture);
    let width = layout.width.max(NARROWEST);
    let (mut body, mut drawn) = (String::new(), Drawn::default());
    headings(&mut body, picture, &layout);
    let asides = picture.links.iter().filter(|link| !link.main).count();
    for main in [false, true] {
        for (link, route) in picture.links.iter().zip(&layout.routes) {
            if link.main == main && (main || asides <= ASIDES_SHOWN) {
                self::link(&mut body, link, route, &mut drawn);
            }
        }
    }
    for (node, place) in picture.nodes.iter().zip(&layout.places) {
        self::node(&mut body, picture, node, place, &mut drawn);
    }
    let mut y = layout.bottom + 44.0;
    apart(&mut body, picture, width, &mut y);
    let left_out = if asides > ASIDES_SHOWN { asides } else { 0 };
    legend(&mut body, picture, &drawn, left_out, width, &mut y);
    let (title, subtitle) = words(picture);
    let (title, subtitle) = (escaped(&title), escaped(&subtitle));
    let height = y + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-labelledby=\"t d\">\n\
         <title id=\"t\">{title}</title>\n<desc id=\"d\">{}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"head\" x=\"{MARGIN}\" y=\"46\">{title}</text>\n\
         <text class=\"dim\" x=\"{MARGIN}\" y=\"70\">{subtitle}</text>\n{body}</svg>\n",
        escaped(&description(picture)),
    )
}

/// What occurs, so that the legend tells of nothing else.
#[derive(Default)]
struct Drawn {
    agents: bool,
    services: bool,
    conditions: bool,
    soft: bool,
    asides: bool,
}

fn words(picture: &Picture) -> (String, String) {
    let others = picture.nodes.len().saturating_sub(1);
    match &picture.from {
        Some(from) => {
            let direct = picture.nodes.iter().filter(|node| node.column == 1).count();
            let out = match picture.apart.len() {
                0 => "nobody is out of reach".to_owned(),
                out => format!("{out} out of reach"),
            };
            let title = format!("What {from} reaches when it is taken over");
            let reached = match others {
                0 => "nobody".to_owned(),
                _ => format!(
                    "{}: {direct} directly, {} through others",
                    counted(others, "workload", "workloads"),
                    others - direct
                ),
            };
            (title, format!("{reached} · {out}"))
        }
        None => {
            let workloads = picture.nodes.len() + picture.apart.len();
            (
                "Who may do something to whom".to_owned(),
                format!(
                    "{} · {}",
                    counted(workloads, "workload", "workloads"),
                    counted(picture.links.len(), "pair", "pairs")
                ),
            )
        }
    }
}

/// For whoever hears it.
fn description(picture: &Picture) -> String {
    let (_, subtitle) = words(picture);
    let tips: Vec<&str> = match picture.from {
        Some(_) => picture
            .nodes
            .iter()
            .skip(1)
            .map(|it| it.tip.as_str())
            .collect(),
        None => picture.links.iter().map(|it| it.tip.as_str()).collect(),
    };
    format!("{subtitle}. {}", tips.join(". "))
}

fn headings(body: &mut String, picture: &Picture, layout: &Layout) {
    if picture.from.is_none() {
        return;
    }
    for (hops, x) in &layout.headings {
        let text = match hops {
            0 => "TAKEN OVER".to_owned(),
            1 => "1 HOP".to_owned(),
            hops => format!("{hops} HOPS"),
        };
        // Writing to a String cannot go wrong.
        let _infallible = writeln!(
            body,
            "<text class=\"col\" x=\"{x:.1}\" y=\"108\">{text}</text>"
        );
    }
}

fn link(body: &mut String, link: &Link, route: &layout::Route, drawn: &mut Drawn) {
    let mut class = String::new();
    match link.style {
        Style::Plain => {}
        Style::Condition => {
            class += " when";
            drawn.conditions = true;
        }
        Style::Soft => {
            class += " soft";
            drawn.soft = true;
        }
    }
    if !link.main {
        class += " aside";
        drawn.asides = true;
    }
    let layout::Route {
        start: (x1, y1),
        end: (x2, y2),
        through,
        leave,
        enter,
    } = route;
    // The head points into the box.
    let back = enter.signum();
    let tail = x2 + back * 8.0;
    let mut path = format!("M{x1:.1} {y1:.1}");
    let (mut x, mut y, sideways) = (*x1, *y1, *leave);
    for (from, to, height) in through {
        let _infallible = write!(
            path,
            "C{:.1} {y:.1} {:.1} {height:.1} {from:.1} {height:.1}H{to:.1}",
            x + sideways,
            from - sideways,
        );
        (x, y) = (*to, *height);
    }
    let _infallible = write!(
        path,
        "C{:.1} {y:.1} {:.1} {y2:.1} {tail:.1} {y2:.1}",
        x + sideways,
        x2 + enter,
    );
    let _infallible = writeln!(
        body,
        "<g><title>{}</title><path class=\"way{class}\" d=\"{path}\"/>\
         <path class=\"tip{class}\" d=\"M{x2:.1} {y2:.1}l{:.1} -4v8z\"/></g>",
        escaped(&link.tip),
        back * 9.0,
    );
}

fn node(
    body: &mut String,
    picture: &Picture,
    node: &Node,
    place: &layout::Place,
    drawn: &mut Drawn,
) {
    let hop = match picture.from {
        Some(_) => format!("h{}", node.column.min(3)),
        None => "e".to_owned(),
    };
    let dashed = if node.conditional { " if" } else { "" };
    drawn.conditions |= node.conditional;
    let (x, y) = (place.x, place.y);
    let (cx, cy) = (x + 22.0, place.middle());
    let icon = match node.kind {
        Kind::Agent => {
            drawn.agents = true;
            format!(
                "<circle class=\"icon\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"10\"/><text class=\"mark\" x=\"{cx:.1}\" y=\"{:.1}\">A</text>",
                cy + 3.6
            )
        }
        Kind::Service => {
            drawn.services = true;
            format!(
                "<rect class=\"icon\" x=\"{:.1}\" y=\"{:.1}\" width=\"20\" height=\"20\" rx=\"4\"/><text class=\"mark\" x=\"{cx:.1}\" y=\"{:.1}\">S</text>",
                cx - 10.0,
                cy - 10.0,
                cy + 3.6
            )
        }
    };
    let _infallible = writeln!(
        body,
        "<g class=\"{hop}\"><title>{}</title><rect class=\"box{dashed}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BOX_HEIGHT}\" rx=\"9\"/>{icon}\
         <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text><text class=\"line dim\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
        escaped(&node.tip),
        place.width,
        x + 40.0,
        y + 19.0,
        escaped(&cut(&node.name, NAME_SHOWN)),
        x + 40.0,
        y + 34.5,
        escaped(&cut(&node.line, LINE_SHOWN)),
    );
}

/// Those that are not drawn, by name.
fn apart(body: &mut String, picture: &Picture, width: f64, y: &mut f64) {
    if picture.apart.is_empty() {
        return;
    }
    let heading = match picture.from {
        Some(_) => format!("Out of reach: {}", picture.apart.len()),
        None => format!("In touch with nobody: {}", picture.apart.len()),
    };
    let _infallible = writeln!(
        body,
        "<text class=\"ok\" x=\"{MARGIN}\" y=\"{y:.1}\">{heading}</text>"
    );
    *y += 14.0;
    let mut x = MARGIN;
    let names = picture.apart.iter().take(NAMES_SHOWN);
    let mut chips: Vec<String> = names.map(|(_, name)| cut(name, NAME_SHOWN)).collect();
    if picture.apart.len() > NAMES_SHOWN {
        chips.push(format!("and {} more", picture.apart.len() - NAMES_SHOWN));
    }
    for chip in chips {
        let wide = chip.chars().count() as f64 * LINE_WIDTH + 18.0;
        if x + wide > width - MARGIN && x > MARGIN {
            x = MARGIN;
            *y += 30.0;
        }
        let _infallible = writeln!(
            body,
            "<rect class=\"out\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"23\" rx=\"11.5\"/><text class=\"chip dim\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 9.0,
            *y + 15.3,
            escaped(&chip)
        );
        x += wide + 8.0;
    }
    *y += 56.0;
}

fn legend(
    body: &mut String,
    picture: &Picture,
    drawn: &Drawn,
    left_out: usize,
    width: f64,
    y: &mut f64,
) {
    let mut x = MARGIN;
    let mut entry = |shown: bool, sample: &dyn Fn(f64, f64) -> String, text: &str| {
        if !shown {
            return;
        }
        let wide = text.chars().count() as f64 * 7.2 + 64.0;
        if x + wide > width - MARGIN && x > MARGIN {
            x = MARGIN;
            *y += 24.0;
        }
        let _infallible = writeln!(
            body,
            "{}<text class=\"dim\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            sample(x, *y),
            x + 40.0,
            *y + 4.0,
            escaped(text)
        );
        x += wide;
    };
    let line = |class: &'static str| {
        move |x: f64, y: f64| format!("<path class=\"way{class}\" d=\"M{x:.1} {y:.1}h32\"/>")
    };
    let class = if picture.from.is_some() { "h1" } else { "e" };
    let agent = |x: f64, y: f64| {
        format!(
            "<g class=\"{class}\"><circle class=\"icon\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"8\"/></g>",
            x + 24.0
        )
    };
    let service = |x: f64, y: f64| {
        format!(
            "<g class=\"{class}\"><rect class=\"icon\" x=\"{:.1}\" y=\"{:.1}\" width=\"16\" height=\"16\" rx=\"3.5\"/></g>",
            x + 16.0,
            y - 8.0
        )
    };
    entry(drawn.agents, &agent, "agent");
    entry(drawn.services, &service, "service");
    entry(
        !picture.links.is_empty(),
        &line(""),
        match picture.from {
            Some(_) => "on a shortest way",
            None => "may do something",
        },
    );
    entry(drawn.asides, &line(" aside"), "another way");
    entry(
        drawn.conditions,
        &line(" when"),
        "only when a condition holds",
    );
    entry(
        drawn.soft,
        &line(" soft"),
        "refused, and let pass by mode learn or shadow",
    );
    let other_ways = counted(left_out, "link of other ways", "links of other ways");
    entry(
        left_out > 0,
        &line(" aside"),
        &format!("{other_ways}: not drawn"),
    );
    *y += 24.0;
}

/// At most so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most - 1).collect();
    format!("{kept}…")
}
