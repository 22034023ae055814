package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// What a Client's caller may branch on.
var (
	// ErrNotRunning: nobody listens at the place.
	ErrNotRunning = errors.New("no watchdog answers")
	// ErrPermission: this user may not use the socket.
	ErrPermission = errors.New("permission denied")
	// ErrTimeout: no answer in time; a command may still take effect.
	ErrTimeout = errors.New("no answer in time")
	// ErrUnavailable: the watchdog answers that it cannot say now.
	ErrUnavailable = errors.New("the watchdog cannot say now")
	// ErrBadAddress: the address of a watchdog cannot be one.
	ErrBadAddress = errors.New("not the address of a watchdog")
	// ErrReadOnly: a command was given to a read-only address.
	ErrReadOnly = errors.New("commands go through the admin socket only")
	// ErrNotWatchdog: something else answers at the place.
	ErrNotWatchdog = errors.New("not the answer of a watchdog")
)

const readOnlyRemedy = "run this on the host of a watchdog, any one of them, without --addr"

// UnknownStreamError says that a stream is not guarded, and which are.
type UnknownStreamError struct {
	Name  string
	Known []string
}

// maxKnown is how many names an UnknownStreamError spells out.
const maxKnown = 20

// Error names the guarded streams.
func (e *UnknownStreamError) Error() string {
	known := e.Known
	if len(known) > maxKnown {
		known = append(known[:maxKnown:maxKnown], fmt.Sprintf("and %d more", len(e.Known)-maxKnown))
	}
	list := strings.Join(known, ", ")
	if list == "" {
		list = "none"
	}
	return fmt.Sprintf("stream %q is not guarded; the guarded streams: %s", e.Name, list)
}

// unreached says why a request got no answer, and what to do about it.
func (c *Client) unreached(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the made-up URL of a socket
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: this user may not use %s: try sudo, or run as the watchdog's user", ErrPermission, c.place)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w from %s", ErrTimeout, c.place)
	case errors.Is(err, fs.ErrNotExist) && c.socket:
		return fmt.Errorf("%w: there is no socket %s: is the watchdog running on this host? (--socket PATH and --addr URL "+
			"name other places)", ErrNotRunning, c.place)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens at %s: is the watchdog running?", ErrNotRunning, c.place)
	}
	return fmt.Errorf("ask %s: %w", c.place, err)
}

// unexpected turns an answer that is not the one asked for into an error.
func (c *Client) unexpected(code int, body []byte) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil || f.Error == "" {
		return fmt.Errorf("%w: %s answers %d %s", ErrNotWatchdog, c.place, code, http.StatusText(code))
	}
	switch {
	case f.Stream != "":
		return &UnknownStreamError{Name: f.Stream, Known: f.Streams}
	case code == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s", ErrUnavailable, f.Error)
	case code == http.StatusBadRequest:
		return fmt.Errorf("%s: %s", c.place, f.Error)
	}
	return fmt.Errorf("%s answers %d: %s", c.place, code, f.Error)
}
