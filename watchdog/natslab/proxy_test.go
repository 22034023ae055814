package natslab

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// freeAddr reserves an address below the ephemeral ports, where no outgoing
// connection of another test can take it.
func freeAddr(t *testing.T) string {
	t.Helper()
	ps, err := newPorts()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ps.release)
	addr, err := ps.take()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func startProxy(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := NewProxy(freeAddr(t), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dialProxy(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// roundTrip sends one byte and waits for its echo.
func roundTrip(conn net.Conn, patience time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

func set(t *testing.T, p *Proxy, s LinkState) {
	t.Helper()
	if err := p.Set(s); err != nil {
		t.Fatal(err)
	}
}

func TestProxyForwardsAndCounts(t *testing.T) {
	p := startProxy(t, echo(t))
	conn := dialProxy(t, p)
	if err := roundTrip(conn, timeout); err != nil {
		t.Fatal(err)
	}
	if got := p.Forwarded(); got != 2 {
		t.Errorf("forwarded %d bytes, want 2", got)
	}
}

func TestProxyPassesTheEndOn(t *testing.T) {
	p := startProxy(t, echo(t))
	conn := dialProxy(t, p)
	if _, err := conn.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "last words" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestProxyRefuses(t *testing.T) {
	p := startProxy(t, echo(t))
	conn := dialProxy(t, p)
	set(t, p, Refuse)
	if err := roundTrip(conn, timeout); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an open connection: %v, want it closed", err)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil {
		_ = c.Close()
		t.Error("a new connection was taken")
	}
	set(t, p, Open)
	if err := roundTrip(dialProxy(t, p), timeout); err != nil {
		t.Errorf("after the heal: %v", err)
	}
}

func TestProxyBlackHole(t *testing.T) {
	p := startProxy(t, echo(t))
	idle, busy := dialProxy(t, p), dialProxy(t, p)
	for _, c := range []net.Conn{idle, busy} {
		if err := roundTrip(c, timeout); err != nil {
			t.Fatal(err)
		}
	}
	set(t, p, BlackHole)
	before := p.Forwarded()
	fresh := dialProxy(t, p)
	for name, c := range map[string]net.Conn{"busy": busy, "fresh": fresh} {
		if err := roundTrip(c, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s connection: %v, want silence", name, err)
		}
	}
	if got := p.Forwarded(); got != before {
		t.Errorf("%d bytes came through", got-before)
	}
	set(t, p, Open)
	for name, c := range map[string]net.Conn{"busy": busy, "fresh": fresh} {
		if err := roundTrip(c, timeout); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s connection after the heal: %v, want it closed", name, err)
		}
	}
	if err := roundTrip(idle, timeout); err != nil {
		t.Errorf("a connection that lost nothing: %v", err)
	}
}

// The close of a side is a packet too.
func TestProxyBlackHoleSwallowsTheEnd(t *testing.T) {
	p := startProxy(t, echo(t))
	conn := dialProxy(t, p)
	if err := roundTrip(conn, timeout); err != nil {
		t.Fatal(err)
	}
	set(t, p, BlackHole)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
}

func TestProxyDelays(t *testing.T) {
	p := startProxy(t, echo(t))
	conn := dialProxy(t, p)
	const delay = 50 * time.Millisecond
	p.SetDelay(delay)
	began := time.Now()
	if err := roundTrip(conn, timeout); err != nil {
		t.Fatal(err)
	}
	if got := time.Since(began); got < 2*delay {
		t.Errorf("round trip in %v, want %v at least", got, 2*delay)
	}
}

func TestProxyToADeadTarget(t *testing.T) {
	p := startProxy(t, freeAddr(t))
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return // closed before the dial was done
	}
	defer conn.Close()
	if err := roundTrip(conn, timeout); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a closed connection", err)
	}
}

// While a lab starts, a link waits for its target.
func TestProxyHolds(t *testing.T) {
	addr := freeAddr(t)
	hold := make(chan struct{})
	defer close(hold)
	p, err := newProxy(freeAddr(t), addr, hold)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	conn := dialProxy(t, p)
	target, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	far, err := target.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
		t.Error(err)
	}
}
