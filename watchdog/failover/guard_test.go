package failover

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestGuard has a former primary behind a link that swallows all, with its old subjects. It is parked when the link is healed,
// though no round of the watchdogs has seen it: none is played here.
func TestGuard(t *testing.T) {
	old := policy.MemberID{Site: "east", Stream: "EVENTS"}
	s := serveSmall(t)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: old.Stream, Subjects: []string{"events.>"}}); err != nil {
		t.Fatal(err)
	}
	link, err := natslab.NewProxy("127.0.0.1:0", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	if err := link.Set(natslab.BlackHole); err != nil {
		t.Fatal(err)
	}
	j := &journalOfOne{state: policy.NewState()}
	rules := policy.StreamRules{Name: "EVENTS", Origin: old}
	parked := policy.Shape{Kind: policy.ShapeParked, Subjects: []string{policy.ParkSubject(old)}}
	j.state.Streams["EVENTS"] = policy.StreamState{Name: "EVENTS", Primary: policy.MemberID{Site: "west", Stream: "W"}, Epoch: 1,
		Members: map[string]policy.MemberState{old.String(): {ID: old, Retired: 1, Want: &parked}}}
	if awaited := policy.Awaited(j.state, rules); !slices.Contains(awaited, old) {
		t.Fatalf("awaited are %v", awaited)
	}
	h := New(Options{Node: "wd", Timeout: 2 * time.Second, Journal: j, Log: slog.New(slog.DiscardHandler), Logins: func() map[string]jsapi.Login {
		return map[string]jsapi.Login{"east": {Servers: []string{"nats://" + link.Addr()}}}
	}})
	defer h.Close()
	for range guarding {
		h.guards <- struct{}{}
	}
	if back, err := h.Guard(t.Context(), rules, old); back || err != nil { // and it does not wait for a place
		t.Fatal(back, err)
	}
	for range guarding {
		<-h.guards
	}
	guarded := make(chan error, 1)
	go func() {
		back, err := h.Guard(t.Context(), rules, old)
		if !back && err == nil {
			err = errors.New("it did not see the member back")
		}
		guarded <- err
	}()
	select {
	case err := <-guarded:
		t.Fatalf("it ended behind a link that swallows all: %v", err)
	case <-time.After(4 * guardPause): // several questions were swallowed
	}
	if err := link.Set(natslab.Open); err != nil {
		t.Fatal(err)
	}
	if err := <-guarded; err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), old.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config.Subjects; !slices.Equal(got, parked.Subjects) {
		t.Errorf("it holds %v after the guard has ended", got)
	}
	if open := j.state.Streams["EVENTS"].OpenWrites(); len(open) > 0 {
		t.Errorf("left open: %+v", open)
	}
	// Read back by a round it is awaited no more, and the guard has nothing to do.
	st := j.state.Streams["EVENTS"]
	m := st.Members[old.String()]
	m.FencedAt = time.Now()
	st.Members[old.String()] = m
	if back, err := h.Guard(t.Context(), rules, old); back || err != nil || len(j.state.Streams["EVENTS"].Members[old.String()].Writes) != 1 {
		t.Errorf("%v, %v; %+v", back, err, j.state.Streams["EVENTS"].Members[old.String()].Writes)
	}
}
