//! Descriptors: of one process, and on their way between processes, where the kernel counts them for the user of the host.

use ringfence_testbed::{Caller, Neighbour};

use crate::ground::{hoard, node, said, unnoticed};

/// Opens files until it may not, then sends itself descriptors until it may not, and keeps them on their way.
const HOARD: &str = r#"
import array
own = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (own[1], own[1]))
print("may open", own[1], flush=True)
opened = []
count, error = until_refused(lambda: opened.append(os.open("/dev/null", os.O_RDONLY)), 1 << 20)
print("opened", count, error, flush=True)
for one in opened:
    os.close(one)
null, pairs, sent = os.open("/dev/null", os.O_RDONLY), [], 0
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 250))]
error = None
while error is None and sent < 1 << 20:
    pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    pairs[-1][0].setblocking(False)
    while True:
        try:
            pairs[-1][0].sendmsg([b"x"], rights)
            sent += 250
        except BlockingIOError:
            break
        except OSError as refused:
            error = errno.errorcode[refused.errno]
            break
print("on their way", sent, error, flush=True)
print("ready", flush=True)
time.sleep(600)
"#;

#[test]
fn descriptors_stop_at_their_bounds_and_the_node_goes_on_handing_its_own_over() {
    for caller in Caller::available() {
        let node = node(caller);
        let neighbour = Neighbour::start(&node).unwrap();
        let kept = unnoticed(&node, &neighbour, || {
            let kept = hoard(&node, HOARD);
            // Doors, links and listeners travel by the same means; here even for the same user, unless that is root.
            let other = node.run("glutton", &["true"]).unwrap();
            assert_eq!(other.code, Some(0), "{caller:?}: {}", other.stderr);
            kept
        });
        let may: u64 = said(&kept, "may open").parse().unwrap();
        assert!(may <= 65_536);
        let opened = said(&kept, "opened");
        let (opened, error) = opened.split_once(' ').unwrap();
        assert_eq!(error, "EMFILE");
        assert!((may - 100..may).contains(&opened.parse().unwrap()));
        let sent = said(&kept, "on their way");
        let (sent, error) = sent.split_once(' ').unwrap();
        assert_eq!(error, "ETOOMANYREFS");
        assert!(sent.parse::<u64>().unwrap() <= may + 500, "{sent}");
    }
}
