package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// playTime bounds one play on a busy machine; an idle one needs 10 to 30 s.
const playTime = 150 * time.Second

// always are the rows that every run of the tests plays.
var always = map[string]bool{
	"kill/domains/unattended": true, "kill/supercluster/unattended": true,
	"delete/domains/unattended": true, "credentials/domains/unattended": true,
}

// TestPlays plays the rows of the table.
func TestPlays(t *testing.T) {
	cells, err := Cells()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		name := strings.Join([]string{string(c.Fault), string(c.Topology), string(c.Mode)}, "/")
		if !*all && !always[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			playOne(t, Options{Fault: c.Fault, Topology: c.Topology, Mode: c.Mode})
		})
	}
	if *all {
		for name, o := range map[string]Options{
			"replicas":              {Servers: 3},
			"replicas-supercluster": {Servers: 3, Topology: natslab.Supercluster},
			"spare-leader":          {SpareLeader: true},
			"later":                 {After: 8 * time.Second},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				playOne(t, o)
			})
		}
	}
}

// playOne plays one demo as JSON, and checks its last line beside its own judgement.
func playOne(t *testing.T, o Options) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), playTime)
	defer cancel()
	var out bytes.Buffer
	o.Out, o.JSON = &out, true
	r, err := Run(ctx, o)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	t.Log(last)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !r.OK {
		t.Fatalf("not ok:\n%s", out.String())
	}
	var parsed Result
	if err := json.Unmarshal([]byte(last), &parsed); err != nil || !reflect.DeepEqual(parsed, r) {
		t.Errorf("the last line is %s, %v, want the result %+v", last, err, r)
	}
	checkFigures(t, r, o.withDefaults())
	return r
}

// checkFigures checks what is true of every play that is OK.
func checkFigures(t *testing.T, r Result, o Options) {
	if r.Acked == 0 || r.ThresholdMS != o.After.Milliseconds() {
		t.Errorf("acked %d, threshold %d ms", r.Acked, r.ThresholdMS)
	}
	if r.Fault != string(Delete) && r.OnPrimary+r.Tail+r.Lost != r.Acked {
		t.Errorf("%d on the primary, %d in the tail, %d lost: %d were acked", r.OnPrimary, r.Tail, r.Lost, r.Acked)
	}
	if r.Outcome == NoFailover {
		return
	}
	const early = 1000 // the outage begins with the last look that saw it up, at most an interval before the fault
	if r.DetectMS <= 0 && !o.Story || r.DecideMS < r.ThresholdMS-early || r.PromoteMS <= 0 || r.PublishGapMS < r.ThresholdMS-early || r.BeyondThresholdMS <= -early {
		t.Errorf("times: detect %d, decide %d, promote %d, gap %d, beyond %d", r.DetectMS, r.DecideMS, r.PromoteMS, r.PublishGapMS, r.BeyondThresholdMS)
	}
}

// TestInterrupted ends a demo in the midst of it: nothing is left behind.
func TestInterrupted(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	ctx, cancel := context.WithTimeout(context.Background(), playTime)
	defer cancel()
	out := &onFault{f: cancel}
	if _, err := Run(ctx, Options{Out: out, JSON: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v, want %v", err, context.Canceled)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "understudy-lab-*")) // the locks of ports are shared by all labs
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// onFault is an output that calls f when the fault is told.
type onFault struct{ f func() }

func (o *onFault) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(`"kind":"fault"`)) {
		o.f()
	}
	return len(p), nil
}

// TestOptions holds that a wrong option is named.
func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"topology": {Topology: "ring"}, "fault": {Fault: "flood"}, "mode": {Mode: "auto"}, "servers": {Servers: 2},
		"after": {After: time.Second},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
		if _, err := Run(context.Background(), o); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
	if err := (Options{}).Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

// TestTableIsWhole checks that every fault has a right outcome in every topology and mode.
func TestTableIsWhole(t *testing.T) {
	cells, err := Cells()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Cell]bool{}
	for _, c := range cells {
		want := c.Want
		c.Want = Expectation{}
		if seen[c] {
			t.Errorf("%s %s %s is there twice", c.Fault, c.Topology, c.Mode)
		}
		seen[c] = true
		if err := (Options{Fault: c.Fault, Topology: c.Topology, Mode: c.Mode}).Validate(); err != nil {
			t.Errorf("row %+v: %v", c, err)
		}
		if want.Outcome != FailedOver && want.Outcome != NoFailover {
			t.Errorf("row %+v: outcome %q", c, want.Outcome)
		}
	}
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster, natslab.TwoCluster} {
		for _, f := range Faults() {
			for _, m := range []policy.Mode{policy.ModeUnattended, policy.ModeManual, policy.ModeAlertOnly} {
				if _, err := Expected(f, topology, m); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if e, _ := Expected(Pause, natslab.Domains, policy.ModeManual); e.Reason != string(policy.AwaitingApproval) {
		t.Errorf("a failover in manual mode: %s", e)
	}
}

// TestResultJSON holds the fields of the result and their order, which are an interface.
func TestResultJSON(t *testing.T) {
	got, err := json.Marshal(Result{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"topology":"","fault":"","outcome":"","reason":"","expected":"","promotions":0,"streams":0,"acked":0,` +
		`"on_primary":0,"tail":0,"salvaged":0,"lost":0,"at_least":0,"duplicates":0,"threshold_ms":0,"detect_ms":0,"decide_ms":0,` +
		`"promote_ms":0,"beyond_threshold_ms":0,"publish_gap_ms":0,"ok":false}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
