//! The conversation with the node: generations in, compartments in, status out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_audit::{LogError, Seq, Which};
use ringfence_compartment::channel::Packet;
use ringfence_compartment::figures::Facts;
use ringfence_compartment::link::{Event, FromNode, MESSAGE_MAX, Quarantine, ToNode};
use ringfence_compartment::memfd;
use ringfence_model::Generation;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::adopted;
use crate::limits::STOP_TIMEOUT;
use crate::link::Link;
use crate::loads::Loads;
use crate::node::Node;
use crate::quarantine;
use crate::record::event;
use crate::redact;

/// Serves until the node says stop, or has gone. Both end everything.
pub(crate) async fn run(node: Arc<Node>, control: OwnedFd) -> io::Result<()> {
    let link = Link::new(control)?;
    let heard = listen(&node, &link).await;
    stop(&node).await;
    heard
}

async fn listen(node: &Arc<Node>, link: &Link) -> io::Result<()> {
    link.send(&ToNode::Ready).await?;
    // Here, and not in a task of its own, so that nothing is served without it.
    let mut ticking = std::pin::pin!(node.clock.run(&node.current));
    let mut loads = Loads::default();
    let mut loaded = None;
    // What takes its time is said when it is done, and keeps nothing else waiting: a quarantine least of all.
    let (answers, mut answered) = mpsc::unbounded_channel();
    loop {
        let packet = tokio::select! {
            packet = link.recv::<FromNode>() => packet?,
            (generation, compiled) = loads.next() => {
                let answer = match compiled {
                    Ok(next) => {
                        node.current.replace(next);
                        loaded = Some(generation);
                        ToNode::Loaded { generation }
                    }
                    Err(reason) => ToNode::Rejected {
                        generation,
                        reason: fitting(reason),
                    },
                };
                link.send(&answer).await?;
                continue;
            }
            // A sender is held here, so there is always one.
            Some(answer) = answered.recv() => {
                link.send(&answer).await?;
                continue;
            }
            never = &mut ticking => match never {},
        };
        let Some(Packet {
            message,
            descriptors,
        }) = packet
        else {
            return Ok(());
        };
        match message {
            FromNode::Load { generation } => loads.put(generation, one(descriptors)),
            FromNode::Adopt {
                instance,
                workload,
                uid,
                pid: _,
            } => match one(descriptors) {
                Some(launcher) => {
                    tokio::spawn(adopted::live(
                        Arc::clone(node),
                        instance,
                        workload,
                        uid,
                        launcher,
                    ));
                }
                None => {
                    return Err(io::Error::other(format!(
                        "{instance} came without its link"
                    )));
                }
            },
            FromNode::Event(what) => {
                // It has happened; the log counts what it cannot take.
                let _counted_by_the_log = record(node, &what);
            }
            FromNode::Quarantine { id, event } => {
                let list = one(descriptors).ok_or_else(|| io::Error::other("a list is missing"))?;
                let list: Vec<Quarantine> = serde_json::from_slice(&memfd::read(list)?)?;
                // In force before its event is recorded, which the log may be too full for.
                let imposed = quarantine::impose(node, list);
                let recorded = event.is_none_or(|what| record(node, &what).is_ok());
                let answers = answers.clone();
                tokio::spawn(async move {
                    // Nobody waits for it when the node has gone.
                    let _gone = answers.send(imposed.settled(id, recorded).await);
                });
            }
            FromNode::AskCut { id, name } => {
                let touched = node.live.touched(&[name]);
                link.send(&ToNode::WouldCut { id, touched }).await?;
            }
            FromNode::Redact {
                id,
                first,
                last,
                before_ns,
                dry_run,
                by,
            } => {
                let which = Which {
                    first,
                    last,
                    before_ns,
                };
                link.send(&redact::redact(node, id, which, dry_run, &by))
                    .await?;
            }
            FromNode::AskStatus { id } => {
                for compartments in packed(node.registry.all().iter().map(|home| home.facts())) {
                    link.send(&ToNode::Compartments { compartments }).await?;
                }
                link.send(&status(node, id, loaded)).await?;
            }
            FromNode::Release { before } => release(node, before),
            FromNode::Stop => return Ok(()),
        }
    }
}

/// Apart from whoever serves: a large file takes its time to go. The node says it again until it is done.
fn release(node: &Arc<Node>, before: u64) {
    let node = Arc::clone(node);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = node.recorder.log().release(Seq(before)) {
            eprintln!("ringfence: enforcer: segments that are sealed cannot be removed: {error}");
        }
    });
}

pub(crate) fn record(node: &Node, what: &Event) -> Result<(), LogError> {
    let force = node.current.load();
    let flow = event(
        &force.node,
        what.subject.as_deref(),
        &what.operation,
        &what.reason,
        what.ok,
        force.snapshot.generation(),
    );
    node.recorder.after(&flow)
}

/// The descriptor of a message that has exactly one.
fn one(mut descriptors: Vec<OwnedFd>) -> Option<OwnedFd> {
    if descriptors.len() == 1 {
        descriptors.pop()
    } else {
        None
    }
}

/// A reason short enough for a message, whatever the escaping of JSON makes of it.
pub(crate) fn fitting(reason: String) -> String {
    crate::record::bounded(&reason, MESSAGE_MAX / 8)
}

/// Facts in lists that fit a message each.
fn packed(facts: impl Iterator<Item = Facts>) -> Vec<Vec<Facts>> {
    // What surrounds them is small against what is left of a message.
    const ROOM: usize = MESSAGE_MAX * 3 / 4;
    let mut lists = Vec::new();
    let (mut list, mut length) = (Vec::new(), 0);
    for fact in facts {
        // Strings and numbers: nothing in them can fail to become JSON.
        let size = serde_json::to_vec(&fact).map_or(ROOM, |json| json.len() + 1);
        if length + size > ROOM && !list.is_empty() {
            lists.push(std::mem::take(&mut list));
            length = 0;
        }
        length += size;
        list.push(fact);
    }
    if !list.is_empty() {
        lists.push(list);
    }
    lists
}

fn status(node: &Node, id: u64, generation: Option<Generation>) -> ToNode {
    let log = node.recorder.log();
    ToNode::Status {
        id,
        generation,
        log_head: log.head().0,
        log_trouble: log.trouble(),
        log_lost: log.lost(),
        log_bytes: log.bytes(),
        log_room: Some(log.room()),
        connections: node.slots.taken() as u64,
        figures: Box::new(node.recorder.meters.figures()),
    }
}

/// Ends all connections and waits, within bounds, until their last records are written.
async fn stop(node: &Node) {
    for compartment in node.registry.all() {
        compartment.leave("the node stops");
    }
    // What has not closed by then is closed by the kernel, without a record of its own.
    let _in_time = timeout(STOP_TIMEOUT, node.slots.emptied()).await;
}

#[cfg(test)]
mod tests;
