package failover

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// TestSpareWithoutRoom has a server with no room for a spare copy: the only sibling stays as it is, and says why. When there is
// room it is made anew, and the spare copy is gone after that.
func TestSpareWithoutRoom(t *testing.T) {
	w := startSpare(t)
	before := w.info(t, "E").Created
	if err := w.hands.Care(t.Context(), w.rules, w.sibling); err != nil {
		t.Fatal(err)
	}
	waiting := w.State().Streams["EVENTS"].Aftercare[w.sibling.String()].Waiting
	if waiting.Code != policy.Unreachable || !strings.Contains(waiting.Text, "no room for a spare one") || !strings.Contains(waiting.Text, "insufficient storage") {
		t.Errorf("it waits since %+v", waiting)
	}
	if names := w.names(t); len(names) != 3 || !w.info(t, "E").Created.Equal(before) {
		t.Errorf("there are %v; want E as it was, W and BALLAST", names)
	}
	if err := w.js.DeleteStream(t.Context(), "BALLAST"); err != nil {
		t.Fatal(err)
	}
	w.workOn(t)
	if i := w.info(t, "E"); i.Created.Equal(before) || i.Config.Mirror == nil || i.Config.Mirror.Name != "W" || i.State.Msgs != 5 {
		t.Errorf("E is %+v, with %d messages; want a new mirror of W", i.Config, i.State.Msgs)
	}
	if names := w.names(t); len(names) != 2 {
		t.Errorf("left are %v; want E and W", names)
	}
}

// spareWorld is one server with a primary W and its only sibling E, which still follows a stream that is gone; and a log of one.
type spareWorld struct {
	journalOfOne
	js      jetstream.JetStream
	hands   *Hands
	rules   policy.StreamRules
	sibling policy.MemberID
}

const kib = 1 << 10

func startSpare(t *testing.T) *spareWorld {
	t.Helper()
	s := serveSmall(t)
	w := &spareWorld{sibling: policy.MemberID{Site: "eu", Stream: "E"}}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if w.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	w.fill(t)
	w.rules = policy.StreamRules{Name: "EVENTS", Origin: policy.MemberID{Site: "east", Stream: "EVENTS"}, Repoint: policy.RepointAuto,
		Domains: map[string]string{"east": "hub", "west": "hub", "eu": "hub"}}
	w.state = w.failedOver(t)
	w.hands = New(Options{Node: "wd", Timeout: 2 * time.Second, Journal: w, Log: slog.New(slog.DiscardHandler), Logins: func() map[string]jsapi.Login {
		l := jsapi.Login{Servers: []string{s.ClientURL()}}
		return map[string]jsapi.Login{"west": l, "eu": l}
	}})
	t.Cleanup(w.hands.Close)
	return w
}

// serveSmall runs a server that has little room.
func serveSmall(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, JetStreamMaxStore: 1000 * kib, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

// fill makes the streams as a failover leaves them, and one that takes the room for a spare copy.
func (w *spareWorld) fill(t *testing.T) {
	t.Helper()
	for _, c := range []jetstream.StreamConfig{
		{Name: "EVENTS", Subjects: []string{"old.>"}, MaxBytes: 50 * kib}, {Name: "W", Subjects: []string{"events.>"}, MaxBytes: 50 * kib},
		{Name: "E", MaxBytes: 400 * kib, Mirror: &jetstream.StreamSource{Name: "EVENTS"}}, {Name: "BALLAST", Subjects: []string{"ballast"}, MaxBytes: 300 * kib}} {
		if _, err := w.js.CreateStream(t.Context(), c); err != nil {
			t.Fatalf("create %s: %v", c.Name, err)
		}
	}
	for i := range 5 {
		for _, prefix := range []string{"old", "events"} {
			if _, err := w.js.Publish(t.Context(), fmt.Sprintf("%s.%d", prefix, i), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.until(t, "E holds all", func() bool { return w.info(t, "E").State.Msgs == 5 })
	if err := w.js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
}

// failedOver is the log after a failover to W, with the sibling about to be deleted.
func (w *spareWorld) failedOver(t *testing.T) policy.State {
	t.Helper()
	primary := policy.MemberID{Site: "west", Stream: "W"}
	st := policy.StreamState{Name: "EVENTS", Primary: primary, Epoch: 1, WriteSeq: 2, Members: map[string]policy.MemberState{}, Aftercare: map[string]policy.Aftercare{},
		Round: policy.StreamRound{Agreement: policy.AgreedUp, Members: map[string]policy.MemberRound{}}}
	for _, id := range []policy.MemberID{primary, w.sibling} {
		i := w.info(t, id.Stream)
		raw, err := json.Marshal(i.Config)
		if err != nil {
			t.Fatal(err)
		}
		st.Members[id.String()] = policy.MemberState{ID: id, Created: i.Created, Config: raw, Before: raw}
		st.Round.Members[id.String()] = policy.MemberRound{Evidence: policy.Answered}
	}
	e := st.Members[w.sibling.String()]
	e.Stray, e.ForkLimit = 1, 5
	st.Members[w.sibling.String()] = e
	st.Members["east/EVENTS"] = policy.MemberState{ID: policy.MemberID{Site: "east", Stream: "EVENTS"}, Retired: 1}
	st.Aftercare[w.sibling.String()] = policy.Aftercare{Member: w.sibling, Kind: policy.CareRepoint, Epoch: 1, Phase: policy.PhaseDelete, Asked: true, Tail: &policy.Tail{Fork: 5, MemberLast: 5}}
	s := policy.NewState()
	s.Streams["EVENTS"] = st
	return s
}

// workOn lets the hands work until nothing is left to be done.
func (w *spareWorld) workOn(t *testing.T) {
	t.Helper()
	w.until(t, "the care is over", func() bool {
		if err := w.hands.Care(t.Context(), w.rules, w.sibling); err != nil {
			t.Fatal(err)
		}
		for _, s := range policy.SparesDue(w.State(), "EVENTS") {
			if err := w.hands.Spare(t.Context(), "EVENTS", s.ID); err != nil {
				t.Fatal(err)
			}
		}
		st := w.State().Streams["EVENTS"]
		return len(st.Aftercare) == 0 && len(st.Spares) == 0
	})
}

func (w *spareWorld) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			st := w.State().Streams["EVENTS"]
			t.Fatalf("not reached: %s; care %+v, spares %+v", what, st.Aftercare, st.Spares)
		}
	}
}

func (w *spareWorld) info(t *testing.T, stream string) *jetstream.StreamInfo {
	t.Helper()
	s, err := w.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatalf("read %s: %v", stream, err)
	}
	return s.CachedInfo()
}

func (w *spareWorld) names(t *testing.T) (list []string) {
	t.Helper()
	names := w.js.StreamNames(t.Context())
	for name := range names.Name() {
		list = append(list, name)
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}
