//go:build failpoint

package failover_test

import (
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

// guarded is one stream of a crash test: its origin is at east.
type guarded struct {
	grouplab.Stream
	points []string            // the failpoints that kill its leader, once each, by a death of its own
	shared map[string][]string // those of a death that other streams share, by its name
	waits  []string            // the failpoints that hold its leader up

	durable, sourced bool // it has a durable, or another stream sources from it
}

// guard describes a stream with mirrors at sites, and the failpoints that are armed for it.
func guard(name string, sites []string, points ...string) guarded {
	g := guarded{Stream: grouplab.Stream{Name: name, Origin: "east", Mirrors: map[string]string{}}, points: points}
	for _, site := range sites {
		g.Mirrors[site] = name + "_" + strings.ToUpper(site)
	}
	return g
}

// all are the failpoints that kill its leader.
func (g guarded) all() []string {
	list := slices.Clone(g.points)
	for _, points := range g.shared {
		list = append(list, points...)
	}
	return list
}

// armed are the failpoints of a stream as the processes know them.
func (g guarded) armed(points []string) []string {
	var list []string
	for _, p := range points {
		list = append(list, p+"@"+g.Name)
	}
	return list
}

// deaths lists the failpoints by death.
func deaths(streams []guarded) []string {
	var list []string
	shared := map[string][]string{}
	for _, s := range streams {
		list = append(list, s.armed(s.points)...)
		for death, points := range s.shared {
			shared[death] = append(shared[death], s.armed(points)...)
		}
	}
	for _, points := range shared {
		list = append(list, strings.Join(points, "+"))
	}
	return list
}
