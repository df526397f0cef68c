// Checks a flow log with the code of the Go checksum database: LOG KEPT-CHECKPOINT PROOF...
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func fail(format string, args ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	return data
}

// open verifies a signed checkpoint and gives what it says.
func open(signed []byte, verifier note.Verifier) tlog.Tree {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		fail("note: %v", err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail("a checkpoint of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("size: %v", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		fail("root: %v", err)
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree
}

// tiles reads tiles in the layout of tlog-tiles.
type tiles struct{ log string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range list {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(t.log, path))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	log := os.Args[1]
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(filepath.Join(log, "key.pub")))))
	if err != nil {
		fail("key: %v", err)
	}
	tree := open(read(filepath.Join(log, "checkpoint")), verifier)
	hashes := tlog.TileHashReader(tree, tiles{log})
	// Every leaf's hash is proven to be below the root. The reader of tiles alone does not see to that: it takes some
	// tiles for checked where several parts of the root come from one tile.
	for n := int64(0); n < tree.N; n++ {
		read, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			fail("leaf %d: %v", n, err)
		}
		way, err := tlog.ProveRecord(tree.N, n, hashes)
		if err != nil {
			fail("leaf %d: %v", n, err)
		}
		if err := tlog.CheckRecord(way, tree.N, tree.Hash, n, read[0]); err != nil {
			fail("leaf %d: %v", n, err)
		}
	}
	kept := open(read(os.Args[2]), verifier)
	consistent, err := tlog.ProveTree(tree.N, kept.N, hashes)
	if err != nil {
		fail("consistency: %v", err)
	}
	if err := tlog.CheckTree(consistent, tree.N, tree.Hash, kept.N, kept.Hash); err != nil {
		fail("consistency: %v", err)
	}
	for _, path := range os.Args[3:] {
		proof := read(path)
		split := bytes.Index(proof, []byte("\n\n"))
		if split < 0 {
			fail("%s: no proof", path)
		}
		lines := strings.Split(string(proof[:split]), "\n")
		if lines[0] != "c2sp.org/tlog-proof@v1" {
			fail("%s: another form", path)
		}
		leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
		if err != nil {
			fail("%s: %v", path, err)
		}
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
		if err != nil {
			fail("%s: %v", path, err)
		}
		var way tlog.RecordProof
		for _, line := range lines[3:] {
			hash, err := tlog.ParseHash(line)
			if err != nil {
				fail("%s: %v", path, err)
			}
			way = append(way, hash)
		}
		at := open(proof[split+2:], verifier)
		if err := tlog.CheckRecord(way, at.N, at.Hash, index, tlog.RecordHash(leaf)); err != nil {
			fail("%s: %v", path, err)
		}
	}
	fmt.Printf("%d leaves, %d proofs\n", tree.N, len(os.Args)-3)
}
