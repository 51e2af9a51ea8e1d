// Command platforms answers, for each image index and node platform, what containerd's own matcher makes of it.
//
// In:  JSON lines {"node": platform, "entries": [platform or null, …]}; a platform as the OCI writes it.
// Out: one JSON line each, in order: {"only": [bool, …], "exact": [bool, …], "choice": offset or null}: per entry what
// platforms.Only(node) and platforms.NewMatcher(node) match (true for an entry without platform, as containerd's
// handlers take it), and the entry that its images.Manifest picks with platforms.Default() of such a node.
//
// Two things that containerd keeps unexported, or compiles only for Windows, are written out here: the order in
// images.Manifest (core/images/image.go of v2.4.2), and Default() on Windows (defaults_windows.go: NewMatcher, sorted by
// the version's text). The matching itself, Windows versions included, is the package's own on every system.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/containerd/platforms"
	specs "github.com/opencontainers/image-spec/specs-go/v1"
)

type question struct {
	Node    specs.Platform    `json:"node"`
	Entries []*specs.Platform `json:"entries"`
}

type answer struct {
	Only   []bool `json:"only"`
	Exact  []bool `json:"exact"`
	Choice *int   `json:"choice"`
}

type windowsDefault struct{ platforms.Matcher }

func (c windowsDefault) Less(a, b specs.Platform) bool {
	matchesA, matchesB := c.Match(a), c.Match(b)
	if matchesA && matchesB {
		return a.OSVersion > b.OSVersion
	}
	return matchesA && !matchesB
}

func ask(q question) answer {
	only, exact := platforms.Only(q.Node), platforms.NewMatcher(q.Node)
	node := platforms.MatchComparer(only)
	if q.Node.OS == "windows" {
		node = windowsDefault{exact}
	}
	out := answer{Only: []bool{}, Exact: []bool{}}
	var taken []int
	for i, entry := range q.Entries {
		out.Only = append(out.Only, entry == nil || only.Match(*entry))
		out.Exact = append(out.Exact, entry == nil || exact.Match(*entry))
		if entry == nil || node.Match(*entry) {
			taken = append(taken, i)
		}
	}
	sort.SliceStable(taken, func(i, j int) bool {
		a, b := q.Entries[taken[i]], q.Entries[taken[j]]
		if a == nil {
			return false
		}
		if b == nil {
			return true
		}
		return node.Less(*a, *b)
	})
	if len(taken) > 0 {
		out.Choice = &taken[0]
	}
	return out
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<24)
	writer := bufio.NewWriter(out)
	answers := json.NewEncoder(writer)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("question %q: %w", lines.Text(), err)
		}
		if err := answers.Encode(ask(q)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return writer.Flush()
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
