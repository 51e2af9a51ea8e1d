//go:build tools

// Package oracle only keeps the requirements of programs that `go mod tidy` could otherwise drop.
package oracle

import (
	_ "github.com/containerd/platforms"
	_ "github.com/distribution/reference"
	_ "github.com/opencontainers/go-digest"
	_ "github.com/opencontainers/image-spec/specs-go/v1"
	_ "k8s.io/api/core/v1"
	_ "k8s.io/kubernetes/pkg/credentialprovider"
	_ "k8s.io/kubernetes/pkg/credentialprovider/secrets"
	_ "k8s.io/kubernetes/pkg/util/parsers"
)
