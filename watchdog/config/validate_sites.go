package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

var schemes = []string{"nats", "tls", "ws", "wss"}

func (v *validator) sites() {
	if len(v.c.Sites) == 0 {
		v.add("sites", "there is none", "list every site with NATS: SITE: {servers: [nats://HOST:4222], creds: FILE}")
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.Sites)) {
		s, at := v.c.Sites[name], "sites."+name
		v.name(at, name)
		v.servers(at, s)
		v.login(at, s)
		if s.Domain != "" {
			v.token(at+".domain", s.Domain, "a JetStream domain")
		}
	}
}

// servers checks the entry points. What stands before an @ is not shown: it may be a password.
func (v *validator) servers(at string, s Site) {
	if len(s.Servers) == 0 {
		v.add(at+".servers", "there is none", "list one at least, such as [\"nats://nats.example.net:4222\"]")
	}
	for i, server := range s.Servers {
		field := at + ".servers[" + strconv.Itoa(i) + "]"
		if strings.Contains(server, "@") {
			v.add(field, "has a login in it", "remove what stands before the @; secrets come from files: use creds, "+
				"nkey, or user with password_file")
			continue
		}
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme) || !validPort(u.Port()) {
			v.add(field, quote(server)+" is not the URL of a server", "write nats://HOST:PORT (or tls, ws, wss)")
		}
	}
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return port == "" || err == nil && n > 0 && n <= 65535
}

// login checks that there is one way to log in. A client certificate may come with another login, since servers can
// ask for both; without one it is the login.
func (v *validator) login(at string, s Site) {
	var kinds []string
	for _, k := range []struct{ name, value string }{{"creds", s.Creds}, {"nkey", s.NKey}, {"user", s.User}} {
		if k.value != "" {
			kinds = append(kinds, k.name)
		}
	}
	if len(kinds) > 1 {
		v.add(at, "has more than one login: "+strings.Join(kinds, ", "), "keep one")
	}
	certificate := s.TLS != nil && s.TLS.Cert != ""
	if len(kinds) == 0 && s.PasswordFile == "" && !certificate && !s.onLoopback() {
		v.add(at, "has no login", "set creds, nkey, user with password_file, or tls with cert and key")
	}
	if s.User != "" && s.PasswordFile == "" {
		v.add(at+".password_file", "is missing", "name the file that holds the password of user "+quote(s.User))
	}
	if s.User == "" && s.PasswordFile != "" {
		v.add(at+".user", "is missing", "name the user that password_file belongs to")
	}
	if t := s.TLS; t != nil && (t.Cert == "") != (t.Key == "") {
		v.add(at+".tls", "has a cert or a key, but not both", "name both files")
	}
}

// onLoopback tells whether every server of the site is on this machine, where a login may be missing.
func (s Site) onLoopback() bool {
	for _, server := range s.Servers {
		if u, err := url.Parse(server); err != nil || !isLoopbackHost(u.Hostname()) {
			return false
		}
	}
	return true
}

// fileNames refuses a secret in the place of a file's name, without showing it.
func (v *validator) fileNames() {
	for _, f := range v.c.files() {
		if secretInName(*f.name) {
			v.add(f.field, "has a secret where the name of its file belongs", "write it into a file, readable by its "+
				"owner only, and name that")
		}
	}
}

// token checks a word that becomes one token of a NATS subject.
func (v *validator) token(field, value, what string) bool {
	const most = 255
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`.*>/\`, r) }
	switch {
	case value == "":
		v.add(field, "is missing", "name "+what)
	case len(value) > most:
		v.add(field, fmt.Sprintf("has %d bytes", len(value)), fmt.Sprintf("%s has at most %d", what, most))
	case strings.ContainsFunc(value, bad):
		v.add(field, quote(value)+" is not the name of "+what, `leave out spaces and . * > / \`)
	default:
		return true
	}
	return false
}
