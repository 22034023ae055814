package api

import (
	"log/slog"
	"net/http"
	"time"
)

// The paths of the API. A stream's own is PathStreams and its name.
const (
	PathLive    = "/livez"
	PathReady   = "/readyz"
	PathHealth  = "/healthz"
	PathMetrics = "/metrics"
	PathStatus  = "/v1/status"
	PathStreams = "/v1/streams/"
	PathHistory = "/v1/history"
	PathCommand = "/v1/command"
)

// readTimeout limits one reading request: the answers come from memory.
const readTimeout = 10 * time.Second

// server holds what the handlers answer from.
type server struct {
	src     Source
	cmd     Commander    // nil on the read-only listener
	metrics http.Handler // nil on the admin socket
	log     *slog.Logger
}

// Handler serves health, metrics and the read-only API. Nothing on it changes anything.
func Handler(src Source, metrics http.Handler, log *slog.Logger) http.Handler {
	return server{src: src, metrics: metrics, log: log}.handler()
}

// AdminHandler serves the reading paths of Handler, without the metrics, and takes commands. Whoever can reach it may
// do everything: serve it on the listener of ListenAdmin only.
func AdminHandler(src Source, cmd Commander, log *slog.Logger) http.Handler {
	return server{src: src, cmd: cmd, log: log}.handler()
}

func (s server) handler() http.Handler {
	mux := http.NewServeMux()
	read := func(path string, h http.HandlerFunc) { mux.Handle(path, only(h, http.MethodGet, http.MethodHead)) }
	read(PathLive, s.live)
	read(PathReady, s.ready)
	read(PathHealth, s.health)
	read(PathStatus, s.status)
	read(PathStreams+"{name}", s.stream)
	read(PathHistory, s.history)
	if s.metrics != nil {
		read(PathMetrics, s.metrics.ServeHTTP)
	}
	if s.cmd != nil {
		mux.Handle(PathCommand, only(s.command, http.MethodPost))
	}
	mux.HandleFunc("/", notFound)
	return s.recovered(mux)
}
