package api

import (
	"encoding/json"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

// The keys of this package's log lines.
const (
	keyPath    = "path"
	keyError   = "error"
	keyStack   = "stack"
	keyVerb    = "verb"
	keyStream  = "stream"
	keySignal  = "signal"
	keyBy      = "by"
	keyOutcome = "outcome"
	keyReason  = "reason"
	keyText    = "text"
)

// failure is the JSON of every answer that is not the one asked for.
type failure struct {
	Error string `json:"error"`
	// See is a path where the answer may be.
	See string `json:"see,omitempty"`
	// Stream is the asked one when it is not guarded; Streams are those that are.
	Stream  string   `json:"stream,omitempty"`
	Streams []string `json:"streams,omitempty"`
}

// respond writes v as indented JSON. Answers are of the moment: nobody may cache them.
func respond(w http.ResponseWriter, code int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the asker has gone: there is nobody to tell
}

// respondText writes one line of plain text.
func respondText(w http.ResponseWriter, code int, line string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(line + "\n"))
}

func notFound(w http.ResponseWriter, r *http.Request) {
	respond(w, http.StatusNotFound, failure{Error: "there is nothing at " + r.URL.Path, See: PathStatus})
}

// only lets the given methods pass.
func only(h http.HandlerFunc, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			h(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		respond(w, http.StatusMethodNotAllowed, failure{Error: r.Method + " is not for " + r.URL.Path})
	})
}

// recovered answers 500 when a handler panics, so that a fault in what is shown never ends a failover.
func (s server) recovered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.log.Error("api handler panicked", keyPath, r.URL.Path, keyError, p, keyStack, string(debug.Stack()))
			respond(w, http.StatusInternalServerError, failure{Error: "internal error, see the watchdog's log"})
		}()
		h.ServeHTTP(w, r)
	})
}
