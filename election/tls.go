package election

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// TLSFiles name the files of mutual TLS, PEM encoded. They are read again at each handshake, so a renewed certificate
// needs no restart.
type TLSFiles struct {
	Cert string // this node's certificate chain
	Key  string // its private key
	CA   string // who signs the peers' certificates
}

// alpn keeps a peer from talking to another TLS service by mistake.
const alpn = "understudy-peer"

// secure wraps connections in mutual TLS 1.3; nil passes them through.
type secure struct {
	files  TLSFiles
	log    *slog.Logger
	seldom *seldom

	mu   sync.Mutex
	last *keys // what was last read in whole
}

// keys are the contents of TLSFiles.
type keys struct {
	cert tls.Certificate
	ca   *x509.CertPool
}

// newSecure reads and checks the TLS files, or, without any, makes sure that none are needed.
func newSecure(o Options) (*secure, error) {
	if o.TLS == nil {
		return nil, requireLoopback(o)
	}
	s := &secure{files: *o.TLS, log: o.Log, seldom: newSeldom()}
	k, err := s.read()
	if err != nil {
		return nil, err
	}
	s.last = k
	self, _ := o.peer(o.ID)
	if err := CheckCertificate(k.cert, k.ca, self.ID, self.Addr); err != nil {
		return nil, fmt.Errorf("tls: %s with ca %s: %w", s.files.Cert, s.files.CA, err)
	}
	return s, nil
}

// ErrCertificate is wrapped by every error about a certificate that the other peers would refuse.
var ErrCertificate = errors.New("the peers would refuse this certificate")

// CheckCertificate tells whether the peers would accept a certificate as that of the peer with this id and address: it
// names the id, or the address's host, and ca has signed it for both ends of a connection. Otherwise the error wraps
// [ErrCertificate].
func CheckCertificate(cert tls.Certificate, ca *x509.CertPool, id, addr string) error {
	chain, err := x509.ParseCertificates(slices.Concat(cert.Certificate...))
	if err != nil || len(chain) == 0 {
		return fmt.Errorf("%w: its chain cannot be read: %w", ErrCertificate, cmp.Or(err, errors.New("it is empty")))
	}
	if names := namesOf(chain[0]); !names.match(id, addr) {
		return fmt.Errorf("%w: it is for %s; it must name %q or the host of %s, without wildcards",
			ErrCertificate, names, id, addr)
	}
	k := &keys{cert: cert, ca: ca}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := k.verify(chain, usage); err != nil {
			return fmt.Errorf("%w: %w", ErrCertificate, err)
		}
	}
	return nil
}

// requireLoopback refuses plain TCP where others could reach it: whoever can connect could take the group over.
func requireLoopback(o Options) error {
	const remedy = "is not on loopback: plain TCP would let anyone who reaches it control the watchdogs; " +
		"configure tls: {cert, key, ca}"
	for _, p := range o.Peers {
		if !isLoopback(p.Addr) {
			return fmt.Errorf("address %s of peer %q %s", p.Addr, p.ID, remedy)
		}
	}
	bind := o.Bind
	if o.Listener != nil {
		bind = o.Listener.Addr().String()
	}
	if !isLoopback(bind) {
		return fmt.Errorf("bind address %s of peer %q %s", bind, o.ID, remedy)
	}
	return nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// current returns the files' contents, or the last good ones while the files are being replaced.
func (s *secure) current() *keys {
	k, err := s.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.seldom.may(err.Error()) {
			s.log.Warn("cannot read the TLS files; using those read before", keyError, err)
		}
		return s.last
	}
	s.last = k
	return k
}

func (s *secure) read() (*keys, error) {
	cert, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: read cert %s and key %s: %w", s.files.Cert, s.files.Key, err)
	}
	pem, err := os.ReadFile(s.files.CA)
	if err != nil {
		return nil, fmt.Errorf("tls: read ca: %w", err)
	}
	k := &keys{cert: cert, ca: x509.NewCertPool()}
	if !k.ca.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: ca %s holds no certificate", s.files.CA)
	}
	return k, nil
}

// expires returns the end of the node's certificate as it was last read.
func (s *secure) expires() time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.cert.Leaf.NotAfter
}

// accept makes the server's side of a handshake and returns the names in the peer's certificate.
func (s *secure) accept(ctx context.Context, raw net.Conn) (net.Conn, certNames, error) {
	if s == nil {
		return raw, nil, nil
	}
	conn := tls.Server(raw, s.current().config(x509.ExtKeyUsageClientAuth, nil))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("tls handshake: %w", err)
	}
	return conn, namesOf(conn.ConnectionState().PeerCertificates[0]), nil
}

// dial makes the client's side of a handshake with the peer of that id and address.
func (s *secure) dial(ctx context.Context, raw net.Conn, id, addr string) (net.Conn, error) {
	if s == nil {
		return raw, nil
	}
	conf := s.current().config(x509.ExtKeyUsageServerAuth, func(names certNames) error {
		if !names.match(id, addr) {
			return fmt.Errorf("its certificate is for %s, not for %q or the host of %s", names, id, addr)
		}
		return nil
	})
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	return conn, nil
}

// config verifies the other side's chain itself, on both sides alike: the standard check of a server's name knows
// neither ids nor common names.
func (k *keys) config(usage x509.ExtKeyUsage, check func(certNames) error) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{k.cert},
		NextProtos:             []string{alpn},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection does it
		SessionTicketsDisabled: true, // a resumed session would outlive a replaced CA
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != alpn {
				return errors.New("it is not a peer: no common protocol")
			}
			if err := k.verify(cs.PeerCertificates, usage); err != nil {
				return err
			}
			if check != nil {
				return check(namesOf(cs.PeerCertificates[0]))
			}
			return nil
		},
	}
}

// verify checks a chain, the peer's own certificate first.
func (k *keys) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("it showed no certificate")
	}
	opts := x509.VerifyOptions{Roots: k.ca, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return fmt.Errorf("certificate for %s: %w", namesOf(chain[0]), err)
	}
	return nil
}

// certNames are the names that a certificate is for: DNS names, IP addresses and the common name.
type certNames []string

func namesOf(c *x509.Certificate) certNames {
	names := append(certNames(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

// String lists the names.
func (n certNames) String() string { return fmt.Sprintf("%q", []string(n)) }

// match reports whether one of the names is the peer's id, or the host of its configured address. A wildcard matches
// nothing: it would let one watchdog speak for another.
func (n certNames) match(id, addr string) bool {
	host, _, _ := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	for _, name := range n {
		if name == id || strings.EqualFold(name, host) {
			return true
		}
	}
	return false
}
