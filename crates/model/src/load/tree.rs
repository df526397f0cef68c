//! Documents as trees that know where everything stands.
//!
//! Built from parser events with a stack of our own, so that nesting cannot overflow anything. An alias shares the node it
//! names; what it would expand to is counted, not copied.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Span};

use super::{DIAGNOSTICS_MAX, NESTING_MAX, VALUES_MAX};

/// Line and column, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl From<Marker> for Mark {
    fn from(marker: Marker) -> Self {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            line: small(marker.line()).max(1),
            column: small(marker.col()).saturating_add(1),
        }
    }
}

/// One value.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) value: Value,
    /// Values in it, itself included, aliases expanded.
    weight: u32,
    /// Levels in it, itself included.
    depth: usize,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, `~`, `null`.
    Null,
    Text {
        text: String,
        /// Without quotes: may be a number or a truth value.
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    /// In the order written, keys distinct.
    Map(Vec<(Key, Rc<Node>)>),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) at: Mark,
}

/// Something wrong with the YAML itself.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: Mark,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) also: Option<Mark>,
}

/// The documents of one file.
#[derive(Debug, Default)]
pub(super) struct Trees {
    pub(super) documents: Vec<Rc<Node>>,
    pub(super) faults: Vec<Fault>,
    /// Reading ended before the end of the file.
    pub(super) broken: bool,
    /// Faults beyond [`DIAGNOSTICS_MAX`], of which only the number is kept.
    pub(super) more: usize,
}

impl Trees {
    fn blame(&mut self, fault: Fault) {
        if self.faults.len() > DIAGNOSTICS_MAX {
            self.more += 1;
        } else {
            self.faults.push(fault);
        }
    }
}

pub(super) fn parse(text: &str) -> Trees {
    let options = granit_parser::options! {
        flow_nesting_limit: NESTING_MAX,
        block_nesting_limit: NESTING_MAX,
        disallow_directives: true,
        emit_comments: false,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let taken = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(syntax(error.kind(), (*error.marker()).into(), error.info())),
        };
        if let Err(fault) = taken {
            builder.out.blame(fault);
            builder.out.broken = true;
            break;
        }
    }
    builder.out
}

fn fault(at: Mark, message: impl Into<String>, help: &str) -> Fault {
    Fault {
        at,
        message: message.into(),
        help: help.to_owned(),
        also: None,
    }
}

fn syntax(kind: &ErrorKind, at: Mark, info: String) -> Fault {
    match kind {
        ErrorKind::RecursionLimitExceeded => fault(
            at,
            format!("lists and mappings are nested more than {NESTING_MAX} deep"),
            "a resource needs fewer than ten levels; close the brackets that were opened",
        ),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => fault(
            at,
            "a tab stands where YAML takes only spaces",
            "indent with spaces",
        ),
        ErrorKind::UnknownAnchor => fault(
            at,
            "the alias names no anchor before it",
            "write the value out, or anchor it with &name first",
        ),
        ErrorKind::DirectiveDisallowed => fault(
            at,
            "a directive is not supported",
            "remove the line that starts with %",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            fault(at, format!("the bracket {open} is not closed"), "close it")
        }
        ErrorKind::UnclosedQuotedScalar => fault(at, "a quote is not closed", "close it"),
        ErrorKind::InvalidIndentation => fault(
            at,
            "the indentation fits nothing above",
            "align it with its neighbours",
        ),
        _ => fault(
            at,
            format!("not YAML: {info}"),
            "check indentation, quotes and brackets",
        ),
    }
}

/// A list or mapping that is not closed yet.
struct Frame {
    at: Mark,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<(Key, Rc<Node>)>,
        seen: HashMap<String, Mark>,
        key: Option<Key>,
    },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    /// Values of all documents so far.
    weight: u32,
    out: Trees,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        let at = Mark::from(span.start);
        let tagged = match &event {
            Event::Scalar(.., tag)
            | Event::SequenceStart(.., tag)
            | Event::MappingStart(.., tag) => tag.is_some(),
            _ => false,
        };
        if tagged {
            let at = span.tag_start.map_or(at, Mark::from);
            self.out.blame(fault(
                at,
                "a tag is not supported",
                "remove the word that starts with !",
            ));
        }
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, _) => {
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    _ => Value::Text {
                        text: text.into_owned(),
                        plain,
                    },
                };
                let node = Node {
                    at,
                    value,
                    weight: 1,
                    depth: 1,
                };
                self.finish(Rc::new(node), anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.stack.push(Frame {
                    at,
                    anchor,
                    open: Open::List(Vec::new()),
                });
            }
            Event::MappingStart(_, anchor, _) => {
                let open = Open::Map {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.stack.push(Frame { at, anchor, open });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(node) => {
                    let node = node.clone();
                    self.place(node, Some(at))?;
                }
                None => {
                    return Err(fault(
                        at,
                        "the alias stands within what it names",
                        "write the value out",
                    ));
                }
            },
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame { at, anchor, open }) = self.stack.pop() else {
            return Ok(());
        };
        let children = |nodes: &mut dyn Iterator<Item = &Rc<Node>>| {
            nodes.fold((1u32, 1), |(weight, depth), node| {
                (
                    weight.saturating_add(node.weight),
                    depth.max(node.depth + 1),
                )
            })
        };
        let (value, (weight, depth)) = match open {
            Open::List(items) => {
                let sum = children(&mut items.iter());
                (Value::List(items), sum)
            }
            Open::Map { entries, .. } => {
                let sum = children(&mut entries.iter().map(|(_, node)| node));
                (Value::Map(entries), sum)
            }
        };
        if depth > NESTING_MAX {
            return Err(syntax(
                &ErrorKind::RecursionLimitExceeded,
                at,
                String::new(),
            ));
        }
        self.finish(
            Rc::new(Node {
                at,
                value,
                weight,
                depth,
            }),
            anchor,
        )
    }

    fn finish(&mut self, node: Rc<Node>, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, None)
    }

    /// `alias`: where it is named, when that is not where it stands.
    fn place(&mut self, node: Rc<Node>, alias: Option<Mark>) -> Result<(), Fault> {
        let at = alias.unwrap_or(node.at);
        let Some(frame) = self.stack.last_mut() else {
            self.weight = self.weight.saturating_add(node.weight);
            if self.weight > VALUES_MAX {
                return Err(too_many(at));
            }
            self.out.documents.push(node);
            return Ok(());
        };
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map { entries, seen, key } => match key.take() {
                None => {
                    let text = match &node.value {
                        Value::Text { text, .. } => text.clone(),
                        _ => {
                            let message = "a key is not a text";
                            let help = "write `name: value`; a text that starts with {, [, * or & needs quotes";
                            self.out.blame(fault(at, message, help));
                            String::new()
                        }
                    };
                    *key = Some(Key { text, at });
                }
                Some(key) => match seen.insert(key.text.clone(), key.at) {
                    None => entries.push((key, node)),
                    Some(first) => {
                        seen.insert(key.text.clone(), first);
                        self.out.blame(Fault {
                            also: Some(first),
                            ..fault(
                                key.at,
                                format!("{:?} stands twice in one mapping", key.text),
                                "keep one of them",
                            )
                        });
                    }
                },
            },
        }
        Ok(())
    }
}

fn too_many(at: Mark) -> Fault {
    fault(
        at,
        format!("the file expands to more than {VALUES_MAX} values"),
        "use fewer aliases (*name), or split the file",
    )
}
