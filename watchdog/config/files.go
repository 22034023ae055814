package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/election"
)

// fileRef is one file that the config names.
type fileRef struct {
	field string
	name  *string
}

func (t *TLS) files(at string) []fileRef {
	if t == nil {
		return nil
	}
	return []fileRef{{join(at, "cert"), &t.Cert}, {join(at, "key"), &t.Key}, {join(at, "ca"), &t.CA}}
}

func (s *Site) files(at string) []fileRef {
	refs := []fileRef{
		{join(at, "creds"), &s.Creds}, {join(at, "nkey"), &s.NKey}, {join(at, "password_file"), &s.PasswordFile},
	}
	return append(refs, s.TLS.files(join(at, "tls"))...)
}

// files lists the files with a login or a certificate, for reading: a site in a map cannot be changed in place.
func (c *Config) files() []fileRef {
	refs := c.TLS.files("tls")
	for _, name := range slices.Sorted(maps.Keys(c.Sites)) {
		s := c.Sites[name]
		refs = append(refs, s.files("sites."+name)...)
	}
	return refs
}

// CheckFiles checks the files that the config names, as far as this process may: they are there, readable and not
// empty, certificates fit their keys and are valid now, and this watchdog's certificate bears its name. It returns
// Errors or nil.
func (c *Config) CheckFiles() error {
	l := &list{src: c.src}
	content := map[string][]byte{} // by field; only what could be read
	for _, f := range c.files() {
		if *f.name == "" {
			continue
		}
		if data, problem := readFile(*f.name); problem != "" {
			l.add(f.field, quote(*f.name)+" "+problem, "relative names are taken from the config's folder; the file has "+
				"to be readable by the user that the watchdog runs as")
		} else {
			content[f.field] = data
		}
	}
	if cert := checkPEM(l, "tls", content); cert != nil {
		c.checkPeerCertificate(l, *cert, content["tls.ca"])
	}
	for name := range c.Sites {
		checkPEM(l, "sites."+name+".tls", content)
	}
	return l.err()
}

// readFile returns the content of a file, or what is wrong with it.
func readFile(name string) (data []byte, problem string) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "does not exist"
	case err == nil && !info.Mode().IsRegular():
		return nil, "is not a regular file"
	}
	data, err = os.ReadFile(name)
	if err != nil {
		return nil, "cannot be read: " + reason(err)
	}
	if strings.TrimSpace(string(data)) == "" {
		return nil, "is empty"
	}
	return data, ""
}

// reason is the system's word for an error, without the path: the message has it already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// checkPEM checks one set of PEM files, and returns the certificate if it goes with its key and is valid now.
func checkPEM(l *list, at string, content map[string][]byte) *tls.Certificate {
	if ca, ok := content[at+".ca"]; ok && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		l.add(at+".ca", "has no certificate in it", "give a PEM file with the authority's certificate")
		delete(content, at+".ca")
	}
	cert, ok := content[at+".cert"]
	key, both := content[at+".key"]
	if !ok || !both {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		l.add(at+".cert", "does not go with its key: "+err.Error(), "give the PEM files of one certificate and its key")
		return nil
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		l.add(at+".cert", fmt.Sprintf("is valid from %s to %s only", pair.Leaf.NotBefore.UTC().Format(time.DateTime),
			pair.Leaf.NotAfter.UTC().Format(time.DateTime)), "renew it, or set the clock")
		return nil
	}
	return &pair
}

// checkPeerCertificate asks the election what the other watchdogs will say of the certificate: a rule of our own would
// in time be another one.
func (c *Config) checkPeerCertificate(l *list, cert tls.Certificate, ca []byte) {
	if ca == nil {
		return // said already
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	if err := election.CheckCertificate(cert, pool, c.Node, c.Self().Addr); err != nil {
		l.add("tls.cert", err.Error(), "issue it with the peer's name as a DNS name (subjectAltName), signed by the "+
			"authority in tls.ca, for serverAuth and clientAuth")
	}
}

var seed = regexp.MustCompile(`\bS[A-Z][A-Z2-7]{50,}`)

// secretInName tells a secret that was written where the name of its file belongs.
func secretInName(name string) bool {
	return seed.MatchString(name) || strings.ContainsAny(name, "\n\r\x00") || strings.Contains(name, "-----BEGIN")
}
