package simulator

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// stream is one stream of the model. In a shared meta group a config is committed by the meta group, and a returning
// server serves its own older one until it has caught up; elsewhere the two are the same.
type stream struct {
	id      policy.MemberID
	meta    json.RawMessage // nil: deleted
	local   json.RawMessage // what its server goes by while it is up
	created time.Time
	msgs    []int // by sequence, from 1 on: which message it holds
}

func (s *stream) lastSeq() uint64 { return uint64(len(s.msgs)) }

// world is the model of NATS.
type world struct {
	shared  bool
	streams map[string]*stream
	up      map[string]bool // by site
	offline map[string]bool // the meta group knows that the site's servers are gone
	cut     map[string]bool // alive, but nobody outside reaches it
	deaf    map[path]bool   // one site does not reach another, though others do
	behind  map[string]bool // the mirror at a site hears of its upstream, and does not get its messages
	clock   time.Duration
	newest  int          // message that was published
	acked   map[int]bool // by some stream
	wiped   map[int]bool // on a stream that a person's config let us delete
	archive map[string]archived
	made    int               // incarnations
	known   map[string]parsed // by raw config: most are read again and again
}

// path is the way from who asks to the site through which it asks, both by site.
type path struct{ from, via string }

const subject = "events.>"

var (
	origin = policy.MemberID{Site: "east", Stream: "EVENTS"}
	west   = policy.MemberID{Site: "west", Stream: "EVENTS_W"}
	eu     = policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
	sites  = []string{"east", "west", "eu"}
	all    = []policy.MemberID{origin, west, eu}
)

func newWorld(shared bool) *world {
	w := &world{shared: shared, streams: map[string]*stream{}, up: map[string]bool{}, offline: map[string]bool{}, cut: map[string]bool{}, deaf: map[path]bool{}, behind: map[string]bool{}, known: map[string]parsed{},
		acked: map[int]bool{}, wiped: map[int]bool{}, archive: map[string]archived{}, newest: 10, made: len(all)}
	for _, s := range sites {
		w.up[s] = true
	}
	for i, id := range all {
		cfg := map[string]any{"name": id.Stream, "retention": "limits", "storage": "file", "num_replicas": 1, "max_age": 0}
		if id == origin {
			cfg["subjects"], cfg["max_age"] = []string{subject}, 3600_000_000_000
		} else {
			src := map[string]any{"name": origin.Stream}
			if !shared {
				src["external"] = map[string]any{"api": "$JS.east.API", "deliver": ""}
			}
			cfg["mirror"] = src
		}
		raw, err := json.Marshal(cfg)
		if err != nil {
			panic(err) // plain types
		}
		w.streams[id.String()] = &stream{id: id, meta: raw, local: raw, created: time.Unix(int64(1000+i), 0).UTC(), msgs: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	}
	return w
}

// reaches reports whether a site answers those outside of it.
func (w *world) reaches(site string) bool { return w.up[site] && !w.cut[site] }

// outcome is what the sender of a write learns.
type outcome int

const (
	replied outcome = iota
	refused
	silent // no answer: unknown
)

// hears reports whether somebody at a site gets an answer through another. Nothing keeps a site from itself.
func (w *world) hears(from, via string) bool {
	return w.reaches(via) && (from == via || !w.deaf[path{from, via}])
}

// at is the stream of a name, if only an empty place for one.
func (w *world) at(id policy.MemberID) *stream {
	s := w.streams[id.String()]
	if s == nil {
		s = &stream{id: id}
		w.streams[id.String()] = s
	}
	return s
}

// deliver carries a write out as a server would, whoever sent it and whenever.
func (w *world) deliver(wr policy.Write) outcome {
	s := w.at(wr.Member)
	deletes := wr.Kind == policy.WriteDelete || wr.Kind == policy.WriteUnspare
	alive := w.reaches(wr.Member.Site)
	switch {
	case !alive && !w.shared, !w.reaches(wr.Via):
		return silent
	case wr.Kind == policy.WriteCreate, wr.Kind == policy.WriteSpare:
		return w.create(s, wr, alive)
	case s.meta == nil:
		return refused
	case !alive && w.offline[wr.Member.Site] && !deletes:
		return refused // 10118
	}
	if deletes {
		s.meta, s.local = nil, nil
		return replied
	}
	if !w.legal(s, wr.Config) {
		return refused
	}
	s.meta = wr.Config
	if !alive {
		return silent // committed, but nobody is there to reply
	}
	s.local = wr.Config
	return replied
}

// legal has the server's checks that matter: a stream never becomes a mirror, and subjects of one meta group do not
// overlap.
func (w *world) legal(s *stream, next json.RawMessage) bool {
	is, want := w.shapeOf(s.meta), w.shapeOf(next)
	if policy.Sealed(s.meta) {
		return false // 10052
	}
	if want.Kind == policy.ShapeMirror {
		return is.Equal(want)
	}
	for _, o := range w.streams {
		if o == s || o.meta == nil || !w.shared && o.id.Site != s.id.Site {
			continue
		}
		for _, sub := range w.shapeOf(o.meta).Subjects {
			if slices.Contains(want.Subjects, sub) {
				return false // 10065
			}
		}
	}
	return true
}

// parsed is what a config says.
type parsed struct {
	shape policy.Shape
	sum   string
}

func (w *world) parse(raw json.RawMessage) parsed {
	p, ok := w.known[string(raw)]
	if !ok {
		p.shape, _ = policy.ShapeOf(raw) // nil, a deleted stream, has no shape
		p.sum = policy.Sum(raw)
		w.known[string(raw)] = p
	}
	return p
}

func (w *world) shapeOf(raw json.RawMessage) policy.Shape { return w.parse(raw).shape }

// publish lets every server that is up take a message for the subjects that it goes by, and mirrors follow.
func (w *world) publish() {
	w.newest++
	for _, s := range w.streams {
		if s.local != nil && w.up[s.id.Site] && w.shapeOf(s.local).Kind == policy.ShapeBound {
			w.take(s)
		}
	}
	w.follow()
}

// take stores a message. What a stream takes that is cut off is its own; others all take the same.
func (w *world) take(s *stream) {
	id := w.newest
	if w.cut[s.id.Site] {
		id = -w.newest*10 - slices.Index(sites, s.id.Site)
	}
	s.msgs = append(s.msgs, id)
	w.acked[id] = true
}

// takeAlone lets a stream store messages that no other one gets, but by following it.
func (w *world) takeAlone(s *stream, n int) {
	for range n {
		w.newest++
		id := -w.newest*10 - len(sites)
		s.msgs = append(s.msgs, id)
		w.acked[id] = true
	}
	w.follow()
}

// follow lets every mirror copy what its upstream holds beyond its own last sequence.
func (w *world) follow() {
	for _, s := range w.streams {
		u := w.upstream(s)
		if u != nil && len(u.msgs) > len(s.msgs) && !w.behind[s.id.Site] {
			s.msgs = append(s.msgs, u.msgs[len(s.msgs):]...)
		}
	}
}

// upstream is the stream that a mirror follows, if it hears of it now.
func (w *world) upstream(s *stream) *stream {
	if s.local == nil || !w.reaches(s.id.Site) {
		return nil
	}
	shape := w.shapeOf(s.local)
	for _, u := range w.streams {
		if shape.Kind == policy.ShapeMirror && u.id.Stream == shape.Upstream && u.local != nil && w.reaches(u.id.Site) && (w.shared || shape.External == "$JS."+u.id.Site+".API") {
			return u
		}
	}
	return nil
}

// create makes a stream that does not exist. A copy of the create that made it is no error.
func (w *world) create(s *stream, wr policy.Write, alive bool) outcome {
	switch {
	case !alive, s.meta != nil && string(s.meta) != string(wr.Config):
		return refused // no place for it, or 10058
	case s.meta != nil:
		return replied
	}
	w.made++
	s.meta, s.local, s.msgs, s.created = wr.Config, wr.Config, nil, time.Unix(int64(1000+w.made), 0).UTC()
	return replied
}

// archived is what was copied from a member, and where it is kept.
type archived struct {
	site string
	fork int
	msgs []int
}

// salvage archives what a member holds above the fork with the primary, under a name. An archive that exists is gone on with;
// nil says that it holds something else.
func (w *world) salvage(name string, member, primary policy.MemberID) *policy.Tail {
	m, p := w.streams[member.String()], w.streams[primary.String()]
	a, exists := w.archive[name]
	for !exists && a.fork < len(m.msgs) && a.fork < len(p.msgs) && m.msgs[a.fork] == p.msgs[a.fork] {
		a.fork++
	}
	switch {
	case exists && a.site != primary.Site:
		return w.salvage(name+"@"+primary.Site, member, primary) // it is made at the primary's site
	case a.fork > len(m.msgs), len(m.msgs)-a.fork < len(a.msgs), !slices.Equal(a.msgs, m.msgs[a.fork:a.fork+len(a.msgs)]):
		return nil
	}
	t := &policy.Tail{Fork: uint64(a.fork), MemberLast: m.lastSeq(), Messages: uint64(len(m.msgs) - a.fork), Site: primary.Site}
	if t.Messages == 0 {
		return t
	}
	t.Stream, a.site, a.msgs = name, primary.Site, slices.Clone(m.msgs[a.fork:])
	w.archive[name] = a
	return t
}

// replay publishes what an archive holds and the primary lacks.
func (w *world) replay(t *policy.Tail, primary policy.MemberID) {
	p := w.streams[primary.String()]
	for _, id := range w.archive[t.Stream].msgs {
		if w.reaches(primary.Site) && p.local != nil && w.shapeOf(p.local).Kind == policy.ShapeBound && !slices.Contains(p.msgs, id) {
			p.msgs = append(p.msgs, id)
		}
	}
}

// catchUp ends a returned server's stale time.
func (w *world) catchUp(site string) {
	for _, s := range w.streams {
		if s.id.Site == site {
			s.local = s.meta
		}
	}
}

// look is STREAM.INFO of a member, asked through a site by somebody at from.
func (w *world) look(from, via string, id policy.MemberID) (policy.Evidence, *policy.Snapshot) {
	s := w.at(id)
	switch {
	case !w.hears(from, via):
		return policy.Disconnected, nil
	case via != id.Site && !w.shared:
		return policy.NotFound, nil
	case w.reaches(id.Site) && s.local != nil:
		return w.answer(s)
	case s.meta == nil:
		return policy.NotFound, nil
	case w.offline[id.Site]:
		return policy.Offline, nil
	}
	return policy.Timeout, nil
}

func (w *world) answer(s *stream) (policy.Evidence, *policy.Snapshot) {
	snap := &policy.Snapshot{Created: s.created, FirstSeq: 1, LastSeq: s.lastSeq(), Messages: s.lastSeq(), Leader: s.id.Site,
		Replicas: 1, Current: 1, APILevel: 5, Config: s.local, ConfigSum: w.parse(s.local).sum}
	shape := w.shapeOf(s.local)
	if shape.Kind == policy.ShapeMirror {
		active := 10 * time.Second
		if w.upstream(s) != nil {
			active = 200 * time.Millisecond
		}
		snap.Mirror = &policy.MirrorView{Name: shape.Upstream, Active: active}
	}
	if shape.Kind == policy.ShapeParked {
		return policy.AnsweredParked, snap
	}
	return policy.Answered, snap
}

// list is STREAM.LIST at a site, as far as that itself has the streams.
func (w *world) list(site string) []policy.ListedStream {
	var list []policy.ListedStream
	for _, key := range slices.Sorted(maps.Keys(w.streams)) {
		if s := w.streams[key]; s.local != nil && s.id.Site == site {
			list = append(list, policy.ListedStream{Name: s.id.Stream, Created: s.created, Config: s.local})
		}
	}
	return list
}

// owners is STREAM.NAMES by subject at a site.
func (w *world) owners(from, via string, subjects []string) ([]string, policy.Evidence) {
	if !w.hears(from, via) {
		return nil, policy.Disconnected
	}
	names := []string{}
	for _, s := range w.streams {
		if s.meta != nil && (w.shared || s.id.Site == via) && slices.ContainsFunc(w.shapeOf(s.meta).Subjects, func(sub string) bool { return slices.Contains(subjects, sub) }) {
			names = append(names, s.id.Stream)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return names, policy.Answered
}
