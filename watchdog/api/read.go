package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/understudy-ha/understudy/policy"
)

func (s server) status(w http.ResponseWriter, r *http.Request) {
	if st, ok := s.read(w, r); ok {
		respond(w, http.StatusOK, st)
	}
}

func (s server) stream(w http.ResponseWriter, r *http.Request) {
	st, ok := s.read(w, r)
	if !ok {
		return
	}
	name := r.PathValue("name")
	if found, ok := st.Stream(name); ok {
		respond(w, http.StatusOK, found)
		return
	}
	unknownStream(w, name, st)
}

// history answers with the entries, oldest first; of ?limit=N the newest N.
func (s server) history(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"))
	if err != nil {
		respond(w, http.StatusBadRequest, failure{Error: err.Error()})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	entries, err := s.src.History(ctx)
	if err != nil {
		unavailable(w, err)
		return
	}
	if name := q.Get("stream"); name != "" {
		entries = slices.DeleteFunc(slices.Clone(entries), func(e policy.Entry) bool { return e.Stream != name })
		if len(entries) == 0 && !s.knows(w, r, name) {
			return
		}
	}
	if limit > 0 && len(entries) > limit {
		entries = entries[len(entries)-limit:]
	}
	if entries == nil {
		entries = []policy.Entry{} // a list, never null
	}
	respond(w, http.StatusOK, entries)
}

// limitOf parses ?limit: 0, or none at all, is everything.
func limitOf(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("limit %q is not a number of entries", s)
	}
	return n, nil
}

// knows reports whether a stream without history is guarded, and answers the request when it is not.
func (s server) knows(w http.ResponseWriter, r *http.Request, name string) bool {
	st, ok := s.read(w, r)
	if !ok {
		return false
	}
	if _, ok = st.Stream(name); !ok {
		unknownStream(w, name, st)
	}
	return ok
}

// read asks the source for the status, and answers the request when there is none.
func (s server) read(w http.ResponseWriter, r *http.Request) (Status, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	st, err := s.src.Status(ctx)
	if err != nil {
		unavailable(w, err)
		return Status{}, false
	}
	return st.listed(), true
}

func unavailable(w http.ResponseWriter, err error) {
	respond(w, http.StatusServiceUnavailable, failure{Error: err.Error()})
}

func unknownStream(w http.ResponseWriter, name string, st Status) {
	f := failure{Error: fmt.Sprintf("stream %q is not guarded", name), See: PathStatus, Stream: name, Streams: st.Names()}
	respond(w, http.StatusNotFound, f)
}
