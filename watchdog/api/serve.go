package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// grace is how long requests under way may go on once the watchdog is told to stop. It is short: what a command has
// begun is in the log already, and goes on under the next leader.
const grace = 3 * time.Second

// Serve serves h on ln until ctx ends; then it closes ln, lets requests under way finish for a short grace, and
// returns nil when all have. Handlers see their context end with the grace.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	srv := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      Timeout + 10*time.Second, // a command takes up to Timeout
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // what strangers send to the port is not worth a line
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(end)
	stop()
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-failed
	if err != nil {
		return fmt.Errorf("stop serving on %s: %w", ln.Addr(), err)
	}
	return nil
}
