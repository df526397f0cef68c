use super::*;
use crate::leaf;
use crate::log::Log;

fn filled(directory: &std::path::Path, records: u64) -> (Hot, Filled) {
    drop(Log::open(directory).unwrap());
    let hot = Hot::open(directory).unwrap();
    let mut segment = hot.make(1024 * 1024).unwrap();
    let mut starts = Starts::of(segment.map.len());
    segment.first = Seq(1000);
    segment.begun_ns = 7;
    segment.name = crate::segment::name(segment.first);
    std::fs::rename(hot.path().join("spare-0"), hot.path().join(&segment.name)).unwrap();
    let mut at = HEADER_LEN;
    for n in 0..records {
        let leaf = leaf::encode(&Flow {
            node: "bank-1".to_owned(),
            time_ns: 50 + n,
            reason: "r".repeat((n * 37 % 900) as usize),
            ..Flow::default()
        })
        .unwrap();
        starts.note(at, n);
        segment
            .map
            .write(at + 4, &crc32c::crc32c(&leaf).to_le_bytes());
        segment.map.write(at + SLOT_LEN, &leaf);
        segment.map.publish(at, Word::Complete(leaf.len()).encode());
        at += span(leaf.len());
    }
    let filled = Filled {
        segment: Arc::new(segment),
        used: at,
        end: Seq(1000 + records),
        starts,
    };
    (hot, filled)
}

fn records(hot: &Hot, again: &Again) -> Vec<Flow> {
    let path = hot.path().join(&again.segment.name);
    let mut reader = crate::Reader::open_file(&path).unwrap();
    let mut flows = Vec::new();
    while let Some((seq, flow)) = reader.read().unwrap() {
        assert_eq!(seq.0, 1000 + flows.len() as u64);
        flows.push(flow);
    }
    flows
}

#[test]
fn all_that_memory_has_is_written_again() {
    for goes_on in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (hot, filled) = filled(directory.path(), 300);
        let again = write_again(&hot, &filled, goes_on).unwrap();
        assert_eq!((again.used, again.lost.len()), (filled.used, 0));
        let length = if goes_on { 1024 * 1024 } else { filled.used };
        assert_eq!(again.segment.map.len(), length);
        assert_eq!(again.segment.file.metadata().unwrap().len(), length as u64);
        let flows = records(&hot, &again);
        assert_eq!(flows.len(), 300);
        assert!(
            flows
                .iter()
                .zip(50..)
                .all(|(flow, time)| flow.time_ns == time)
        );
        let named = std::fs::read_dir(hot.path()).unwrap().count();
        assert_eq!(named, 3, "the lock, its own first segment and this");
    }
}

/// A page that the kernel has given up comes back as the disk has it. Each page by itself, then two, then all.
#[test]
fn what_is_lost_is_said_by_its_number_and_nothing_else_is_lost() {
    let length = 300;
    let pages = {
        let directory = tempfile::tempdir().unwrap();
        filled(directory.path(), length).1.used.div_ceil(PAGE)
    };
    let each = (0..pages).map(|page| vec![page]);
    let more = [vec![3, 4], vec![2, 9], (1..pages).collect()];
    for gone in each.chain(more) {
        let directory = tempfile::tempdir().unwrap();
        let (hot, filled) = filled(directory.path(), length);
        // What each record touches.
        let map = &filled.segment.map;
        let (mut at, mut leaf, mut touched) = (HEADER_LEN, Vec::new(), Vec::new());
        while let Some(whole) = slot(map, at, filled.used, &mut leaf) {
            touched.push((at / PAGE)..=((at + SLOT_LEN + leaf.len() - 1) / PAGE));
            at += whole;
        }
        for page in &gone {
            let from = (page * PAGE).max(HEADER_LEN);
            let to = ((page + 1) * PAGE).min(filled.used);
            map.write(from, &vec![0; to - from]);
        }
        let again = write_again(&hot, &filled, true).unwrap();
        let flows = records(&hot, &again);
        assert_eq!(flows.len() as u64, length);
        let mut last = 7;
        for (n, flow) in flows.iter().enumerate() {
            let lost = gone.iter().any(|page| touched[n].contains(page));
            assert_eq!(
                flow.operation == RECORD_LOST,
                lost,
                "record {n}, gone {gone:?}"
            );
            let said = again
                .lost
                .iter()
                .any(|(from, before)| (from.0..before.0).contains(&(1000 + n as u64)));
            assert_eq!(said, lost, "record {n}");
            if !lost {
                assert_eq!(flow.time_ns, 50 + n as u64);
            }
            assert!(flow.time_ns >= last);
            last = flow.time_ns;
        }
    }
}

#[test]
fn a_foreign_file_of_that_name_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (hot, filled) = filled(directory.path(), 10);
    let path = hot.path().join(&filled.segment.name);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"mine").unwrap();
    let refused = write_again(&hot, &filled, true).unwrap_err();
    assert!(matches!(refused, LogError::Tampered(_)), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
    write_again(&hot, &filled, true).unwrap();
}
