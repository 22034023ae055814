package config

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
)

// CheckReload tells whether a running watchdog with config c may go on with next. What it cannot change while it runs
// is refused with Errors that name the fields of next. Whether a stream may be removed depends on its state and is
// for the caller to check.
func (c *Config) CheckReload(next *Config) error {
	l := &list{src: next.src}
	fixed := func(field string, was, is any) {
		if !reflect.DeepEqual(was, is) {
			l.add(field, "cannot change while the watchdog runs", "restart it, or put the old value back")
		}
	}
	fixed("node", c.Node, next.Node)
	fixed("data_dir", c.DataDir, next.DataDir)
	fixed("bind", c.PeerListen(), next.PeerListen())
	fixed("tls", c.TLS, next.TLS)
	fixed("http.listen", c.HTTP.Listen, next.HTTP.Listen)
	fixed("admin.listen", c.Admin.Listen, next.Admin.Listen)
	fixed("raft", c.Raft, next.Raft)
	fixed("log.format", c.Log.Format, next.Log.Format)
	c.checkPeers(l, next)
	return l.err()
}

// checkPeers refuses another group of watchdogs: raft would not learn of it.
func (c *Config) checkPeers(l *list, next *Config) {
	const remedy = "stop all watchdogs, change it on each, and start them"
	for _, name := range slices.Sorted(maps.Keys(next.Peers)) {
		was, ok := c.Peers[name]
		switch is := next.Peers[name]; {
		case !ok:
			l.add("peers."+name, "cannot be added while the watchdogs run", remedy)
		case was != is:
			l.add("peers."+name, "cannot change while the watchdogs run", remedy)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		if _, ok := next.Peers[name]; !ok {
			l.add("peers."+name, "cannot be removed while the watchdogs run", remedy)
		}
	}
}

// ProblemOf makes a problem of one stream, for a check that only the caller can make: it stands where the stream does,
// or where the streams do when none has the name.
func (c *Config) ProblemOf(stream, text, remedy string) *Problem {
	field := "streams"
	if i := slices.IndexFunc(c.Streams, func(s Stream) bool { return s.Name == stream }); i >= 0 {
		field += "[" + strconv.Itoa(i) + "]"
	}
	l := &list{src: c.src}
	l.add(field, text, remedy)
	return l.errs[0]
}
