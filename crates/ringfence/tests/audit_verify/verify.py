"""Checks a flow log with aics-tlog, a verifier for C2SP logs that nobody here wrote: LOG KEPT-CHECKPOINT PROOF..."""

import base64
import sys
from pathlib import Path

from aics_tlog import (
    FileSystemTileReader,
    audit_tiles,
    consistency_proof_from_tiles,
    inclusion_proof_from_tiles,
    parse_checkpoint,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
    verify_leaf_inclusion,
)


def fail(what):
    sys.exit(f"refused: {what}")


def opened(signed, key):
    note = parse_note(signed)
    result = verify_checkpoint(note, key, expected_origin=key.name)
    if not result.ok:
        fail(result)
    return parse_checkpoint(note.text)


def main(log, kept, *proofs):
    log = Path(log)
    key = parse_vkey((log / "key.pub").read_text().strip())
    head = opened((log / "checkpoint").read_bytes(), key)
    tiles = FileSystemTileReader(log)
    # Every tile, and every leaf's hash by the way of the standard, which is not that by which proofs are made.
    audit = audit_tiles(tiles, head.size, head.root, entries=False)
    for index in range(head.size):
        hashes = tiles.read_tile(0, index // 256, None if index // 256 < head.size // 256 else head.size % 256)
        leaf = hashes[32 * (index % 256) :][:32]
        way = inclusion_proof_from_tiles(tiles, index, head.size)
        if not verify_inclusion(leaf, index, head.size, way, head.root):
            fail(f"leaf {index}")
    before = opened(Path(kept).read_bytes(), key)
    way = consistency_proof_from_tiles(tiles, before.size, head.size)
    if not verify_consistency(before.size, head.size, before.root, head.root, way):
        fail("consistency")
    for path in proofs:
        lines, signed = Path(path).read_bytes().split(b"\n\n", 1)
        form, extra, index, *way = lines.decode().split("\n")
        if form != "c2sp.org/tlog-proof@v1":
            fail(form)
        leaf = base64.b64decode(extra.removeprefix("extra "), validate=True)
        held = opened(signed, key)
        way = [base64.b64decode(line, validate=True) for line in way]
        if not verify_leaf_inclusion(leaf, int(index.removeprefix("index ")), held.size, way, held.root):
            fail(path)
    print(head.size, "leaves,", audit.tiles, "tiles,", len(proofs), "proofs")


main(*sys.argv[1:])
