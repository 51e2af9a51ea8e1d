// Command yaml answers how kubectl reads a YAML document: sigs.k8s.io/yaml, which turns it into JSON.
//
// In:  JSON lines {"text": "…"}.
// Out: one JSON line each, in order: {"value": …}, or {"error": "…"}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"sigs.k8s.io/yaml"
)

type question struct {
	Text string `json:"text"`
}

type answer struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

func ask(q question) answer {
	read, err := yaml.YAMLToJSON([]byte(q.Text))
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Value: read}
}

func run(in io.Reader, out io.Writer) error {
	reader := json.NewDecoder(in)
	buffered := bufio.NewWriter(out)
	writer := json.NewEncoder(buffered)
	for {
		var q question
		if err := reader.Decode(&q); errors.Is(err, io.EOF) {
			return buffered.Flush()
		} else if err != nil {
			return err
		}
		if err := writer.Encode(ask(q)); err != nil {
			return err
		}
	}
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
