package watchdog

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignalsHandedOver has signals arrive before the service starts: they are served when it does, in their order.
func TestSignalsHandedOver(t *testing.T) {
	s, write := reloading(t)
	ctx, stop := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("not served"))
	defer stop()
	ctx, s.stop = context.WithCancelCause(ctx)
	early := make(chan os.Signal, 2)
	early <- syscall.SIGHUP
	early <- syscall.SIGTERM
	s.o.Signals = early
	before := s.Hash()
	write(strings.Replace(oneStream, "data_dir: data", "data_dir: data\noutage: {after: 77s}", 1))

	g := s.catchSignals()
	defer g.close()
	if err := g.serve(ctx); err != nil {
		t.Error(err)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errTerminate) {
		t.Errorf("ended by %v, want %v", cause, errTerminate)
	}
	if s.Hash() == before {
		t.Error("the early SIGHUP reloaded nothing")
	}
}
