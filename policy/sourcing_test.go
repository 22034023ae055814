package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// fed is a world in which the primary of EVENTS went from east to west at sequence 100, and back to east, made anew, at 250.
func fed(successions int) (State, Rules) {
	east, west := MemberID{"east", "EVENTS"}, MemberID{"west", "EVENTS_W"}
	all := []Succession{{Epoch: 1, From: east, To: west, Fork: 100}, {Epoch: 3, From: west, To: east, Fork: 250}}[:successions]
	st := StreamState{Name: "EVENTS", Primary: all[len(all)-1].To, Lineage: all, Epoch: all[len(all)-1].Epoch}
	rules := Rules{Sites: map[string]SiteRules{"east": {Domain: "east"}, "west": {Domain: "west"}, "eu": {Domain: "eu"}},
		Streams: map[string]StreamRules{"EVENTS": {Name: "EVENTS", Origin: east, Repoint: RepointAuto, Mirrors: []MirrorRule{{MemberID: west}}}}}
	return State{Streams: map[string]StreamState{"EVENTS": st}}, rules
}

func eastSource() string { return `{"name":"EVENTS","external":{"api":"$JS.east.API","deliver":""}}` }

func TestSourcesAreFound(t *testing.T) {
	s, rules := fed(1)
	stream := func(name, sources string) ListedStream {
		return ListedStream{Name: name, Config: json.RawMessage(`{"name":"` + name + `","sources":[` + sources + `]}`)}
	}
	listed := []ListedStream{
		stream("OTHER", `{"name":"EVENTS"}`), // of its own domain
		stream("DUE", eastSource()),
		stream("FILTERED", `{"name":"X"},{"name":"EVENTS","external":{"api":"$JS.east.API"},"filter_subject":"events.a"}`),
		stream("AHEAD", `{"name":"EVENTS_W","external":{"api":"$JS.west.API"}}`),
		stream("EVENTS_W", eastSource()), // guarded
	}
	var got []string
	for _, f := range FindSources(rules, s, "EVENTS", "eu", listed) {
		got = append(got, f.Stream.Stream+" "+f.ByHand)
	}
	if want := []string{"DUE ", "FILTERED ", "EVENTS_W it is guarded itself"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := FindSources(rules, s, "EVENTS", "east", listed[:1]); len(got) != 1 {
		t.Errorf("at the origin's own site the plain name is it: found %v", got)
	}
}

func TestSourceStart(t *testing.T) {
	header := func(name, seq string) string { return name + " " + seq + " > > events.x" }
	old, west := "EVENTS:"+serverHash("$JS.east.API"), "EVENTS_W:"+serverHash("$JS.west.API")
	for _, test := range []struct {
		name        string
		successions int
		former      FormerSource
		headers     string // newest first: NAME SEQ, ...
		whole       bool
		start       uint64 // 0: as it was
		unknown     bool
		beyond      uint64
	}{
		{name: "behind the fork", headers: "E 97,E 96", start: 98},
		{name: "at the fork", headers: "E 100", start: 101},
		{name: "with messages of the tail", headers: "E 103,E 102,E 101,E 100", start: 101, beyond: 3},
		{name: "its messages are gone, the server knows", former: FormerSource{Seq: 60}, start: 61},
		{name: "other filters are another source", headers: "F 99,E 40", start: 41},
		{name: "nothing taken", whole: true},
		{name: "nothing tells", unknown: true},
		{name: "there and back", successions: 2, former: FormerSource{Since: 1}, headers: "W 250,W 249,E 100", start: 251},
		{name: "there in vain and back", successions: 2, former: FormerSource{Since: 1, Source: json.RawMessage(`{"name":"EVENTS_W","external":{"api":"$JS.west.API"},"opt_start_seq":101}`)},
			headers: "E 107,E 100", start: 101},
		{name: "back, and resumed there before the log knew", successions: 2, former: FormerSource{Since: 1}, headers: "N 260,W 250", start: 261},
		{name: "resumed before the log knew", headers: "W 120,E 100", start: 121},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, rules := fed(max(test.successions, 1))
			f := test.former
			f.From = MemberID{"east", "EVENTS"}
			if test.successions == 2 {
				f.From = MemberID{"west", "EVENTS_W"}
			}
			if len(f.Source) == 0 {
				f.Source = json.RawMessage(eastSource())
			}
			c := Sourcing{Stream: MemberID{"eu", "AGG"}, Former: []FormerSource{f}}
			trace := TraceSources(s, rules, "EVENTS", c)
			for _, h := range strings.Split(test.headers, ",") {
				name, seq, _ := strings.Cut(h, " ")
				line := header(map[string]string{"E": old, "W": west, "F": old, "N": old}[name], seq)
				if name == "N" {
					line += " " + s.lineageAt(rules, "EVENTS", "eu").identity()
				}
				if name == "F" {
					line = strings.Replace(line, "> >", "events.a >", 1)
				}
				if !trace.Take(line) {
					break
				}
			}
			pos := trace.Positions()[0]
			l := s.lineageAt(rules, "EVENTS", "eu")
			start, known := l.startOf(f, pos, test.whole)
			if start != test.start || known == test.unknown || pos.Beyond != test.beyond {
				t.Errorf("start %d (known %v), %d beyond; want %d (%v), %d", start, known, pos.Beyond, test.start, !test.unknown, test.beyond)
			}
		})
	}
}

func TestHaltAndResume(t *testing.T) {
	raw := json.RawMessage(`{"name":"AGG","sources":[{"name":"EVENTS","external":{"api":"$JS.east.API","deliver":"d"},"filter_subject":"events.a","opt_start_time":"2026-01-01T00:00:00Z"}],"new_field":7}`)
	id, west := MemberID{"eu", "AGG"}, MemberID{"west", "EVENTS_W"}
	s, rules := fed(1)
	former := s.lineageAt(rules, "EVENTS", "eu").former(raw)
	halted, err := HaltConfig(raw, id, former, Stamp{Write: "1.halt.1"})
	if err != nil {
		t.Fatal(err)
	}
	if c := mustParse(halted); c["sources"] != nil || string(c["subjects"]) != `["$devnull.eu.AGG"]` || string(c["new_field"]) != "7" {
		t.Errorf("halted: %s", halted)
	}
	former[0].Start = 42
	resumed, err := ResumeConfig(halted, id, west, "$JS.west.API", former, Stamp{Write: "1.resume.2"})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"external":{"api":"$JS.west.API","deliver":"d"},"filter_subject":"events.a","name":"EVENTS_W","opt_start_seq":42}]`
	if c := mustParse(resumed); string(c["sources"]) != want || c["subjects"] != nil {
		t.Errorf("resumed: %s, want sources %s and no subjects", resumed, want)
	}
	local, err := ResumeConfig(halted, id, west, "", former, Stamp{})
	if err != nil || strings.Contains(string(local), "external") {
		t.Errorf("in one domain no prefix is needed: %s (%v)", local, err)
	}
}
