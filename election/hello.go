package election

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A connection to the peers' port starts with a hello, after the TLS handshake if there is one:
//
//	stream u8 ('R' raft, 'C' calls) | version u8 | group [8] | len u8, from | len u8, to
//
// and its answer: 0, or 1 | len u16 | text. The group is a digest of all the peers' ids: nodes that disagree about who
// belongs to the group must not vote with each other. The name of the peer that was meant is checked, because two
// peers configured with one address would let one node vote twice.
const (
	helloVersion = 1
	groupLen     = 8
	maxRefusal   = 1024
)

type hello struct {
	stream   byte
	group    [groupLen]byte
	from, to string
}

// groupOf digests the sorted ids of a group.
func groupOf(ids []string) (g [groupLen]byte) {
	sum := sha256.Sum256([]byte(strings.Join(ids, "\n")))
	copy(g[:], sum[:])
	return g
}

func (h hello) append(b []byte) []byte {
	b = append(b, h.stream, helloVersion)
	b = append(b, h.group[:]...)
	b = append(append(b, byte(len(h.from))), h.from...)
	return append(append(b, byte(len(h.to))), h.to...)
}

func readHello(r io.Reader) (h hello, err error) {
	var head [2 + groupLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, fmt.Errorf("read its hello: %w", err)
	}
	h.stream = head[0]
	copy(h.group[:], head[2:])
	if (h.stream != streamRaft && h.stream != streamCall) || head[1] != helloVersion {
		return h, fmt.Errorf("it is not a peer: hello begins with %x", head[:2])
	}
	for _, name := range []*string{&h.from, &h.to} {
		b, err := readShort(r)
		if err != nil {
			return h, fmt.Errorf("read its hello: %w", err)
		}
		*name = string(b)
	}
	return h, nil
}

// readShort reads bytes behind a one-byte length.
func readShort(r io.Reader) ([]byte, error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, n[0])
	_, err := io.ReadFull(r, b)
	return b, err
}

// greet reads and judges the hello of an accepted connection.
func (p *port) greet(ctx context.Context, raw *greeting) (net.Conn, hello, error) {
	defer closeWhenDone(ctx, raw)()
	if err := raw.awaitFirst(); err != nil {
		return nil, hello{}, err
	}
	p.greetings.heard(raw)
	if err := raw.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return nil, hello{}, err
	}
	conn, names, err := p.secure.accept(ctx, raw)
	if err != nil {
		return nil, hello{}, err
	}
	h, err := readHello(conn)
	if err != nil {
		return nil, h, err
	}
	refusal := p.judge(h, names)
	if err := answerHello(conn, refusal); err != nil {
		return nil, h, fmt.Errorf("answer its hello: %w", err)
	}
	if refusal != nil {
		return nil, h, refusal
	}
	return conn, h, conn.SetDeadline(time.Time{})
}

// judge says why a hello is refused, or nil.
func (p *port) judge(h hello, names certNames) error {
	addr, known := p.peers[h.from]
	switch {
	case h.to != p.self:
		return fmt.Errorf("%q asked for peer %q, but this is %q: check the peers' addresses", h.from, h.to, p.self)
	case !known || h.from == p.self:
		return fmt.Errorf("%q is not another peer of %q", h.from, p.self)
	case h.group != p.group:
		return fmt.Errorf("%q and %q have different lists of peers", h.from, p.self)
	case p.secure != nil && !names.match(h.from, addr):
		return fmt.Errorf("it says that it is %q, but its certificate is for %s", h.from, names)
	}
	return nil
}

func answerHello(w io.Writer, refusal error) error {
	if refusal == nil {
		_, err := w.Write([]byte{0})
		return err
	}
	text := refusal.Error()
	text = text[:min(len(text), maxRefusal)]
	b := binary.BigEndian.AppendUint16([]byte{1}, uint16(len(text)))
	_, err := w.Write(append(b, text...))
	return err
}

// introduce is the dialling side of greet.
func (p *port) introduce(ctx context.Context, raw net.Conn, h hello) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	defer closeWhenDone(ctx, raw)()
	conn, err := p.secure.dial(ctx, raw, h.to, p.peers[h.to])
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(h.append(nil)); err != nil {
		return nil, fmt.Errorf("send hello: %w", err)
	}
	if err := readHelloAnswer(conn); err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

func readHelloAnswer(r io.Reader) error {
	var code [1]byte
	if _, err := io.ReadFull(r, code[:]); err != nil {
		return fmt.Errorf("read the answer to hello: %w", err)
	}
	if code[0] == 0 {
		return nil
	}
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return fmt.Errorf("read the answer to hello: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(min(binary.BigEndian.Uint16(n[:]), maxRefusal))))
	if err != nil {
		return fmt.Errorf("read the answer to hello: %w", err)
	}
	return errors.New("refused: " + string(bytes.ToValidUTF8(text, []byte("?"))))
}

// closeWhenDone closes conn when ctx ends before the returned function is called.
func closeWhenDone(ctx context.Context, conn net.Conn) func() bool {
	return context.AfterFunc(ctx, func() { conn.Close() })
}
