"""What the log costs the data path: HTTP/1.1 through a node, beside the same node built without a log

The other one is built here, from a copy of the source in which the log takes no record of what workloads do (`CHANGE`), and is left in
`target/bench/unlogged`: nothing in the product can be told to do that. Node, enforcer and what seals and signs are on one core in both,
so the cost of the tree is in it too. The tree makes a file for every 256 records; on ext4 that costs several times as much for some minutes
after many files were removed (it passes over their inodes one by one), so this comes before the suites that do that.
"""

import os
import shutil
import subprocess

from harness import peers
from harness.rounds import Wrong

from .http1 import Ours, load, read_wrk, wrk

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
PLACE = "crates/audit/src/log.rs"
SIGNATURE = "    fn take(&self, flow: &Flow, purpose: Purpose) -> Result<Seq, LogError> {\n"
CHANGE = """        if flow.kind != i32::from(ringfence_model::flow::Kind::Event) {
            return Ok(Seq(0));
        }
"""
GOAL = 0.95


class Unlogged(Ours):
    name = "without a log"

    def logged(self):
        return None


def built(bench):
    """The binary without a log."""
    release = os.path.dirname(bench.args.binary)
    place = os.path.join(os.path.dirname(release), "bench", "unlogged")
    source, target = os.path.join(place, "source"), os.path.join(place, "target")
    shutil.rmtree(place, ignore_errors=True)
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        # One that was removed and is not committed yet is listed all the same.
        if os.path.exists(os.path.join(ROOT, name)):
            os.makedirs(os.path.dirname(os.path.join(source, name)), exist_ok=True)
            shutil.copy2(os.path.join(ROOT, name), os.path.join(source, name))
    path = os.path.join(source, PLACE)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(SIGNATURE) != 1:
        raise Wrong(f"{PLACE} has no longer the one place where records are taken: mend bench/suites/unlogged.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(SIGNATURE, SIGNATURE + CHANGE))
    # What is built already of others' crates is not built again.
    for part in (".fingerprint", "build", "deps"):
        if os.path.isdir(os.path.join(release, part)):
            shutil.copytree(os.path.join(release, part), os.path.join(target, "release", part), copy_function=linked)
    subprocess.run(
        ["cargo", "build", "--locked", "--offline", "--release", "-p", "ringfence", "--target-dir", target], cwd=source, check=True
    )
    return os.path.join(target, "release", "ringfence")


def linked(source, destination):
    os.link(source, destination)


def measure(bench):
    peers.nginx(bench)
    contenders = [Ours(bench), Unlogged(bench, "unlogged", binary=built(bench))]
    for contender in contenders:
        load(contender, wrk(1, 8), read_wrk, 8)
    began = contenders[1].node.operations(0)
    for connections in (1, 64):
        found = bench.turns({
            each.name: lambda each=each: load(each, wrk(bench.args.seconds, connections), read_wrk, connections)
            for each in contenders
        })
        title = "1 connection" if connections == 1 else f"{connections} connections"
        bench.figure(f"{title}: requests per second", "1/s", found["rate"], better="more", goals={Unlogged.name: GOAL})
        bench.figure(f"{title}: requests per processor second", "1/s", found["per_cpu_second"], better="more")
        bench.figure(f"{title}: delay, 99th percentile", "µs", found["p99"])
    if began or contenders[1].node.operations(0):
        raise Wrong("the node without a log has records")
