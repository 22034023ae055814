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

// servers checks the entry points.
func (v *validator) servers(at string, s Site) {
	if len(s.Servers) == 0 {
		v.add(at+".servers", "there is none", "list one at least, such as [\"nats://nats.example.net:4222\"]")
	}
	for i, server := range s.Servers {
		field := at + ".servers[" + strconv.Itoa(i) + "]"
		if text, remedy := serverProblem(server); text != "" {
			v.add(field, text, remedy)
		}
	}
}

// serverProblem says what is wrong with the URL of a server, and what to do; "" for nothing. Where a secret may stand,
// before an @ or behind the host, nothing of it is shown. The NATS client would take a list with commas, a path or a
// query, and pass over what it does not know.
func serverProblem(server string) (text, remedy string) {
	const write = "write nats://HOST:PORT (or tls, ws, wss)"
	const files = "secrets come from files: use creds, nkey, or user with password_file"
	_, behind, _ := strings.Cut(server, "://")
	switch {
	case strings.Contains(server, "@"):
		return "has a login in it", "remove what stands before the @; " + files
	case strings.Contains(server, ","):
		return "has a comma in it", "give each server as an element of the list: [\"nats://A:4222\", \"nats://B:4222\"]"
	case strings.ContainsAny(server, "?#"):
		return "has something behind a ? or a #", "remove it; " + files
	case strings.Contains(strings.TrimSuffix(behind, "/"), "/"):
		return "has a path in it", "remove it: " + write
	}
	u, err := url.Parse(server)
	switch {
	case err != nil && strings.Count(behind, ":") > 0:
		return "is not the URL of a server", write + ", with the port as a number" // what is in the port's place may be a password
	case err != nil || !slices.Contains(schemes, u.Scheme) || !hostRule.MatchString(u.Hostname()):
		return quote(server) + " is not the URL of a server", write
	case u.Port() != "" && !validPort(u.Port(), 1):
		return quote(server) + " has a port that there is not", "use one from 1 to 65535"
	}
	return "", ""
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
