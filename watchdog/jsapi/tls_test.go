package jsapi_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

func containsSecret(s string) bool { return strings.Contains(s, "secret") }

// selfSigned makes a certificate for 127.0.0.1 that is its own authority, valid until then.
func selfSigned(t *testing.T, until time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

func testCA(t *testing.T) string {
	_, ca := selfSigned(t, time.Now().Add(time.Hour))
	return ca
}

func TestCertificates(t *testing.T) {
	good, ca := selfSigned(t, time.Now().Add(time.Hour))
	expired, expiredCA := selfSigned(t, time.Now().Add(-time.Minute))
	serve := func(cert tls.Certificate) func(*server.Options) {
		return func(o *server.Options) {
			o.TLSConfig, o.TLSTimeout = &tls.Config{Certificates: []tls.Certificate{cert}}, 2
		}
	}
	for name, tc := range map[string]struct {
		cert tls.Certificate
		ca   string
		want error
	}{
		"trusted": {good, ca, nil},
		"unknown": {good, testCA(t), jsapi.ErrAuth},
		"expired": {expired, expiredCA, jsapi.ErrAuth},
	} {
		t.Run(name, func(t *testing.T) {
			s := embedded(t, serve(tc.cert))
			l := jsapi.Login{Servers: []string{"tls://" + s.Addr().String()}, TLSCA: tc.ca}
			c, err := jsapi.DialOnce(within(t, 5*time.Second), jsapi.Options{Login: l})
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if err == nil {
				defer c.Close()
				if _, _, err := c.API(within(t, time.Second)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
