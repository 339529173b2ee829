//go:build tools

// Package tools pins the conformance suite of HTTP/2 with all that it needs, so that every build of it
// is the same.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
