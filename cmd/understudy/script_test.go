package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	testscript.Main(m, map[string]func(){"understudy": main})
}

// TestScripts runs the command lines of testdata/script; $WORK/s is the admin socket of a watchdog of known content.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(e *testscript.Env) error {
		e.Setenv("NO_COLOR", "1")
		dir, err := os.MkdirTemp("", "us") // the path of a socket must be short
		if err != nil {
			return err
		}
		e.Setenv("SOCKET", filepath.Join(dir, "s"))
		ln, err := api.ListenAdmin(filepath.Join(dir, "s"))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = api.Serve(ctx, ln, api.AdminHandler(known{}, known{}, slog.New(slog.DiscardHandler)))
		}()
		e.Defer(func() { cancel(); <-done; os.RemoveAll(dir) })
		return nil
	}})
}

// known is a watchdog of known content: EVENTS waits for an approval, ORDERS is healthy.
type known struct{}

func (known) Status(context.Context) (api.Status, error) {
	stream := func(name, state string, mode policy.Mode, r policy.Reason) api.StreamStatus {
		return api.StreamStatus{Name: name, State: state, Mode: mode, Primary: policy.MemberID{Site: "east", Stream: name},
			ThresholdMS: 120_000, LossLimit: 100, Reason: r, Loss: policy.Loss{AtLeast: 3, Estimated: 3, Known: true},
			Observers: []api.ObserverStatus{{Node: "wd-east", Site: "east", Verdict: policy.Down, Evidence: policy.Timeout, Fresh: true}},
			Members: []api.MemberStatus{{Site: "east", Stream: name, Role: "primary", LastSeq: 13, Evidence: policy.Timeout},
				{Site: "west", Stream: name + "_W", Role: "mirror", LastSeq: 10, Behind: 3, Eligible: true, Reason: "eligible", Text: "a whole, direct mirror"}}}
	}
	return api.Status{Node: "wd-west", Leader: "wd-east", Term: 4, Quorum: true, Streams: []api.StreamStatus{
		stream("EVENTS", api.StateDown, policy.ModeManual, policy.Reason{Code: policy.AwaitingApproval, Text: "waits for `understudy approve EVENTS`"}),
		stream("ORDERS", api.StateHealthy, policy.ModeUnattended, policy.Reason{Code: policy.Healthy, Text: "east/ORDERS answers"}),
	}}, nil
}

func (known) History(context.Context) ([]policy.Entry, error) {
	return []policy.Entry{{Seq: 1, Stream: "EVENTS", Kind: "origin_down", Reason: policy.Reason{Code: policy.ThresholdPending, Text: "all see it down"}}}, nil
}

func (known) Health() api.Health { return api.Health{Live: true, Ready: true, ReadyText: "fine"} }

// Do answers by the verb, so that a script can see each exit code.
func (known) Do(_ context.Context, r api.Request) api.Response {
	outcome := map[string]string{api.VerbHold: api.OutcomeDone, api.VerbApprove: api.OutcomeDone, api.VerbResume: api.OutcomeRefused,
		api.VerbFailover: api.OutcomeRetry, api.VerbReload: api.OutcomeFailed, api.VerbSignal: api.OutcomeDone}[r.Verb]
	resp := api.Response{Outcome: outcome, Reason: policy.Reason{Code: policy.Held, Text: r.Verb + " " + r.Stream + r.Signal}}
	switch {
	case r.Verb == api.VerbAdopt:
		return adopted(r)
	case r.Verb == api.VerbReload:
		resp.Problems = []string{"u.yaml:3:7: mode: bad", "u.yaml:4:10: outage.afer: unknown"}
	case r.Signal == "TERM":
		resp.Outcome = api.OutcomeFailed
	}
	return resp
}

// adopted takes EVENTS over, and refuses ORDERS.
func adopted(r api.Request) api.Response {
	if r.Stream == "ORDERS" {
		return api.Response{Outcome: api.OutcomeRefused, Reason: policy.Reason{Text: "east/ORDERS and west/ORDERS_W both hold orders.>"}}
	}
	resp := api.Response{Outcome: api.OutcomeDone, Adoption: &adoption, Reason: policy.Reason{Code: policy.Healthy, Text: "west/EVENTS_W is the primary of EVENTS"}}
	if r.DryRun {
		resp.Reason.Text = "a dry run: nothing was changed"
	}
	return resp
}
