package election

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.crt")}
	a.key = newKey(t)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes the files of a node whose certificate tune may change.
func (a *authority) issue(name string, tune func(*x509.Certificate)) *TLSFiles {
	a.t.Helper()
	dir := a.t.TempDir()
	f := &TLSFiles{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key"), CA: a.file}
	a.reissue(f, name, tune)
	return f
}

func (a *authority) reissue(f *TLSFiles, name string, tune func(*x509.Certificate)) {
	a.t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if tune != nil {
		tune(c)
	}
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writeFile(a.t, f.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	writeFile(a.t, f.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func newTLSGroup(t *testing.T, n int, a *authority) *group {
	t.Helper()
	return newGroup(t, n, func(o *Options) { o.TLS = a.issue(o.ID, nil) })
}

func TestMutualTLS(t *testing.T) {
	g := newTLSGroup(t, 3, newAuthority(t))
	for _, m := range g.members {
		if err := m.open(); err != nil {
			t.Fatal(err)
		}
		m.node.Handle("who", func(_ context.Context, from string, _ []byte) ([]byte, error) { return []byte(from), nil })
		m.run()
	}
	l := g.propose("a")
	for _, m := range g.members {
		eventually(t, "applied everywhere", func() bool { return slices.Equal(m.fsm.all(), []string{"a"}) })
		got, err := l.node.Call(t.Context(), m.opts.ID, "who", nil)
		if err != nil || string(got) != l.opts.ID {
			t.Errorf("call %s: %q, %v", m.opts.ID, got, err)
		}
	}
	if l.node.Status().CertExpires.Before(time.Now()) {
		t.Error("Status does not tell when the certificate ends")
	}
}

// A node outside the group's authority, or with another's name, is refused by the others, and says why.
func TestStrangersAreRefused(t *testing.T) {
	ca := newAuthority(t)
	g := newTLSGroup(t, 3, ca)
	g.members[0].start()
	good := g.members[0].node
	other := newAuthority(t)
	both := filepath.Join(t.TempDir(), "both.crt")
	writeFile(t, both, append(readFile(t, ca.file), readFile(t, other.file)...))

	for name, c := range map[string]struct {
		files *TLSFiles
		want  string
	}{
		"another authority": {func() *TLSFiles {
			f := other.issue("wd-2", nil)
			f.CA = both // it trusts the group, but the group does not trust it
			return f
		}(), "tls"},
		"another name": {ca.issue("wd-3", nil), `it says that it is "wd-2", but its certificate is for ["wd-3"]`},
		"expired":      {ca.issue("wd-2", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "tls"},
		"server only": {ca.issue("wd-2", func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			p := strangerPort(t, g.members[1].opts, c.files)
			_, err := p.dial(t.Context(), streamRaft, "wd-1")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("dial: %v, want %q", err, c.want)
			}
		})
	}
	t.Run("plain", func(t *testing.T) {
		p := strangerPort(t, g.members[1].opts, nil)
		if _, err := p.dial(t.Context(), streamRaft, "wd-1"); err == nil {
			t.Error("a plain client was let in")
		}
	})
	t.Run("trusted", func(t *testing.T) {
		conn, err := strangerPort(t, g.members[1].opts, ca.issue("wd-2", nil)).dial(t.Context(), streamRaft, "wd-1")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	})
	if good.Status().State == "stopped" {
		t.Error("the node stopped")
	}
}

// strangerPort dials like a node of those options, but with any files.
func strangerPort(t *testing.T, o Options, files *TLSFiles) *port {
	t.Helper()
	var sec *secure
	if files != nil {
		sec = &secure{files: *files, log: quiet, seldom: newSeldom()}
		k, err := sec.read()
		if err != nil {
			t.Fatal(err)
		}
		sec.last = k
	}
	return newPort(o.withDefaults(), nil, sec)
}

// Whoever dials checks too: a server with another's certificate could otherwise collect votes in its name.
func TestDialChecksTheServersName(t *testing.T) {
	ca := newAuthority(t)
	g := newTLSGroup(t, 3, ca)
	g.members[0].start()
	ca.reissue(g.members[0].opts.TLS, "wd-3", nil)
	p := strangerPort(t, g.members[1].opts, ca.issue("wd-2", nil))
	_, err := p.dial(t.Context(), streamRaft, "wd-1")
	if err == nil || !strings.Contains(err.Error(), `its certificate is for ["wd-3"], not for "wd-1"`) {
		t.Errorf("dial: %v", err)
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	ca := newAuthority(t)
	g := newTLSGroup(t, 1, ca)
	m := g.members[0]
	m.start()
	before := m.node.Status().CertExpires
	ca.reissue(m.opts.TLS, "wd-1", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(2 * time.Hour) })
	if k := m.node.port.secure.current(); !k.cert.Leaf.NotAfter.After(before) {
		t.Error("the old certificate is still used")
	}
	writeFile(t, m.opts.TLS.Cert, []byte("half a file"))
	if k := m.node.port.secure.current(); !k.cert.Leaf.NotAfter.After(before) {
		t.Error("the last good certificate is not used")
	}
}

func TestTLSOptionsAreChecked(t *testing.T) {
	ca := newAuthority(t)
	for name, c := range map[string]struct {
		files   *TLSFiles
		want    string
		refused bool // by the peers
	}{
		"missing":           {&TLSFiles{Cert: "no.crt", Key: "no.key", CA: ca.file}, "no.crt", false},
		"another name":      {ca.issue("else", nil), `it must name "wd-1" or the host of`, true},
		"wildcard":          {ca.issue("*.example.net", nil), `it must name "wd-1"`, true},
		"another authority": {func() *TLSFiles { f := newAuthority(t).issue("wd-1", nil); f.CA = ca.file; return f }(), "unknown authority", true},
		"empty ca":          {func() *TLSFiles { f := ca.issue("wd-1", nil); f.CA = f.Key; return f }(), "holds no certificate", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newGroup(t, 1, func(o *Options) { o.TLS = c.files }).members[0]
			err := m.open()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("open: %v, want %q", err, c.want)
			}
			if got := errors.Is(err, ErrCertificate); got != c.refused {
				t.Errorf("open: %v is ErrCertificate: %t, want %t", err, got, c.refused)
			}
		})
	}
}

func TestNamesOfCertificates(t *testing.T) {
	for name, cert := range map[string]*x509.Certificate{
		"id as DNS name":    {DNSNames: []string{"other", "wd-1"}},
		"id as common name": {Subject: pkix.Name{CommonName: "wd-1"}},
		"host as DNS name":  {DNSNames: []string{"East.example.net"}},
	} {
		if !namesOf(cert).match("wd-1", "east.example.net:7422") {
			t.Errorf("%s does not match", name)
		}
	}
	ip := &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("10.0.0.1")}}
	if !namesOf(ip).match("wd-1", "10.0.0.1:1") || namesOf(ip).match("wd-2", "10.0.0.2:1") {
		t.Error("addresses are not told apart")
	}
}

func TestPlainOnlyOnLoopback(t *testing.T) {
	local := "127.0.0.1:7422"
	for name, c := range map[string]struct{ peer, bind, want string }{
		"peer elsewhere": {"192.0.2.1:7422", local, `address 192.0.2.1:7422 of peer "wd-2" is not on loopback`},
		"peer by name":   {"west.example.net:7422", local, `peer "wd-2"`},
		"bind":           {"127.0.0.2:7422", "0.0.0.0:7422", `bind address 0.0.0.0:7422 of peer "wd-1"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(Options{
				ID: "wd-1", Peers: []Peer{{"wd-1", local}, {"wd-2", c.peer}}, Bind: c.bind,
				DataDir: t.TempDir(), FSM: &journal{}, Log: quiet,
			})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "configure tls") {
				t.Errorf("open: %v, want %q and the remedy", err, c.want)
			}
		})
	}
	for _, addr := range []string{"127.0.0.1:1", "[::1]:1", "localhost:1"} {
		if !isLoopback(addr) {
			t.Errorf("%s is loopback", addr)
		}
	}
}
