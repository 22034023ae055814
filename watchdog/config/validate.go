package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of the config. Each has its reason; none is a default.
const (
	minProbe   = 100 * time.Millisecond // below it the looking itself is a load
	minRaft    = 50 * time.Millisecond  // below it a busy machine elects leaders without need
	maxSocket  = 103                    // bytes of a unix socket's path on macOS; Linux has 107
	unixPrefix = "unix:"
)

var (
	hostRule   = regexp.MustCompile(`^[A-Za-z0-9._:%-]+$`) // names and IP addresses, with zones
	nameRule   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{LogText, LogJSON}
)

// Validate checks everything that the config alone can tell, and returns Errors or nil. Parse has done it already; it
// is for a Config made in code.
func (c *Config) Validate() error {
	l := list{src: c.src, errs: c.problems()}
	return l.err()
}

// problems runs every check.
func (c *Config) problems() Errors {
	v := &validator{list: list{src: c.src}, c: c}
	v.node()
	v.peers()
	v.listeners()
	v.timing()
	v.settings("", c.stream())
	v.choice("log.format", c.Log.Format, logFormats)
	v.choice("log.level", c.Log.Level, logLevels)
	v.sites()
	v.fileNames()
	v.streams()
	return v.sorted()
}

// validator gathers the problems of one config.
type validator struct {
	list
	c *Config
}

func (v *validator) node() {
	c := v.c
	if c.DataDir == "" {
		v.add("data_dir", "is empty", "name the folder for the raft log, such as /var/lib/understudy")
	}
	if !v.name("node", c.Node) {
		return
	}
	if _, ok := c.Peers[c.Node]; !ok && len(c.Peers) > 0 {
		v.add("node", quote(c.Node)+" is none of the peers", didYouMean(c.Node, slices.Collect(maps.Keys(c.Peers))))
	}
}

func (v *validator) peers() {
	c := v.c
	switch len(c.Peers) {
	case 1, 3, 5:
	case 0:
		v.add("peers", "there is none", "list every watchdog, this one too: NAME: {addr: HOST:PORT, site: SITE}")
	default:
		v.add("peers", fmt.Sprintf("there are %d", len(c.Peers)), "list 1, 3 or 5: an even number stands no more "+
			"failures than one less, and more only slow the group down")
	}
	byAddr, open := map[string]string{}, false
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		p, at := c.Peers[name], "peers."+name
		v.name(at, name)
		v.name(at+".site", p.Site)
		if !v.dialable(at+".addr", p.Addr) {
			continue
		}
		if other, twice := byAddr[p.Addr]; twice {
			v.add(at+".addr", quote(p.Addr)+" is the address of "+other+" too", "give each watchdog its own")
		}
		byAddr[p.Addr] = name
		if !open && c.TLS == nil && !isLoopback(p.Addr) {
			open = true // one message will do
			v.add(at+".addr", quote(p.Addr)+" is not on loopback, and there is no tls", needTLS)
		}
	}
	if c.TLS != nil {
		v.required("tls.cert", c.TLS.Cert, "name the certificate of this watchdog")
		v.required("tls.key", c.TLS.Key, "name the key of the certificate")
		v.required("tls.ca", c.TLS.CA, "name the authority that signed the peers' certificates")
	}
}

const needTLS = "set tls: {cert, key, ca}: whoever reaches the peers' port without it can take the group over"

func (v *validator) listeners() {
	c := v.c
	if c.Bind != "" && v.address("bind", c.Bind, 1) && c.TLS == nil && !isLoopback(c.Bind) {
		v.add("bind", quote(c.Bind)+" is not on loopback, and there is no tls", needTLS)
	}
	if v.address("http.listen", c.HTTP.Listen, 0) && c.HTTP.Listen == c.PeerListen() { // port 0 is of use in tests
		v.add("http.listen", quote(c.HTTP.Listen)+" is where the peers connect", "use another port")
	}
	path, ok := strings.CutPrefix(c.Admin.Listen, unixPrefix)
	const remedy = `write unix: and a path, such as "unix:/run/understudy/admin.sock"`
	switch {
	case !ok:
		v.add("admin.listen", quote(c.Admin.Listen)+" is not a unix socket", remedy+": only a socket has an owner and "+
			"a mode that keep others out")
	case path == "" || strings.HasPrefix(path, "@"):
		v.add("admin.listen", quote(c.Admin.Listen)+" names no file", remedy)
	case socketRoom(path) > maxSocket:
		v.add("admin.listen", fmt.Sprintf("the path has %d bytes, and its socket needs %d of at most %d", len(path),
			socketRoom(path), maxSocket), "use a shorter one: the socket is made in a folder beside its place")
	}
}

// socketRoom is the length of the longest path that listening needs: api.ListenAdmin makes the socket as
// .XXXX/s in the same folder, and then moves it.
func socketRoom(path string) int {
	return max(len(path), len(filepath.Dir(path))+len("/.XXXX/s"))
}

func (v *validator) timing() {
	c := v.c
	v.every("probe", c.Probe.Every)
	if c.Probe.Timeout > c.Probe.Every || c.Probe.Timeout <= 0 {
		v.add("probe.timeout", short(c.Probe.Timeout)+" is not within probe.every, "+short(c.Probe.Every),
			"one look has to end before the next begins: set it to, say, three quarters of probe.every")
	}
	if c.Brake.Max < 0 {
		v.add("brake.max", fmt.Sprintf("%d is negative", c.Brake.Max), "use 0 for no limit")
	}
	if c.Brake.Max > 0 && c.Brake.Per <= 0 {
		v.add("brake.per", short(c.Brake.Per)+" is no span of time", "set, for example, 1h")
	}
	r := c.Raft
	if r.Lease < minRaft {
		v.add("raft.lease", short(r.Lease)+" is too short", "use "+short(minRaft)+" or more")
	}
	if r.Lease > r.Heartbeat {
		v.add("raft.lease", short(r.Lease)+" is longer than raft.heartbeat, "+short(r.Heartbeat),
			"a leader has to step down before the others elect a new one: use half of raft.heartbeat")
	}
	if r.Election < r.Heartbeat {
		v.add("raft.election", short(r.Election)+" is shorter than raft.heartbeat, "+short(r.Heartbeat),
			"use the same as raft.heartbeat, or more")
	}
}

// every checks an interval of looks.
func (v *validator) every(at string, every time.Duration) {
	if every < minProbe {
		v.add(at+".every", short(every)+" is too often", "use "+short(minProbe)+" or more")
	}
}

// choice checks a word against the list of those allowed.
func (v *validator) choice(field, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	remedy := "use one of these"
	if near := nearest(value, allowed); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	if len(allowed) == 1 {
		v.add(field, quote(value)+" is not supported", "use "+allowed[0])
		return
	}
	v.add(field, quote(value)+" is none of "+strings.Join(allowed, ", "), remedy)
}

// name checks a name of the operator's.
func (v *validator) name(field, value string) bool {
	if value == "" {
		v.add(field, "is missing", "give it a name of A-Z a-z 0-9 _ -")
		return false
	}
	if !nameRule.MatchString(value) {
		v.add(field, quote(value)+" is not a name", "use A-Z a-z 0-9 _ - only, at most 64 of them")
		return false
	}
	return true
}

func (v *validator) required(field, value, remedy string) {
	if value == "" {
		v.add(field, "is missing", remedy)
	}
}

// dialable checks an address that others connect to.
func (v *validator) dialable(field, addr string) bool {
	if addr == "" {
		v.add(field, "is missing", "give the HOST:PORT at which the other watchdogs reach it")
		return false
	}
	if !v.address(field, addr, 1) {
		return false
	}
	host, _, _ := net.SplitHostPort(addr)
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		v.add(field, quote(addr)+" names no host that others can reach", "give the host's name or address here, and "+
			"the address to listen on as bind")
		return false
	}
	return true
}

// address checks a HOST:PORT.
func (v *validator) address(field, addr string, minPort int) bool {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && validPort(port, minPort) && (host == "" || hostRule.MatchString(host)) {
		return true
	}
	v.add(field, quote(addr)+" is not an address", "write HOST:PORT, such as \"east.example.net:7422\" or "+
		"\"127.0.0.1:7424\", with the port as a number")
	return false
}

// validPort tells a port number in decimal digits; Atoi alone would take a sign.
func validPort(port string, least int) bool {
	n, err := strconv.Atoi(port)
	return err == nil && decimal.MatchString(port) && n >= least && n <= 65535
}
