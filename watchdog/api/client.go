package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// maxAnswer bounds what is read of an answer: 10,000 streams are about 30 MiB.
const maxAnswer = 256 << 20

// Client asks one watchdog. Its errors say what to do; callers branch on the sentinels of client_errors.go.
type Client struct {
	http   *http.Client
	base   string // of the URLs
	place  string // the socket or the URL, for messages
	socket bool
}

// SocketClient talks to the admin socket at path.
func SocketClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{http: newHTTP(&http.Transport{DialContext: dial}), base: "http://watchdog", place: path, socket: true}
}

// URLClient talks to the read-only API at a URL such as http://host:7424; host:7424 alone will do. Any other address is
// an ErrBadAddress.
func URLClient(addr string) (*Client, error) {
	u, err := parseAddr(addr)
	if err != nil {
		return nil, err
	}
	base := u.Scheme + "://" + u.Host
	return &Client{http: newHTTP(http.DefaultTransport.(*http.Transport).Clone()), base: base, place: base}, nil
}

// parseAddr refuses what would be asked at another place than meant: 7424 alone is no host, and a path is not used.
func parseAddr(addr string) (*url.URL, error) {
	const write = "write http://HOST:7424"
	full := addr
	if !strings.Contains(addr, "://") {
		full = "http://" + addr
	}
	u, err := url.Parse(full)
	switch {
	case strings.Contains(addr, "@"): // may be a password: not shown
		return nil, fmt.Errorf("%w: it has a login, and a watchdog asks for none: %s", ErrBadAddress, write)
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%w: %q is not a URL: %s", ErrBadAddress, addr, write)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%w: %q names no host: %s", ErrBadAddress, addr, write)
	case isNumber(u.Hostname()) && u.Port() == "":
		return nil, fmt.Errorf("%w: %q is a port without a host: write http://HOST:%s", ErrBadAddress, addr, u.Hostname())
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%w: %q has more than a host and a port: write %s://%s", ErrBadAddress, addr, u.Scheme, u.Host)
	case u.Port() != "" && !isPort(u.Port()):
		return nil, fmt.Errorf("%w: %q has no port from 1 to 65535: %s", ErrBadAddress, addr, write)
	}
	return u, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// newHTTP never follows a redirect: a watchdog sends none.
func newHTTP(t *http.Transport) *http.Client {
	t.DisableKeepAlives = true // a client asks a question or two, and nobody closes it
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Status returns the whole group as the watchdog knows it.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.get(ctx, PathStatus, &s)
}

// Stream returns one guarded stream; an unknown name is an *UnknownStreamError.
func (c *Client) Stream(ctx context.Context, name string) (StreamStatus, error) {
	var s StreamStatus
	return s, c.get(ctx, PathStreams+url.PathEscape(name), &s)
}

// History returns the newest entries, oldest first: of one stream, or with "" of all; limit 0 returns all there are.
// An unknown name is an *UnknownStreamError.
func (c *Client) History(ctx context.Context, stream string, limit int) ([]policy.Entry, error) {
	q := url.Values{}
	if stream != "" {
		q.Set("stream", stream)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	var list []policy.Entry
	return list, c.get(ctx, PathHistory+"?"+q.Encode(), &list)
}

// Check asks a health path, PathLive, PathReady or PathHealth: whether it is well, and its line of text.
func (c *Client) Check(ctx context.Context, path string) (bool, string, error) {
	code, body, err := c.ask(ctx, http.MethodGet, path, nil, readTimeout)
	if err != nil {
		return false, "", err
	}
	text := string(bytes.TrimSpace(body))
	if code != http.StatusOK && code != http.StatusServiceUnavailable {
		return false, "", c.unexpected(code, body)
	}
	return code == http.StatusOK, text, nil
}

// TakesCommands returns ErrReadOnly for a client of a URL: commands go to the admin socket only.
func (c *Client) TakesCommands() error {
	if c.socket {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrReadOnly, readOnlyRemedy)
}

// Do sends a command and waits for its outcome. When the answer is lost, what became of the command is not known, and
// the error says so.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	if err := c.TakesCommands(); err != nil {
		return Response{}, err
	}
	if err := r.Validate(); err != nil {
		return Response{}, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return Response{}, fmt.Errorf("encode %s: %w", r.Verb, err)
	}
	code, answer, err := c.ask(ctx, http.MethodPost, PathCommand, body, Timeout+5*time.Second)
	if errors.Is(err, ErrNotRunning) || errors.Is(err, ErrPermission) {
		return Response{}, err // it was never sent
	}
	if err != nil {
		return Response{}, fmt.Errorf("%w; the command may have been taken: `understudy history` tells", err)
	}
	var resp Response
	if err := json.Unmarshal(answer, &resp); err != nil || resp.Outcome == "" {
		return Response{}, c.unexpected(code, answer)
	}
	return resp, nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	code, body, err := c.ask(ctx, http.MethodGet, path, nil, readTimeout)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return c.unexpected(code, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %s answers %s with something else than JSON: %w", ErrNotWatchdog, c.place, path, err)
	}
	return nil
}

// ask sends one request and reads the whole answer.
func (c *Client) ask(ctx context.Context, method, path string, body []byte, limit time.Duration) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", c.place, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, c.unreached(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, c.unreached(err)
	}
	return resp.StatusCode, answer, nil
}
