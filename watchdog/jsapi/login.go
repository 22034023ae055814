package jsapi

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/fnv"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

// DefaultInboxPrefix is where replies are received, so that a login needs to subscribe to nothing else.
const DefaultInboxPrefix = "_INBOX.understudy"

// Login says how to log in at one site: plain data, filled from the config or from a NATS context. Files are read anew
// at every connect, so a rotated secret needs no reload.
type Login struct {
	// Name is the connection's name as the server shows it. It also chooses the server that is tried first.
	Name    string
	Servers []string
	// Domain is the JetStream domain to ask; "" is the account's default one.
	Domain string

	Creds        string // path of a credentials file
	NKey         string // path of an nkey seed file
	User         string
	Password     string
	PasswordFile string // wins over Password
	Token        string

	TLSCert  string
	TLSKey   string
	TLSCA    string
	TLSFirst bool // handshake before the server's INFO

	// InboxPrefix is DefaultInboxPrefix when "".
	InboxPrefix string
}

// FirstServer is the one that is tried first, "" when there is none; the others follow in their order. Logins of
// different names begin at different servers, so that not all watchdogs see the site through the same one.
func (l Login) FirstServer() string {
	if len(l.Servers) == 0 {
		return ""
	}
	return l.Servers[l.first()]
}

// first is the place of FirstServer.
func (l Login) first() int {
	h := fnv.New64a()
	h.Write([]byte(l.Name))                                        // never fails
	return int((h.Sum64() >> 32) % max(uint64(len(l.Servers)), 1)) // its lowest bits hardly mix
}

// options builds the client's options for one connection. Every error is one of our own credentials.
func (l Login) options() ([]nats.Option, error) {
	opts := []nats.Option{nats.Name(l.Name), nats.CustomInboxPrefix(l.inboxPrefix())}
	switch {
	case l.Creds != "":
		if _, err := os.ReadFile(l.Creds); err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		opts = append(opts, nats.UserCredentials(l.Creds))
	case l.NKey != "":
		o, err := nats.NkeyOptionFromSeed(l.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey: %w", err)
		}
		opts = append(opts, o)
	case l.User != "":
		password, err := l.password()
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserInfo(l.User, password))
	case l.Token != "":
		opts = append(opts, nats.Token(l.Token))
	}
	t, err := l.tls()
	if err != nil {
		return nil, err
	}
	if t != nil {
		opts = append(opts, nats.Secure(t))
	}
	if l.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	return opts, nil
}

func (l Login) inboxPrefix() string {
	if l.InboxPrefix != "" {
		return l.InboxPrefix
	}
	return DefaultInboxPrefix
}

func (l Login) password() (string, error) {
	if l.PasswordFile == "" {
		return l.Password, nil
	}
	b, err := os.ReadFile(l.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// tls returns nil when no TLS file is named: a server that wants TLS is then verified against the system's roots.
func (l Login) tls() (*tls.Config, error) {
	if l.TLSCert == "" && l.TLSCA == "" {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(l.TLSCert, l.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("tls certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	if l.TLSCA != "" {
		pem, err := os.ReadFile(l.TLSCA)
		if err != nil {
			return nil, fmt.Errorf("tls ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls ca: no certificate in %s", l.TLSCA)
		}
	}
	return t, nil
}
