package failover

import (
	"errors"
	"fmt"
	"testing"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// TestCloses holds which outcomes close a write: only the word of one who knows.
func TestCloses(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want policy.CloseHow
	}{
		{"done", nil, policy.ClosedReplied},
		{"refused", &jsapi.APIError{Code: 400, ErrCode: 10065}, policy.ClosedRefused},
		{"nobody was there", fmt.Errorf("update: %w", jsapi.ErrNoResponders), policy.ClosedNotSent},
		{"no leadership", fmt.Errorf("%w: lost", errNotSent), policy.ClosedNotSent},
		{"no answer", jsapi.ErrTimeout, ""},
		{"connection lost", jsapi.ErrDisconnected, ""},
		// A server that was frozen answers so at once, while the meta leader carries the same request out.
		{"a server without a meta leader", fmt.Errorf("create: %w", &jsapi.APIError{Code: 503, ErrCode: 10008}), ""},
		{"something else", errors.New("broken"), ""},
	} {
		if got := closes(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
