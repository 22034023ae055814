package watchdog

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/understudy-ha/understudy/watchdog/api"
)

// listeners are bound before anything else runs, so that an address in use ends the start and not the service.
type listeners struct {
	s           *service
	http, admin net.Listener
}

func (s *service) listen() (*listeners, error) {
	c := s.o.Config
	h, err := net.Listen("tcp", c.HTTP.Listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen %q: %w: free it or choose another", c.HTTP.Listen, err)
	}
	a, err := api.ListenAdmin(c.AdminSocket())
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	return &listeners{s: s, http: h, admin: a}, nil
}

// serve runs both listeners until ctx ends.
func (l *listeners) serve(ctx context.Context) error {
	log := l.s.log.With("part", "http")
	metrics := scrapes(l.s.metrics.registry, log)
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	wg.Go(func() { errs <- api.Serve(ctx, l.http, api.Handler(l.s, metrics, log)) })
	wg.Go(func() { errs <- api.Serve(ctx, l.admin, api.AdminHandler(l.s, l.s, log)) })
	err := <-errs
	if err == nil {
		err = <-errs
	}
	if ctx.Err() != nil || err == nil {
		wg.Wait()
		return nil
	}
	return err
}

// scrapes serves the metrics. What can be gathered is served: one series that is wrong must not hide the others.
func scrapes(g prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)})
}
