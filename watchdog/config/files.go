package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"
)

// CheckFiles checks the files that the config names, as far as this process may: they are there, readable and not
// empty, certificates fit their keys and are valid now, and this watchdog's certificate bears its name. It returns
// Errors or nil.
func (c *Config) CheckFiles() error {
	l := &list{src: c.src}
	content := map[string][]byte{} // by field; only what could be read
	c.files(func(field string, name *string) {
		if *name == "" {
			return
		}
		if data, problem := readFile(*name); problem != "" {
			l.add(field, quote(*name)+" "+problem, "relative names are taken from the config's folder; the file has to "+
				"be readable by the user that the watchdog runs as")
		} else {
			content[field] = data
		}
	})
	if leaf := checkPEM(l, "tls", content); leaf != nil {
		host, _, _ := net.SplitHostPort(c.Self().Addr)
		if leaf.VerifyHostname(c.Node) != nil && leaf.VerifyHostname(host) != nil {
			l.add("tls.cert", fmt.Sprintf("is made out neither for %q nor for %q", c.Node, host),
				"issue it with the peer's name as a DNS name (subjectAltName)")
		}
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

// checkPEM checks one set of PEM files, and returns the certificate, if it is sound.
func checkPEM(l *list, at string, content map[string][]byte) *x509.Certificate {
	if ca, ok := content[at+".ca"]; ok && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		l.add(at+".ca", "has no certificate in it", "give a PEM file with the authority's certificate")
	}
	cert, ok := content[at+".cert"]
	key, both := content[at+".key"]
	if !ok || !both {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		l.add(at+".cert", "does not fit its key: "+err.Error(), "give the PEM files of one certificate and its key")
		return nil
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		l.add(at+".cert", fmt.Sprintf("is valid from %s to %s only", pair.Leaf.NotBefore.UTC().Format(time.DateTime),
			pair.Leaf.NotAfter.UTC().Format(time.DateTime)), "renew it, or set the clock")
		return nil
	}
	return pair.Leaf
}
