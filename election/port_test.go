package election

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Some hellos are refused whoever sends them.
func TestHelloRefusals(t *testing.T) {
	g := newGroup(t, 3, nil)
	m := g.members[0]
	m.start()
	base := hello{stream: streamRaft, group: m.node.port.group, from: "wd-2", to: "wd-1"}
	for name, c := range map[string]struct {
		change func(*hello)
		want   string
	}{
		"meant for another":    {func(h *hello) { h.to = "wd-3" }, `asked for peer "wd-3", but this is "wd-1"`},
		"unknown sender":       {func(h *hello) { h.from = "wd-9" }, `"wd-9" is not another peer`},
		"from the node itself": {func(h *hello) { h.from = "wd-1" }, `"wd-1" is not another peer`},
		"another group":        {func(h *hello) { h.group[0]++ }, "different lists of peers"},
	} {
		t.Run(name, func(t *testing.T) {
			h := base
			c.change(&h)
			conn := dialRaw(t, m)
			if _, err := conn.Write(h.append(nil)); err != nil {
				t.Fatal(err)
			}
			if err := readHelloAnswer(conn); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("answer: %v, want %q", err, c.want)
			}
		})
	}
	t.Run("not a peer", func(t *testing.T) {
		conn := dialRaw(t, m)
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("it was answered")
		}
	})
}

func dialRaw(t *testing.T, m *member) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", m.opts.Peers[slices.IndexFunc(m.opts.Peers, func(p Peer) bool { return p.ID == m.opts.ID })].Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Connections that never introduce themselves are bounded, and do not keep peers out for long.
func TestSilentConnectionsAreBounded(t *testing.T) {
	g := newGroup(t, 3, nil)
	m := g.members[0]
	m.start()
	var silent []net.Conn
	for range 2 * maxGreetings {
		silent = append(silent, dialRaw(t, m))
	}
	eventually(t, "half of them are closed", func() bool {
		open := 0
		for _, conn := range silent {
			if alive(conn) {
				open++
			}
		}
		return open <= maxGreetings
	})
	for _, conn := range silent {
		conn.Close()
	}
	eventually(t, "a peer gets in", func() bool {
		conn, err := strangerPort(t, g.members[1].opts, nil).dial(t.Context(), streamCall, "wd-1")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// What a slow link needs more time for gets it; a link that takes nothing does not.
func TestDeadlinesMoveByWhatIsSent(t *testing.T) {
	exchange := func(t *testing.T, size int, rate int) (time.Duration, error) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		s := newStream(&port{raftDone: make(chan struct{})})
		c := &dialedConn{stream: s, conn: near, used: time.Now()}
		go func() { // the peer takes rate bytes a second, and answers a moment after the last one
			for b, left := make([]byte, 16<<10), size; rate > 0; time.Sleep(time.Second * time.Duration(len(b)) / time.Duration(rate)) {
				n, err := far.Read(b)
				if left -= n; err != nil {
					return
				}
				if left == 0 {
					time.Sleep(minRaftTimeout / 2)
					far.Write([]byte{1})
					return
				}
			}
		}()
		start := time.Now()
		if err := c.SetDeadline(start.Add(minRaftTimeout)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(make([]byte, size)); err != nil {
			return time.Since(start), err
		}
		_, err := c.Read(make([]byte, 1))
		return time.Since(start), err
	}
	synctest.Test(t, func(t *testing.T) {
		if took, err := exchange(t, maxAppendEntries*MaxCommand, slowest); err != nil {
			t.Errorf("a slow link: %v after %v", err, took)
		}
		if took, err := exchange(t, MaxCommand, 0); !isTimeout(err) || took > 10*time.Second {
			t.Errorf("a dead link: %v after %v", err, took)
		}
		if took, err := exchange(t, 100, 0); !isTimeout(err) || took != minRaftTimeout {
			t.Errorf("a heartbeat on a dead link: %v after %v", err, took)
		}
	})
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
