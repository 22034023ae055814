package probe_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

// More dead origins than may be looked at together: each of them must be seen down all the same, by looks that are still
// served together. A look that stays let in until its pass is over, or passes that always begin with the same members,
// leave the others unseen for ever.
func TestManyDeadOriginsAreAllSeen(t *testing.T) {
	t.Parallel()
	const streams, together = 10, 2
	r := start(t, natslab.Supercluster, 1, 1)
	rules := r.config.Rules
	rules.Streams = map[string]policy.StreamRules{}
	for i := range streams {
		name := fmt.Sprintf("S%d", i)
		of, at := policy.MemberID{Site: "east", Stream: name}, policy.MemberID{Site: "west", Stream: name + "_W"}
		r.create(of, fmt.Sprintf(`"subjects":["s%d"]`, i))
		r.create(at, r.mirror(of, 1))
		rules.Streams[name] = policy.StreamRules{Name: name, Origin: of, Mirrors: []policy.MirrorRule{{MemberID: at}}, Interval: time.Minute}
	}
	r.config.Rules = rules
	r.obs = probe.New(probe.Options{Node: "wd", Site: office, Log: discard, Concurrency: together})
	r.obs.Configure(r.config)
	serve(t, r.obs)
	all := func(id func(name string) policy.MemberID, via string, want policy.Evidence) func(policy.Report) bool {
		return func(rep policy.Report) bool {
			n := 0
			for name, sr := range rep.Streams {
				if has(sr.Members[id(name).String()], via, want) {
					n++
				}
			}
			return n == streams
		}
	}
	ofOrigin := func(name string) policy.MemberID { return policy.MemberID{Site: "east", Stream: name} }
	ofMirror := func(name string) policy.MemberID { return policy.MemberID{Site: "west", Stream: name + "_W"} }
	r.until("all mirrors answer", all(ofMirror, "west", policy.Answered))
	r.until("all origins answer", all(ofOrigin, "east", policy.Answered))
	r.must(r.lab.Site("east").Kill())
	rep := r.until("all origins are seen dead through the other site", all(ofOrigin, "west", policy.Timeout))
	if !all(ofMirror, "west", policy.Answered)(rep) {
		b, _ := json.MarshalIndent(rep, "", " ")
		t.Errorf("mirrors: got %s", b)
	}
}
