//! Texts of others that the node keeps, passes on, and shows.

use ringfence_compartment::figures::{Facts, Said};
use ringfence_compartment::link::{FromNode, MESSAGE_MAX, ToNode};
use ringfence_model::InstanceId;

use super::ground::{ESTATE, Ground, READS, event};
use crate::limits::{EVENT_TEXT, NOTES_UNBOUNDED};
use crate::supervisor::bounded;

#[test]
fn a_text_of_an_event_is_cut_at_a_character() {
    let longest = "a".repeat(EVENT_TEXT);
    assert_eq!(bounded(longest.clone()), longest);
    let cut = bounded(format!("{longest}a"));
    assert_eq!(cut.len(), EVENT_TEXT);
    assert!(cut.ends_with("a…"));
    let cut = bounded("é".repeat(EVENT_TEXT));
    assert!(
        cut.ends_with("é…") && cut.len() > EVENT_TEXT - 4,
        "{}",
        cut.len()
    );
    assert!(cut.len() <= EVENT_TEXT);
}

/// However JSON writes it, an event of the longest texts is one packet: it breaks no channel.
#[tokio::test]
async fn the_longest_event_gets_to_the_enforcer() {
    let mut ground = Ground::serving(READS, ESTATE);
    let text = "\u{1}".repeat(2 * EVENT_TEXT);
    ground
        .supervisor
        .record("test", text.clone(), Some(text), false);
    let long = |said: &[FromNode]| {
        let mut events = said.iter().filter_map(event);
        events.any(|(what, why)| what == "test" && why.ends_with("\u{1}…"))
    };
    let said = ground.told(long).await;
    let longest = said.iter().map(|it| serde_json::to_vec(it).unwrap().len());
    let longest = longest.max().unwrap();
    assert!(
        (5 * EVENT_TEXT..=MESSAGE_MAX).contains(&longest),
        "{longest}"
    );
    ground.lives().await;
}

#[tokio::test]
async fn so_many_different_texts_of_launchers_are_notes_of_the_node() {
    let mut ground = Ground::serving(READS, ESTATE);
    let ids: Vec<InstanceId> = (0..NOTES_UNBOUNDED + 4)
        .map(|_| ground.granted("clerk"))
        .collect();
    let facts = |(number, id): (usize, &InstanceId)| Facts {
        instance: id.clone(),
        connections: 0,
        said: Some(Said {
            unbounded: vec![format!("kind {number} is not bounded"), "common".to_owned()],
            ..Said::default()
        }),
    };
    let compartments = ids.iter().enumerate().map(facts).collect();
    ground.hear(ToNode::Compartments { compartments });
    let status = ground.status();
    let notes = status.notes.iter();
    let notes = notes.filter(|note| note.starts_with("in compartments here, "));
    assert_eq!(notes.count(), NOTES_UNBOUNDED);
    // Each stands with its instance all the same.
    for (number, id) in ids.iter().enumerate() {
        let shown = status.workloads.iter().find(|it| it.instance == *id);
        let words = format!("kind {number} is not bounded");
        assert!(shown.unwrap().unbounded.contains(&words), "{id}");
    }
}
