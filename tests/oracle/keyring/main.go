// Command keyring answers, for a pod's pull secrets and an image, what Kubernetes' credentialprovider packages find.
//
// In:  JSON lines {"repository": "…", "secrets": [{"name": "…", "type": "…", "data": {"key": "<base64>"}}]}, where
// repository is what the kubelet looks up: ParseImageName's first result.
// Out: one JSON line each, in order: {"found": [{"secret", "username", "password", "email"}]}, the three last in base64
// (an auth may decode to any bytes), in the order in which the kubelet would try them; or {"error", "kind"}, where kind
// is syntax, type, base64 or other.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type secret struct {
	Name string            `json:"name"`
	Type string            `json:"type"`
	Data map[string][]byte `json:"data"`
}

type question struct {
	Repository string   `json:"repository"`
	Secrets    []secret `json:"secrets"`
}

type credential struct {
	Secret   string `json:"secret"`
	Username []byte `json:"username"`
	Password []byte `json:"password"`
	Email    []byte `json:"email"`
}

type answer struct {
	Found []credential `json:"found"`
	Error string       `json:"error,omitempty"`
	Kind  string       `json:"kind,omitempty"`
}

func ask(q question) answer {
	var passed []v1.Secret
	for _, s := range q.Secrets {
		one := v1.Secret{Type: v1.SecretType(s.Type), Data: s.Data}
		one.Name, one.Namespace = s.Name, "default"
		passed = append(passed, one)
	}
	// the kubelet's own union of the node's configuration and its plugins, here without either
	keyring, err := secrets.MakeDockerKeyring(passed, credentialprovider.UnionDockerKeyring{})
	if err != nil {
		return answer{Error: err.Error(), Kind: kind(err)}
	}
	found, _ := keyring.Lookup(q.Repository)
	out := answer{Found: []credential{}}
	for _, c := range found {
		out.Found = append(out.Found, credential{
			Secret:   c.Source.Secret.Name,
			Username: []byte(c.Username),
			Password: []byte(c.Password),
			Email:    []byte(c.Email),
		})
	}
	return out
}

func kind(err error) string {
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	var corrupt base64.CorruptInputError
	switch {
	case errors.As(err, &syntax):
		return "syntax"
	case errors.As(err, &typed):
		return "type"
	case errors.As(err, &corrupt):
		return "base64"
	}
	return "other"
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
		if err := encoder.Encode(ask(q)); err != nil {
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
	stderr := os.Stderr
	// the keyring logs every key that is no URL, at every look-up
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stderr = null
	}
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(stderr, "keyring:", err)
		os.Exit(1)
	}
}
