package election

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

// serveCalls answers the calls on one connection until it is closed or stays idle for too long.
func (n *Node) serveCalls(ctx context.Context, conn net.Conn, from string) {
	r := bufio.NewReader(conn)
	for ctx.Err() == nil {
		if err := n.serveCall(ctx, conn, r, from); err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				n.log.Debug("a peer's connection for calls ended", keyPeer, from, keyError, err)
			}
			return
		}
	}
}

func (n *Node) serveCall(ctx context.Context, conn net.Conn, r *bufio.Reader, from string) error {
	if err := conn.SetDeadline(time.Now().Add(serveIdle)); err != nil {
		return err
	}
	if _, err := r.Peek(1); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	method, timeout, body, err := readRequest(r)
	if err != nil {
		return fmt.Errorf("read a request: %w", err)
	}
	frame := n.respond(ctx, timeout, from, method, body)
	if err := conn.SetDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	if _, err := conn.Write(frame); err != nil {
		return fmt.Errorf("send a response: %w", err)
	}
	return nil
}

// respond runs the handler under the caller's deadline and returns the response's frame.
func (n *Node) respond(ctx context.Context, timeout time.Duration, from, method string, body []byte) []byte {
	ctx, cancel := context.WithTimeout(ctx, min(timeout, maxCallTimeout))
	defer cancel()
	resp, err := n.answer(ctx, from, method, body)
	var remote *RemoteError
	if !errors.As(err, &remote) {
		return appendBody([]byte{0, 0}, resp)
	}
	code := remote.Code[:min(len(remote.Code), math.MaxUint8)]
	frame := append([]byte{1, byte(len(code))}, code...)
	return appendBody(frame, []byte(remote.Text))
}

func readRequest(r io.Reader) (method string, timeout time.Duration, body []byte, err error) {
	name, err := readShort(r)
	if err != nil {
		return "", 0, nil, err
	}
	var ms [4]byte
	if _, err := io.ReadFull(r, ms[:]); err != nil {
		return "", 0, nil, err
	}
	body, err = readBody(r, MaxRequest)
	return string(name), time.Duration(binary.BigEndian.Uint32(ms[:])) * time.Millisecond, body, err
}
