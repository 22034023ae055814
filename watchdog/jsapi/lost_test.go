package jsapi

import (
	"errors"
	"testing"
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
