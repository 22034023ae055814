package election

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// callGroup starts members that answer the methods of the tests.
func callGroup(t *testing.T, n int) *group {
	t.Helper()
	g := newGroup(t, n, nil)
	for _, m := range g.members {
		m.handle = func(n *Node) {
			n.Handle("echo", func(_ context.Context, from string, req []byte) ([]byte, error) {
				return append([]byte(from+" "), req...), nil
			})
			n.Handle("fail", func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("broken") })
			n.Handle("refuse", func(context.Context, string, []byte) ([]byte, error) {
				return nil, fmt.Errorf("wrapped: %w", &RemoteError{Code: "held", Text: "not now"})
			})
			n.Handle("wait", func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
			n.Handle("zeros", func(_ context.Context, _ string, req []byte) ([]byte, error) {
				return make([]byte, binary.BigEndian.Uint32(req)), nil
			})
		}
	}
	g.start()
	return g
}

func zeros(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func TestCalls(t *testing.T) {
	g := callGroup(t, 3)
	n := g.members[0].node
	for _, to := range []string{"wd-1", "wd-2"} { // itself, and over the network
		t.Run(to, func(t *testing.T) {
			got, err := n.Call(t.Context(), to, "echo", []byte("hi"))
			if err != nil || string(got) != "wd-1 hi" {
				t.Errorf("echo: %q, %v", got, err)
			}
			for method, want := range map[string]RemoteError{
				"fail":   {to, "fail", CodeError, "broken"},
				"refuse": {to, "refuse", "held", "not now"},
				"no":     {to, "no", CodeUnknownMethod, `nobody handles method "no"`},
			} {
				_, err := n.Call(t.Context(), to, method, nil)
				var remote *RemoteError
				if !errors.As(err, &remote) || *remote != want {
					t.Errorf("%s: %v, want %v", method, err, want)
				}
			}
		})
	}
}

func TestCallsHaveLimits(t *testing.T) {
	g := callGroup(t, 3)
	n := g.members[0].node
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, to := range []string{"wd-1", "wd-2"} {
		if _, err := n.Call(t.Context(), to, "echo", make([]byte, MaxRequest+1)); err == nil {
			t.Errorf("%s took a request over the limit", to)
		}
		if got, err := n.Call(ctx, to, "echo", make([]byte, MaxRequest)); err != nil || len(got) != MaxRequest+5 {
			t.Errorf("%s: the largest request: %d bytes, %v", to, len(got), err)
		}
		var remote *RemoteError
		if _, err := n.Call(t.Context(), to, "zeros", zeros(MaxResponse+1)); !errors.As(err, &remote) || remote.Code != CodeTooLarge {
			t.Errorf("%s: a response over the limit: %v", to, err)
		}
	}
	if got, err := n.Call(ctx, "wd-2", "zeros", zeros(8<<20)); err != nil || len(got) != 8<<20 {
		t.Errorf("a large response: %d bytes, %v", len(got), err)
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	g := callGroup(t, 3)
	n := g.members[0].node
	for _, to := range []string{"wd-1", "wd-2"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		start := time.Now()
		_, err := n.Call(ctx, to, "wait", nil)
		cancel()
		if err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v after %v", to, err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err := n.Call(ctx, to, "wait", nil); err == nil {
			t.Errorf("%s answered after the end", to)
		}
	}
}

func TestDeadPeerFailsFast(t *testing.T) {
	g := callGroup(t, 3)
	n, dead := g.members[0].node, g.members[1]
	if _, err := n.Call(t.Context(), "wd-2", "echo", nil); err != nil { // leaves a connection in the pool
		t.Fatal(err)
	}
	dead.kill()
	start := time.Now()
	_, err := n.Call(t.Context(), "wd-2", "echo", nil)
	if !errors.Is(err, ErrUnreachable) || time.Since(start) > 5*time.Second {
		t.Errorf("call to a dead peer: %v after %v", err, time.Since(start))
	}
	dead.start()
	if _, err := n.Call(t.Context(), "wd-2", "echo", nil); err != nil {
		t.Errorf("call to a restarted peer: %v", err)
	}
	if _, err := n.Call(t.Context(), "wd-9", "echo", nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("call to nobody: %v", err)
	}
}

// A peer that takes the connection and says nothing is as good as dead.
func TestSilentPeerFailsWithinTheContext(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.members[0].start()
	ln, err := net.Listen("tcp", g.members[0].opts.Peers[1].Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = g.members[0].node.Call(ctx, "wd-2", "echo", nil)
	if !errors.Is(err, ErrUnreachable) || time.Since(start) > 5*time.Second {
		t.Errorf("call: %v after %v", err, time.Since(start))
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	g := callGroup(t, 3)
	var calls sync.WaitGroup
	for i := range 200 {
		calls.Go(func() {
			want := fmt.Sprintf("wd-1 %d", i)
			got, err := g.members[0].node.Call(t.Context(), "wd-2", "echo", []byte(want[5:]))
			if err != nil || string(got) != want {
				t.Errorf("echo: %q, %v, want %q", got, err, want)
			}
		})
	}
	calls.Wait()
	if open := len(g.members[0].node.calls.idle["wd-2"]); open > maxIdleConns {
		t.Errorf("%d idle connections, %d at most", open, maxIdleConns)
	}
}

// A length alone must not cost memory: bytes are read as they arrive, and never more than the limit.
func TestReadBodyTrustsNoLength(t *testing.T) {
	claim := binary.BigEndian.AppendUint32(nil, MaxResponse)
	got, err := readBody(bytes.NewReader(append(claim, "short"...)), MaxResponse)
	if !errors.Is(err, io.ErrUnexpectedEOF) || cap(got) > 1<<16 {
		t.Errorf("%d bytes of capacity, %v", cap(got), err)
	}
	over := binary.BigEndian.AppendUint32(nil, MaxRequest+1)
	if _, err := readBody(bytes.NewReader(over), MaxRequest); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("over the limit: %v", err)
	}
}
