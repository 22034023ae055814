package api

import (
	"net/http"
	"strings"
)

// check is the JSON of one health endpoint.
type check struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

func (s server) live(w http.ResponseWriter, r *http.Request) {
	h := s.src.Health()
	answerHealth(w, r, check{h.Live, h.LiveText}, h)
}

func (s server) ready(w http.ResponseWriter, r *http.Request) {
	h := s.src.Health()
	answerHealth(w, r, check{h.Ready, h.ReadyText}, h)
}

func (s server) health(w http.ResponseWriter, r *http.Request) {
	h := s.src.Health()
	c := check{h.Live && h.Ready, h.ReadyText}
	if !h.Live {
		c.Text = h.LiveText
	}
	answerHealth(w, r, c, h)
}

// answerHealth answers 200 or 503: one line for people and probes, JSON for those who ask for it.
func answerHealth(w http.ResponseWriter, r *http.Request, c check, all Health) {
	code, line := http.StatusOK, "ok"
	if !c.OK {
		code, line = http.StatusServiceUnavailable, "not ok"
	}
	if r.URL.Query().Has("verbose") || strings.Contains(r.Header.Get("Accept"), "application/json") {
		respond(w, code, struct {
			check
			Health
		}{c, all})
		return
	}
	if c.Text != "" {
		line += ": " + c.Text
	}
	respondText(w, code, line)
}
