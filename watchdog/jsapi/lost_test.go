package jsapi

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
)

// A request that met no connection must fail, although there may be one again when it asks why: without an error its
// caller would read an answer that is not there.
func TestLostIsNeverNil(t *testing.T) {
	c := &Conn{o: Options{}.withDefaults()}
	if err := c.lost(); !errors.Is(err, ErrConnecting) {
		t.Errorf("before the first attempt has ended: got %v", err)
	}
	c.down(nil)
	c.up(&link{})
	if err := c.LastError(); err != nil {
		t.Errorf("LastError while connected: got %v", err)
	}
	if err := c.lost(); !errors.Is(err, ErrDisconnected) {
		t.Errorf("lost while connected again: got %v", err)
	}
}

// A request is woken before anybody knows why its connection ended.
func TestLostWithWaitsForTheReason(t *testing.T) {
	for name, tc := range map[string]struct {
		told error
		want error
	}{
		"a refused login": {told: fmt.Errorf("%w: changed", ErrAuth), want: ErrAuth},
		"nothing":         {want: ErrDisconnected}, // not for ever
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &link{nc: &nats.Conn{}, told: make(chan struct{})}
				got := make(chan error, 1)
				go func() { got <- l.requestError(t.Context(), nats.ErrConnectionClosed) }()
				synctest.Wait()
				if tc.told != nil {
					l.tell(tc.told)
				}
				began := time.Now()
				if err := <-got; !errors.Is(err, tc.want) || tc.told != nil && errors.Is(err, ErrDisconnected) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if took := time.Since(began); took > lostPatience {
					t.Errorf("waited %v", took)
				}
			})
		})
	}
}
