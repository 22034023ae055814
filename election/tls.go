package election

import (
	"context"
	"fmt"
	"net"
	"strings"
)

// TLSFiles name the files of mutual TLS, PEM encoded.
type TLSFiles struct {
	Cert string // this node's certificate chain
	Key  string // its private key
	CA   string // who signs the peers' certificates
}

// secure wraps connections in mutual TLS; nil passes them through.
type secure struct{}

// certNames are the names in a peer's certificate.
type certNames []string

// String lists the names.
func (n certNames) String() string { return fmt.Sprintf("%q", []string(n)) }

// match reports whether a name is the peer's id, or the host of its configured address.
func (n certNames) match(id, addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	for _, name := range n {
		if name == id || strings.EqualFold(name, host) {
			return true
		}
	}
	return false
}

func (s *secure) accept(ctx context.Context, raw net.Conn) (net.Conn, certNames, error) {
	return raw, nil, nil
}

func (s *secure) dial(ctx context.Context, raw net.Conn, id, addr string) (net.Conn, error) {
	return raw, nil
}

func newSecure(o Options) (*secure, error) { return nil, nil }
