package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errNoReader ends work whose output cannot be written.
var errNoReader = errors.New("nobody takes the output")

// guardOutput returns w for work that leaves something to clean up, such as the demo's servers: when nobody reads any
// more, as in `understudy demo | head`, the context ends, where SIGPIPE would end the process at once. The signal is
// caught, not ignored, because children would inherit that. The cause of the context's end is the failed write.
func guardOutput(ctx context.Context, w io.Writer) (context.Context, io.Writer, func()) {
	caught := make(chan os.Signal, 1) // never read: it is only there so that a write fails instead
	signal.Notify(caught, syscall.SIGPIPE)
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &guardedWriter{w: w, cancel: cancel}, func() {
		signal.Stop(caught)
		cancel(nil)
	}
}

type guardedWriter struct {
	w      io.Writer
	cancel context.CancelCauseFunc
}

// Write implements io.Writer.
func (g *guardedWriter) Write(b []byte) (int, error) {
	n, err := g.w.Write(b)
	if err != nil {
		g.cancel(fmt.Errorf("%w: %w", errNoReader, err))
	}
	return n, err
}
