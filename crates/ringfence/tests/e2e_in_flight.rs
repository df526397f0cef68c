//! Descriptors that are sent and never taken: the kernel counts them for the user, and a user's nodes, launchers and
//! workloads are one user to it. A workload that sends as many as it can keeps nobody else from handing sockets over.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod e2e_support;

use e2e_support::{PYTHON, curl, start_as, web, workdir};
use ringfence_testbed::Caller;

const HOARDER: &str = r#"
import array, resource, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
kept, sent, file = [], 0, open("/dev/null")
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()] * 253))]
try:
    while True:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        kept += [near, far]
        try:
            while True:
                near.sendmsg([b"x"], rights)
                sent += 253
        except BlockingIOError:
            pass
except OSError as error:
    # ETOOMANYREFS: the control. There is a bound, and it is reached.
    print("hoarding", error.errno, sent >= most, flush=True)
sys.stdin.readline()
"#;

#[test]
fn descriptors_sent_and_never_taken_keep_no_other_from_starting_or_serving() {
    for caller in Caller::available() {
        let node = start_as(caller);
        let web = web(&node);
        let path = workdir(&node, "work-hoarder", "hoarder.py", HOARDER);
        let launch = node.workload("agent").workdir(&path).open_stdin();
        let mut hoarder = launch.spawn(&[PYTHON, "-u", "hoarder.py"]).unwrap();
        hoarder.wait_until_it_says("hoarding 109 True").unwrap();
        // Each brings descriptors to the node, and from it to the enforcer; more connections than there are sockets
        // ready have some made and handed over.
        for _ in 0..8 {
            let calls = ["http://web:8080/items/[1-10]"];
            let (output, _, code) = curl(&node, &calls);
            assert_eq!(code, 200, "{caller:?}: {output:?}");
        }
        drop(web);
        let (code, status) = node.status().unwrap();
        assert_eq!(code, 0, "{caller:?}: {status:#}");
    }
}
