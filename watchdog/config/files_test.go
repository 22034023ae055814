package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/watchdog/config"
)

const withFiles = `
node: wd-east
peers:
  wd-east: {addr: "east.example.net:7422", site: east}
tls: {cert: tls.crt, key: tls.key, ca: ca.crt}
sites:
  east: {servers: ["nats://east.example.net"], creds: east.creds}
  west: {servers: ["nats://west.example.net"], user: understudy, password_file: west.password, tls: {ca: ca.crt}}
streams:
  - name: EVENTS
    origin: {site: east, stream: EVENTS}
    mirrors: [{site: west, stream: EVENTS_W}]
`

func TestCheckFiles(t *testing.T) {
	all := func(*x509.Certificate) {}
	tests := []struct {
		name   string
		cert   func(*x509.Certificate)
		damage func(t *testing.T, dir string)
		field  string // of the only problem; "" for none
		text   string
	}{
		{"complete", all, nil, "", ""},
		{"host instead of name", func(c *x509.Certificate) { c.DNSNames = []string{"east.example.net"} }, nil, "", ""},
		{"missing", all, remove("east.creds"), "sites.east.creds", "does not exist"},
		{"empty", all, write("west.password", "\n"), "sites.west.password_file", "is empty"},
		{"folder", all, func(t *testing.T, dir string) {
			remove("east.creds")(t, dir)
			check(t, os.Mkdir(filepath.Join(dir, "east.creds"), 0o755))
		}, "sites.east.creds", "is not a regular file"},
		{"no PEM", all, write("tls.crt", "x"), "tls.cert", "does not go with its key"},
		{"other key", all, func(t *testing.T, dir string) { issue(t, t.TempDir(), dir, all) }, "tls.cert",
			"signed by unknown authority"},
		{"other name", named("", "wd-west"), nil, "tls.cert", "must name"},
		{"wildcard", named("", "*.example.net"), nil, "tls.cert", "must name"},
		{"name in other letters", named("", "WD-EAST"), nil, "tls.cert", "must name"},
		{"host in other letters", named("", "East.Example.Net"), nil, "", ""},
		{"common name only", named("wd-east"), nil, "", ""},
		{"common name of another", named("wd-west"), nil, "tls.cert", "must name"},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }, nil, "tls.cert", "is valid from"},
		{"server only", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil,
			"tls.cert", "would refuse this certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			issue(t, dir, dir, test.cert)
			write("understudy.yaml", withFiles)(t, dir)
			write("east.creds", "x")(t, dir)
			write("west.password", "x")(t, dir)
			if test.damage != nil {
				test.damage(t, dir)
			}
			_, err := config.Load(filepath.Join(dir, "understudy.yaml"))
			var problems config.Errors
			switch {
			case test.field == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.field == "":
			case !errors.As(err, &problems) || len(problems) != 1 || problems[0].Field != test.field ||
				!strings.Contains(problems[0].Text, test.text) || problems[0].Line == 0:
				t.Errorf("got %v, want one problem of %s: %s", err, test.field, test.text)
			}
		})
	}
}

// named makes a certificate out for these names only.
func named(common string, dns ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = common, dns }
}

func TestCheckFilesBadAuthority(t *testing.T) {
	dir := t.TempDir()
	issue(t, dir, dir, func(*x509.Certificate) {})
	for _, f := range []string{"ca.crt", "east.creds", "west.password"} {
		write(f, "x")(t, dir)
	}
	c, err := config.Parse([]byte(withFiles), dir)
	check(t, err)
	var problems config.Errors
	if errors.As(c.CheckFiles(), &problems); len(problems) != 2 { // the file serves the peers and a site
		t.Errorf("got %d problems, want one for each use of ca.crt: %v", len(problems), problems)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "absent.yaml"))
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want one that is os.ErrNotExist", err)
	}
}

func write(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		check(t, os.Remove(filepath.Join(dir, name)))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// issue makes an authority in caDir, and a certificate that it signed in certDir.
func issue(t *testing.T, caDir, certDir string, change func(*x509.Certificate)) {
	t.Helper()
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "wd-east"}, DNSNames: []string{"wd-east"},
		NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	change(cert)
	caKey, key := newKey(t), newKey(t)
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	check(t, err)
	certDER, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
	check(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	writePEM(t, filepath.Join(caDir, "ca.crt"), "CERTIFICATE", caDER)
	writePEM(t, filepath.Join(certDir, "tls.crt"), "CERTIFICATE", certDER)
	writePEM(t, filepath.Join(certDir, "tls.key"), "PRIVATE KEY", keyDER)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return key
}

func writePEM(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	check(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
