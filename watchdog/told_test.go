package watchdog_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

// told is an event as a plain subscriber reads it.
type told struct {
	Type      string        `json:"type"`
	ID        string        `json:"id"`
	Timestamp time.Time     `json:"timestamp"`
	Node      string        `json:"node"`
	Stream    string        `json:"stream"`
	Epoch     uint64        `json:"epoch"`
	Reason    policy.Reason `json:"reason"`
}

// events are all that a subscriber at one site has heard, by subject.
type events struct {
	w    *world
	mu   sync.Mutex
	list map[string][]told
}

func (w *world) subscribe(t *testing.T, site string) *events {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	e := &events{w: w, list: map[string][]told{}}
	_, err = nc.Subscribe("understudy.event.>", func(m *nats.Msg) {
		var ev told
		if err := json.Unmarshal(m.Data, &ev); err != nil {
			t.Errorf("event on %s: %v", m.Subject, err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.list[m.Subject] = append(e.list[m.Subject], ev)
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// await waits for an event of a kind about a stream, and returns the first.
func (e *events) await(t *testing.T, kind, stream string) told {
	t.Helper()
	var found told
	e.w.await(t, soon, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		list := e.list["understudy.event."+kind+"."+stream]
		if len(list) == 0 {
			return fmt.Errorf("no event %s of %s", kind, stream)
		}
		found = list[0]
		if found.Stream != stream {
			return fmt.Errorf("event %s of %s is about %q", kind, stream, found.Stream)
		}
		return nil
	})
	return found
}

// unique wants different events to have different ids. (An event reaches a site once for every site that passes it on.)
func (e *events) unique(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	seen := map[string]told{}
	for _, list := range e.list {
		for _, ev := range list {
			if other, ok := seen[ev.ID]; ok && other != ev {
				t.Errorf("two events bear the id %s: %+v and %+v", ev.ID, other, ev)
			}
			seen[ev.ID] = ev
		}
	}
}

// get asks a watchdog by HTTP, as a scraper does.
func get(d *grouplab.Dog, path string) (code int, body string, err error) {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + d.HTTP + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// metrics are the samples of a scrape, by name and labels as printed, labels in the order of their names.
func (w *world) metrics(d *grouplab.Dog) (map[string]float64, error) {
	code, body, err := get(d, "/metrics")
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, fmt.Errorf("/metrics of %s: %d %s", d.Name, code, body)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("sample %q: %w", line, err)
		}
		if _, doubled := samples[line[:i]]; doubled {
			return nil, fmt.Errorf("sample %q is there twice", line)
		}
		samples[line[:i]] = v
	}
	return samples, nil
}

func (w *world) metric(t *testing.T, d *grouplab.Dog, name string) float64 {
	t.Helper()
	samples, err := w.metrics(d)
	if err != nil {
		t.Fatal(err)
	}
	v, ok := samples[name]
	if !ok {
		t.Fatalf("%s has no %s", d.Name, name)
	}
	return v
}

// awaitMetric waits until the leader's metric has a value.
func (w *world) awaitMetric(t *testing.T, name string, want float64) {
	t.Helper()
	w.await(t, soon, func() error {
		samples, err := w.metrics(w.leader(t))
		if err != nil {
			return err
		}
		if v, ok := samples[name]; !ok || v != want {
			return fmt.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
		return nil
	})
}

// lacking lists those of the names that no sample bears.
func lacking(samples map[string]float64, names ...string) []string {
	for s := range samples {
		family, _, _ := strings.Cut(strings.TrimPrefix(s, "understudy_"), "{")
		names = slices.DeleteFunc(names, func(name string) bool { return name == family })
	}
	return names
}
