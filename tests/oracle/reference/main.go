// Command reference answers, for each image reference, what distribution/reference and the kubelet make of it.
//
// In:  JSON lines {"image": "<base64>"}; base64, because a reference under test may be any bytes at all.
// Out: one JSON line each, in order: what reference.ParseNormalizedNamed gives (domain, path, tag, digest, canonical,
// familiar, error), and under "kubelet" what k8s.io/kubernetes/pkg/util/parsers.ParseImageName gives
// (repo, tag, digest, error).
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/distribution/reference"
	"k8s.io/kubernetes/pkg/util/parsers"
)

type question struct {
	Image string `json:"image"`
}

type kubelet struct {
	Repo   string `json:"repo"`
	Tag    string `json:"tag"`
	Digest string `json:"digest"`
	Error  string `json:"error"`
}

type answer struct {
	Domain    string  `json:"domain"`
	Path      string  `json:"path"`
	Tag       string  `json:"tag"`
	Digest    string  `json:"digest"`
	Canonical string  `json:"canonical"`
	Familiar  string  `json:"familiar"`
	Error     string  `json:"error"`
	Kubelet   kubelet `json:"kubelet"`
}

func ask(image string) answer {
	var out answer
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		out.Error = err.Error()
	} else {
		out.Domain = reference.Domain(named)
		out.Path = reference.Path(named)
		if tagged, ok := named.(reference.Tagged); ok {
			out.Tag = tagged.Tag()
		}
		if digested, ok := named.(reference.Digested); ok {
			out.Digest = digested.Digest().String()
		}
		out.Canonical = named.String()
		out.Familiar = reference.FamiliarString(named)
	}
	repo, tag, digest, err := parsers.ParseImageName(image)
	if err != nil {
		out.Kubelet.Error = err.Error()
	} else {
		out.Kubelet = kubelet{Repo: repo, Tag: tag, Digest: digest}
	}
	return out
}

func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<16)
	buffered := bufio.NewWriterSize(out, 1<<16)
	decoder := json.NewDecoder(lines)
	encoder := json.NewEncoder(buffered)
	for {
		var q question
		if err := decoder.Decode(&q); err == io.EOF {
			return buffered.Flush()
		} else if err != nil {
			return fmt.Errorf("not a question: %w", err)
		}
		image, err := base64.StdEncoding.DecodeString(q.Image)
		if err != nil {
			return fmt.Errorf("image is not base64: %w", err)
		}
		if err := encoder.Encode(ask(string(image))); err != nil {
			return err
		}
		// one question at a time from a client that waits, many at once from a pipe
		if lines.Buffered() == 0 {
			if err := buffered.Flush(); err != nil {
				return err
			}
		}
	}
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}
