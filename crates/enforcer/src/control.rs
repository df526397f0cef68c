//! The conversation with the node: generations in, compartments in, status out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ringfence_compartment::channel::Packet;
use ringfence_compartment::figures::Facts;
use ringfence_compartment::link::{FromNode, MESSAGE_MAX, ToNode};
use ringfence_compartment::memfd;
use ringfence_model::Generation;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Assignment;
use crate::adopted;
use crate::inforce::InForce;
use crate::limits::STOP_TIMEOUT;
use crate::link::Link;
use crate::node::Node;
use crate::record::event;

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
    let mut loaded = None;
    loop {
        let packet = tokio::select! {
            packet = link.recv::<FromNode>() => packet?,
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
            FromNode::Load { generation } => {
                let answer = match load(node, generation, one(descriptors)).await {
                    Ok(()) => {
                        loaded = Some(generation);
                        ToNode::Loaded { generation }
                    }
                    Err(reason) => ToNode::Rejected {
                        generation,
                        reason: fitting(reason),
                    },
                };
                link.send(&answer).await?;
            }
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
            FromNode::Event {
                operation,
                reason,
                subject,
                ok,
            } => {
                let force = node.current.load();
                let generation = force.snapshot.generation();
                let flow = event(
                    &force.node,
                    subject.as_deref(),
                    &operation,
                    &reason,
                    ok,
                    generation,
                );
                // It has happened; the log counts what it cannot take.
                let _counted_by_the_log = node.recorder.after(&flow);
            }
            FromNode::AskStatus { id } => {
                for compartments in packed(node.registry.all().iter().map(|home| home.facts())) {
                    link.send(&ToNode::Compartments { compartments }).await?;
                }
                link.send(&status(node, id, loaded)).await?;
            }
            FromNode::Stop => return Ok(()),
        }
    }
}

/// The descriptor of a message that has exactly one.
fn one(mut descriptors: Vec<OwnedFd>) -> Option<OwnedFd> {
    if descriptors.len() == 1 {
        descriptors.pop()
    } else {
        None
    }
}

async fn load(
    node: &Arc<Node>,
    generation: Generation,
    memory: Option<OwnedFd>,
) -> Result<(), String> {
    let memory = memory.ok_or("the generation came without its content")?;
    let (told, compiled) = oneshot::channel();
    // Parsing and compiling take time that connections need. Not among the runtime's threads: look-ups take those, for
    // as long as a name server is silent, and policy does not wait for one.
    std::thread::Builder::new()
        .name("generation".to_owned())
        .spawn(move || {
            // Whoever asked has gone only when all of this process ends.
            let _nobody_waits = told.send(compile(generation, memory));
        })
        .map_err(|cause| format!("it could not be compiled: {cause}"))?;
    let next = compiled
        .await
        .map_err(|_| "it could not be compiled: the thread that did so broke off")??;
    node.current.replace(next);
    Ok(())
}

fn compile(generation: Generation, memory: OwnedFd) -> Result<InForce, String> {
    let bytes = memfd::read(memory).map_err(|cause| cause.to_string())?;
    let assignment: Assignment =
        serde_json::from_slice(&bytes).map_err(|cause| cause.to_string())?;
    InForce::compile(generation, &assignment).map_err(|unfit| unfit.to_string())
}

/// A reason short enough for a message, whatever the escaping of JSON makes of it.
fn fitting(reason: String) -> String {
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
        log_bytes: log.bytes(),
        log_room: log.room(),
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
