package election

import (
	"net"
	"slices"
	"strings"
	"testing"
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
