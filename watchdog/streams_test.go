package watchdog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// stream is one guarded group: an origin NAME in east on "name.>", and mirrors NAME_WEST and NAME_EU.
type stream struct {
	name string
	mode string // "" is the group's
	// onlyWest keeps eu from being promoted, where a test must know the target.
	onlyWest bool
	extra    string // a further line of its config
	origin   func(*jetstream.StreamConfig)
	// make creates a group of another shape, such as a bucket's, and returns it as the watchdogs' config has it.
	make func(*testing.T, *world) grouplab.Stream
}

func mirrorName(name, site string) string { return name + "_" + strings.ToUpper(site) }

func subject(name string) string { return strings.ToLower(name) }

// guarded is the stream as the watchdogs' config has it.
func (s stream) guarded(lab *natslab.Lab) grouplab.Stream {
	g := grouplab.Stream{Name: s.name, Origin: "east", Mirrors: map[string]string{}}
	for _, site := range lab.Sites()[1:] {
		g.Mirrors[site.Name] = mirrorName(s.name, site.Name)
		if s.onlyWest && site.Name != "west" {
			g.Mirrors[site.Name] += ", promote: never" // the template writes a flow mapping around it
		}
	}
	if s.mode != "" {
		g.Extra = "    mode: " + s.mode + "\n"
	}
	if s.extra != "" {
		g.Extra += "    " + s.extra + "\n"
	}
	return g
}

func (w *world) create(t *testing.T, s stream, replicas int) {
	t.Helper()
	for _, site := range w.lab.Sites() {
		c := jetstream.StreamConfig{Name: s.name, Subjects: []string{subject(s.name) + ".>"}, Replicas: replicas}
		if site.Name != "east" {
			c.Name, c.Subjects, c.Mirror = mirrorName(s.name, site.Name), nil, &jetstream.StreamSource{Name: s.name}
			c.MirrorDirect = true
		}
		if w.lab.Topology() != natslab.Domains {
			c.Placement = &jetstream.Placement{Cluster: site.Name}
		} else if c.Mirror != nil {
			c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}
		}
		if c.Mirror == nil && s.origin != nil {
			s.origin(&c)
		}
		w.await(t, soon, func() error { return w.ask(site.Name, "STREAM.CREATE."+c.Name, c, nil) })
	}
	w.publish(t, "east", s.name, 1)
}

// conn is an application's connection to a site, which outlives the site's death.
func (w *world) conn(site string) (*nats.Conn, error) {
	if nc := w.conns[site]; nc != nil {
		return nc, nil
	}
	nc, err := w.lab.Connect(w.ctx, site, site, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	if err == nil {
		w.conns[site] = nc
	}
	return nc, err
}

// noBody is the body of a request that must have none.
type noBody struct{}

// ask sends one request to the JetStream API at a site.
func (w *world) ask(site, what string, body, into any) error {
	nc, err := w.conn(site)
	if err != nil {
		return err
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if body == (noBody{}) {
		b = nil
	}
	ctx, cancel := context.WithTimeout(w.ctx, 2*time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "$JS.API."+what, b)
	if err != nil {
		return fmt.Errorf("%s at %s: %w", what, site, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("%s at %s: %w", what, site, answer.Error)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(m.Data, into)
}

// info is what a server says of a stream.
type info struct {
	Config map[string]json.RawMessage `json:"config"`
	State  jetstream.StreamState      `json:"state"`
}

// field decodes one field of the config; a missing one leaves into alone.
func (i info) field(t *testing.T, key string, into any) {
	t.Helper()
	if raw, ok := i.Config[key]; ok {
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
}

func (i info) subjects() (list []string) {
	_ = json.Unmarshal(i.Config["subjects"], &list) // a mirror has none
	return list
}

// raw is the config as one JSON object.
func (i info) raw() json.RawMessage {
	b, err := json.Marshal(i.Config)
	if err != nil {
		panic(err) // it was parsed from JSON
	}
	return b
}

func (i info) mirror() bool { return len(i.Config["mirror"]) > 0 }

func (i info) metadata() (m map[string]string) {
	_ = json.Unmarshal(i.Config["metadata"], &m) // none is none
	return m
}

func (w *world) info(site, name string) (info, error) {
	var i info
	return i, w.ask(site, "STREAM.INFO."+name, noBody{}, &i)
}

func (w *world) mustInfo(t *testing.T, site, name string) info {
	t.Helper()
	var i info
	w.await(t, soon, func() (err error) {
		i, err = w.info(site, name)
		return err
	})
	return i
}

// update edits a stream as a person with the nats CLI would: read, change, write.
func (w *world) update(t *testing.T, site, name string, edit func(map[string]json.RawMessage)) {
	t.Helper()
	c := w.mustInfo(t, site, name).Config
	edit(c)
	if err := w.ask(site, "STREAM.UPDATE."+name, c, nil); err != nil {
		t.Fatal(err)
	}
}

func set(c map[string]json.RawMessage, key string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	c[key] = b
}

// bound tells whether a stream holds the real subjects of a guarded one, parked whether only its parked one.
func (w *world) bound(site, name, guarded string) error {
	return w.holds(site, name, subject(guarded)+".>")
}

func (w *world) parked(site, name string) error {
	return w.holds(site, name, policy.ParkSubject(policy.MemberID{Site: site, Stream: name}))
}

func (w *world) holds(site, name, subject string) error {
	i, err := w.info(site, name)
	if err != nil {
		return err
	}
	if i.mirror() || !slices.Equal(i.subjects(), []string{subject}) {
		return fmt.Errorf("%s/%s holds %v (mirror: %v), want %s", site, name, i.subjects(), i.mirror(), subject)
	}
	return nil
}

// isMirror tells that nobody promoted a mirror.
func (w *world) isMirror(site, name string) error {
	i, err := w.info(site, name)
	if err == nil && !i.mirror() {
		err = fmt.Errorf("%s/%s is no mirror any more", site, name)
	}
	return err
}

// publish puts n messages with ids and headers into a guarded stream, and waits until each is acked and, from east,
// mirrored: what is on the mirrors when a site dies is then known.
func (w *world) publish(t *testing.T, site, name string, n int) (last jetstream.PubAck) {
	t.Helper()
	last = w.publishOnly(t, site, name, n)
	if site == "east" {
		w.awaitMirrored(t, name, last.Sequence)
	}
	return last
}

// publishOnly waits for the acks alone.
func (w *world) publishOnly(t *testing.T, site, name string, n int) (last jetstream.PubAck) {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m := nats.NewMsg(fmt.Sprintf("%s.%d", subject(name), i))
		m.Data = fmt.Appendf(nil, "payload %d of %s", i, name)
		m.Header.Set("Kind", "test")
		w.await(t, soon, func() error {
			ack, err := js.PublishMsg(w.ctx, m)
			if err == nil {
				last = *ack
			}
			return err
		})
	}
	return last
}

func (w *world) awaitMirrored(t *testing.T, name string, seq uint64) {
	t.Helper()
	for _, site := range w.lab.Sites()[1:] {
		w.await(t, soon, func() error {
			i, err := w.info(site.Name, mirrorName(name, site.Name))
			if err == nil && i.State.LastSeq < seq {
				err = fmt.Errorf("the mirror of %s at %s is at %d of %d", name, site.Name, i.State.LastSeq, seq)
			}
			return err
		})
	}
}

// message is one stored message as the server prints it: subject, headers, payload and time.
func (w *world) message(t *testing.T, site, name string, seq uint64) string {
	t.Helper()
	var answer struct {
		Message json.RawMessage `json:"message"`
	}
	w.await(t, soon, func() error {
		return w.ask(site, "STREAM.MSG.GET."+name, map[string]uint64{"seq": seq}, &answer)
	})
	return string(answer.Message)
}
