package consumers

import (
	"maps"
	"reflect"
	"slices"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// apply drops what the config in force does not name, and returns its streams. Nothing is connected yet: a site gets its
// connection when a primary is there.
func (k *Keeper) apply() []policy.StreamRules {
	k.mu.Lock()
	gone, unguarded := []*site{}, []string{}
	for name, s := range k.sites {
		if login, ok := k.want.Logins[name]; !ok || !reflect.DeepEqual(login, s.login) {
			gone = append(gone, s)
			delete(k.sites, name)
		}
	}
	for name, h := range k.kept {
		sr, ok := k.want.Streams[name]
		if !ok {
			delete(k.kept, name)
			unguarded = append(unguarded, name)
			continue
		}
		maps.DeleteFunc(h.members, func(id policy.MemberID, _ policy.ConsumerSnapshot) bool {
			return !slices.Contains(sr.Members(), id)
		})
	}
	streams := slices.Collect(maps.Values(k.want.Streams))
	k.mu.Unlock()
	for _, s := range gone {
		s.conn.Close()
	}
	for _, name := range unguarded {
		k.forget(name)
	}
	return streams
}

// site is the connection to a site; nil when the config has no login for it.
func (k *Keeper) site(name string) *site {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.sites[name]; s != nil {
		return s
	}
	login, ok := k.want.Logins[name]
	if !ok {
		return nil
	}
	s := &site{login: login, conn: jsapi.Dial(jsapi.Options{Login: login}), gate: make(chan struct{}, atOnce)}
	k.sites[name] = s
	return s
}

// disconnect closes all connections. It is called when nothing uses them any more.
func (k *Keeper) disconnect() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range k.sites {
		s.conn.Close()
	}
	clear(k.sites)
}
