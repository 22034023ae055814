package failover

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// TestWriterLeavesASilentServer has a server that takes a connection and then hangs, as one that was stopped does: what is
// written next goes to the other server of the site.
func TestWriterLeavesASilentServer(t *testing.T) {
	living, hanging := serve(t), listenAndHang(t)
	servers := []string{"nats://" + hanging.addr, living.ClientURL()}
	login := jsapi.Login{Servers: servers, User: "old", Password: "pw"}
	for i := 0; login.FirstServer() != servers[0]; i++ {
		login.Name = fmt.Sprint("understudy ", i) // until the name begins at the one that will hang
	}
	h := New(Options{Logins: func() map[string]jsapi.Login { return map[string]jsapi.Login{"east": login} }, Timeout: 2 * time.Second})
	defer h.Close()
	first, err := h.writer(t.Context(), "east")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(users(t, living)); n != 0 {
		t.Fatalf("%d connections to the living server; the first one should be to the other", n)
	}
	hanging.now.Store(true)
	leaveSilent(t.Context(), first)
	second, err := h.writer(t.Context(), "east")
	if err != nil {
		t.Fatal(err)
	}
	if second == first || len(users(t, living)) != 1 {
		t.Errorf("the next write goes to the silent server again; the living one has %q", users(t, living))
	}
	leaveSilent(t.Context(), second)
	if third, err := h.writer(t.Context(), "east"); err != nil || third != second {
		t.Errorf("a living server was left: %v", err)
	}
}

// hanger is a server as far as connections go; once it hangs it says nothing more, to nobody.
type hanger struct {
	addr string
	now  atomic.Bool
}

func listenAndHang(t *testing.T) *hanger {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, done := &hanger{addr: ln.Addr().String()}, make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go h.answer(conn)
		}
	}()
	return h
}

// answer ends with its connection.
func (h *hanger) answer(conn net.Conn) {
	say := func(line string) {
		if !h.now.Load() {
			fmt.Fprint(conn, line+"\r\n")
		}
	}
	say(`INFO {"server_id":"HANGS","version":"2.15.2","proto":1,"headers":true,"max_payload":1048576}`)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "PING") {
			say("PONG")
		}
	}
}
