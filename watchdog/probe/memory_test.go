package probe

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

func TestMemberLearns(t *testing.T) {
	created, t0 := time.Unix(1, 0), time.Now()
	answer := func(seq uint64) *policy.Snapshot { return &policy.Snapshot{Created: created, LastSeq: seq} }
	m := &member{}
	for _, step := range []struct {
		name     string
		s        *policy.Snapshot
		leads    bool
		at       time.Duration
		wantSeq  uint64
		wantRate float64
	}{
		{"a first answer without leader is better than none", answer(5), false, 0, 5, 0},
		{"a leader's answer replaces it", answer(10), true, time.Second, 10, 5},
		{"too soon for another rate", answer(11), true, time.Second + 10*time.Millisecond, 11, 5},
		{"a replica without leader may be behind", answer(3), false, 2 * time.Second, 11, 5},
		{"an older answer that comes late", answer(9), true, 500 * time.Millisecond, 11, 5},
		{"no traffic", answer(11), true, 3 * time.Second, 11, 0},
		{"the origin came back shorter", answer(7), true, 4 * time.Second, 7, 0},
		{"another stream of that name", &policy.Snapshot{Created: created.Add(1), LastSeq: 100}, true, 5 * time.Second, 100, 0},
	} {
		m.learn(step.s, step.leads, t0.Add(step.at))
		if m.last.LastSeq != step.wantSeq || m.last.Rate != step.wantRate {
			t.Errorf("%s: got seq %d at rate %v, want %d at %v", step.name, m.last.LastSeq, m.last.Rate, step.wantSeq, step.wantRate)
		}
	}
}

func TestTheLaterPassHasTheLastWord(t *testing.T) {
	m, t0 := &member{}, time.Now()
	newer := stamp{began: t0.Add(time.Second), term: 1, round: 2}
	m.keep(newer, []seen{{}})
	m.keep(stamp{began: t0, term: 1, round: 1}, []seen{{}, {}})
	m.keep(stamp{began: t0.Add(2 * time.Second), term: 1, round: 3}, nil) // it asked too late to learn anything
	if m.stamp != newer || len(m.looks) != 1 {
		t.Errorf("got %+v", m)
	}
}

func TestSharedMetaIsLearned(t *testing.T) {
	id := func(s string) policy.MemberID { return policy.MemberID{Site: s, Stream: "S_" + s} }
	mirrorOf := func(name, external string) []byte {
		return fmt.Appendf(nil, `{"name":"X","mirror":{"name":%q%s}}`, name, external)
	}
	external := `,"external":{"api":"$JS.a.API"}`
	fresh := func() *guarded {
		g := &guarded{rules: policy.StreamRules{Origin: id("a")}, members: map[policy.MemberID]*member{}, joined: map[pair]bool{}}
		for _, s := range []string{"a", "b", "c", "d"} {
			g.members[id(s)] = &member{}
		}
		return g
	}
	for _, tc := range []struct {
		name  string
		learn func(*guarded)
		want  []policy.MemberID // that share with a
	}{
		{"nothing known", func(*guarded) {}, nil},
		{"a mirror without external", func(g *guarded) { g.learn(id("b"), mirrorOf("S_a", "")) }, []policy.MemberID{id("b")}},
		{"a mirror with external", func(g *guarded) { g.learn(id("b"), mirrorOf("S_a", external)) }, nil},
		{"not a mirror", func(g *guarded) { g.learn(id("b"), []byte(`{"name":"X","subjects":["x"]}`)) }, nil},
		{"a mirror of a stranger", func(g *guarded) { g.learn(id("b"), mirrorOf("S_z", "")) }, nil},
		{"through a third", func(g *guarded) {
			g.learn(id("b"), mirrorOf("S_a", ""))
			g.learn(id("c"), mirrorOf("S_b", ""))
		}, []policy.MemberID{id("b"), id("c")}},
		{"never unlearned", func(g *guarded) {
			g.learn(id("b"), mirrorOf("S_a", ""))
			g.learn(id("b"), []byte(`{"name":"X","subjects":["x"]}`))
		}, []policy.MemberID{id("b")}},
		{"one domain", func(g *guarded) {
			g.joinDomains(policy.Rules{Sites: map[string]policy.SiteRules{
				"a": {Domain: "one"}, "c": {Domain: "one"}, "b": {Domain: "two"}, "d": {},
			}})
		}, []policy.MemberID{id("c")}},
	} {
		g := fresh()
		tc.learn(g)
		if got := g.sharing(id("a")); !slices.Equal(got, tc.want) && len(got)+len(tc.want) > 0 {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Streams of separate domains may bear one name: the configured origin is meant.
func TestUpstreamOfAnAmbiguousName(t *testing.T) {
	a, b, c := policy.MemberID{Site: "a", Stream: "S"}, policy.MemberID{Site: "b", Stream: "S"}, policy.MemberID{Site: "c", Stream: "C"}
	g := &guarded{rules: policy.StreamRules{Origin: b}, members: map[policy.MemberID]*member{a: {}, b: {}, c: {}}, joined: map[pair]bool{}}
	g.learn(c, []byte(`{"mirror":{"name":"S"}}`))
	if got := g.sharing(c); !slices.Equal(got, []policy.MemberID{b}) {
		t.Errorf("got %v, want %v", got, b)
	}
}
