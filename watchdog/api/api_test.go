package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/understudy-ha/understudy/policy"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a watchdog of known content.
type fake struct {
	health Health
	err    error
	asked  []Request
	answer Response
}

func (f *fake) Status(context.Context) (Status, error) {
	west := policy.MemberID{Site: "west", Stream: "EVENTS_W"}
	return Status{Node: "wd-west", Leader: "wd-east", Term: 4, Quorum: true, Hash: "abc", Version: "1.0", Streams: []StreamStatus{{
		Name: "EVENTS", State: StateDown, Mode: policy.ModeManual, Epoch: 1, Primary: policy.MemberID{Site: "east", Stream: "EVENTS"},
		OutageMS: 130_000, ThresholdMS: 120_000, Reason: policy.Reason{Code: policy.AwaitingApproval, Text: "waits"}, Target: &west,
		Loss:      policy.Loss{AtLeast: 3, Estimated: 5, Known: true},
		Observers: []ObserverStatus{{Node: "wd-east", Site: "east", Verdict: policy.Down, Evidence: policy.Timeout, AgeMS: 400, Fresh: true}},
		Members:   []MemberStatus{{Site: "west", Stream: "EVENTS_W", Role: "mirror", LastSeq: 10, ActiveMS: 220, Eligible: true, Reason: "eligible"}},
	}}}, f.err
}

func (f *fake) History(context.Context) ([]policy.Entry, error) {
	return []policy.Entry{{Seq: 1, Stream: "EVENTS", Kind: "origin_down"}, {Seq: 2, Kind: "held"}, {Seq: 3, Stream: "EVENTS", Kind: "decision"}}, f.err
}

func (f *fake) Health() Health { return f.health }

func (f *fake) Do(_ context.Context, r Request) Response {
	f.asked = append(f.asked, r)
	return f.answer
}

func get(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestReadingRoutes(t *testing.T) {
	f := &fake{health: Health{Live: true, Ready: false, ReadyText: "no quorum", LiveText: "loops advance"}}
	h := Handler(f, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	for _, c := range []struct {
		name, method, path string
		code               int
		has                string
	}{
		{"live", "GET", PathLive, 200, "loops advance"},
		{"not ready", "GET", PathReady, 503, "no quorum"},
		{"not healthy", "GET", PathHealth, 503, "no quorum"},
		{"one stream", "GET", PathStreams + "EVENTS", 200, `"state":"down"`},
		{"unknown stream", "GET", PathStreams + "OTHER", 404, "EVENTS"},
		{"history of a stream", "GET", PathHistory + "?stream=EVENTS&limit=1", 200, `"decision"`},
		{"bad limit", "GET", PathHistory + "?limit=x", 400, "limit"},
		{"nothing there", "GET", "/", 404, PathStatus},
		{"no writing here", "POST", PathStatus, 405, "POST"},
		{"no commands here", "POST", PathCommand, 404, PathCommand},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := get(t, h, c.method, c.path, "")
			if code != c.code || !strings.Contains(strings.ReplaceAll(body, `": `, `":`), c.has) {
				t.Errorf("%s %s: %d %s, want %d with %q", c.method, c.path, code, body, c.code, c.has)
			}
		})
	}
}

// TestStatusJSON pins the fields that others read.
func TestStatusJSON(t *testing.T) {
	_, body := get(t, Handler(&fake{}, http.NotFoundHandler(), slog.New(slog.DiscardHandler)), "GET", PathStatus, "")
	var got bytes.Buffer
	if err := json.Indent(&got, []byte(body), "", "  "); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/status.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("status is now:\n%s", got.String())
	}
}

// serveSocket serves a fake's admin API on a socket of its own until the test ends.
func serveSocket(t *testing.T, f *fake) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := ListenAdmin(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket mode %v %v, want 0600", info.Mode(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, AdminHandler(f, f, slog.New(slog.DiscardHandler))) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return SocketClient(path)
}

func TestClientAndSocket(t *testing.T) {
	f := &fake{answer: Response{Outcome: OutcomeRefused, Reason: policy.Reason{Code: policy.Held, Text: "held"}}}
	c := serveSocket(t, f)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil || st.Leader != "wd-east" {
		t.Fatalf("status: %+v %v", st, err)
	}
	var unknown *UnknownStreamError
	if _, err := c.Stream(ctx, "OTHER"); !errors.As(err, &unknown) || len(unknown.Known) != 1 {
		t.Errorf("unknown stream: %v", err)
	}
	resp, err := c.Do(ctx, Request{Verb: VerbHold, By: "op"})
	if err != nil || resp.Outcome != OutcomeRefused || len(f.asked) != 1 {
		t.Errorf("hold: %+v %v, asked %v", resp, err, f.asked)
	}
	if _, err := c.Do(ctx, Request{Verb: "dance", By: "op"}); !errors.Is(err, ErrBadRequest) {
		t.Errorf("a bad verb: %v", err)
	}
	list, err := c.History(ctx, "EVENTS", 0)
	if err != nil || len(list) != 2 {
		t.Errorf("history: %v %v", list, err)
	}
}

func TestSocketThatNobodyServes(t *testing.T) {
	dir := t.TempDir()
	if _, err := SocketClient(filepath.Join(dir, "none")).Status(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	// A socket of a process that died is taken over; one that is served is not.
	stale := filepath.Join(dir, "stale")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if _, err := SocketClient(stale).Status(context.Background()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stale socket: %v", err)
	}
	first, err := ListenAdmin(stale)
	if err != nil {
		t.Fatalf("a stale socket is not replaced: %v", err)
	}
	defer first.Close()
	if second, err := ListenAdmin(stale); err == nil {
		second.Close()
		t.Error("a served socket was taken over")
	}
	if _, err := ListenAdmin(filepath.Join(dir, "no", "folder", "s")); err == nil {
		t.Error("a socket was made in a folder that is not there")
	}
}
