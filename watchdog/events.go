package watchdog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

const (
	eventSubject = "understudy.event."
	eventType    = "io.understudy.event.v1."
	// lookEvery is how late a reload and a blocked failover may be noticed.
	lookEvery = time.Second
)

// event is typed as JetStream's advisories are.
type event struct {
	Type      string        `json:"type"`
	ID        string        `json:"id"`
	Timestamp time.Time     `json:"timestamp"`
	Node      string        `json:"node"`
	Stream    string        `json:"stream,omitempty"`
	Epoch     uint64        `json:"epoch,omitempty"`
	Reason    policy.Reason `json:"reason"`
}

// teller passes what enters the history on: one log line, the metrics, and an event at every site that can be reached.
// Events are best effort; the history is the record.
type teller struct {
	s     *service
	queue chan event
	done  sync.WaitGroup
	// Of publish alone, while it runs.
	conns   map[string]eventConn // by site
	blocked blocked
}

// eventConn is a connection and the login that it was made with.
type eventConn struct {
	login jsapi.Login
	*jsapi.Conn
}

func newTeller(s *service) *teller {
	t := &teller{s: s, queue: make(chan event, 256), conns: map[string]eventConn{}, blocked: blocked{}}
	t.connect()
	t.done.Go(t.publish)
	return t
}

// connect follows the logins of the config in force: a reload may change them, and add and remove sites.
func (t *teller) connect() {
	logins := siteLogins(t.s.Config())
	for site, c := range t.conns {
		if login, stays := logins[site]; !stays || !reflect.DeepEqual(login, c.login) {
			c.Close()
			delete(t.conns, site)
		}
	}
	for site, login := range logins {
		if _, made := t.conns[site]; !made {
			t.conns[site] = eventConn{login, jsapi.Dial(jsapi.Options{Login: login})}
		}
	}
}

// close publishes what is queued and disconnects.
func (j *journal) close() {
	j.mu.Lock()
	j.told = ^uint64(0) // nothing is told from here on
	close(j.queue)
	j.mu.Unlock()
	j.done.Wait()
	for _, c := range j.conns {
		c.Close()
	}
}

// tell never blocks: an event that finds the queue full is dropped, and that is logged.
func (t *teller) tell(s policy.State, e policy.Entry) {
	log := t.s.log.With("event", e.Kind, "reason", string(e.Reason.Code), "detail", e.Reason.Text)
	if e.Stream != "" {
		log = log.With("stream", e.Stream, "epoch", e.Epoch)
	}
	logEntry(log, e)
	t.s.metrics.told(s, e)
	select {
	case t.queue <- t.event(e, eventID(e)):
	default:
		log.Warn("event dropped: the queue is full")
	}
}

func (t *teller) event(e policy.Entry, id string) event {
	return event{Type: eventType + e.Kind, ID: id, Timestamp: e.At, Node: t.s.o.Config.Node, Stream: e.Stream, Epoch: e.Epoch, Reason: e.Reason}
}

// eventID is the same for the same entry of the log, whoever tells it. One command may enter several, all with its
// time: the number tells them apart. The time tells apart what a log that was lost numbers anew.
func eventID(e policy.Entry) string {
	return fmt.Sprintf("%s-%d", e.At.UTC().Format("20060102T150405.000000000"), e.Seq)
}

func logEntry(log *slog.Logger, e policy.Entry) {
	const text = "state changed"
	switch e.Kind {
	case "origin_down", "origin_suspect", "origin_returned", "failover_started", "failover_aborting", "waiting", "override":
		log.Warn(text)
	case "decision":
		if e.Reason.Code == policy.Healthy || e.Reason.Code == policy.InProgress {
			log.Info(text)
			return
		}
		log.Warn(text)
	default:
		log.Info(text)
	}
}

// publish sends what is told until the queue is closed and empty. In between it looks what has changed without having
// been told: the sites to tell it at, and what is blocked.
func (t *teller) publish() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case e, open := <-t.queue:
			if !open {
				return
			}
			t.send(e)
		case <-tick.C:
			t.connect()
			t.tellBlocked()
		}
	}
}

// send publishes one event at every site.
func (t *teller) send(e event) {
	data, err := json.Marshal(e)
	if err != nil {
		return // plain strings and numbers: cannot happen
	}
	kind := strings.TrimPrefix(e.Type, eventType)
	stream := e.Stream
	if stream == "" {
		stream = "all"
	}
	for site, c := range t.conns {
		if err := c.PublishEvent(eventSubject+kind+"."+stream, data); err != nil {
			t.s.log.Debug("event not published", "site", site, "kind", kind, "error", err)
		}
	}
}
