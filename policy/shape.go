package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ShapeKind is what a stream is, as far as failing over is concerned.
type ShapeKind string

// The kinds of shape. A bound stream owns real subjects; a parked one only its `$devnull.` subject.
const (
	ShapeMirror ShapeKind = "mirror"
	ShapeParked ShapeKind = "parked"
	ShapeBound  ShapeKind = "bound"
)

// Shape is the part of a stream's config that decides who captures what.
type Shape struct {
	Kind     ShapeKind `json:"kind"`
	Subjects []string  `json:"subjects,omitempty"` // sorted; empty for a mirror
	Upstream string    `json:"upstream,omitempty"` // of a mirror: its origin's name
	External string    `json:"external,omitempty"` // of a mirror: the API prefix by which it reaches its origin
}

// Equal reports whether two shapes capture the same.
func (s Shape) Equal(o Shape) bool {
	return s.Kind == o.Kind && s.Upstream == o.Upstream && s.External == o.External && slices.Equal(s.Subjects, o.Subjects)
}

// String describes the shape for a person.
func (s Shape) String() string {
	switch s.Kind {
	case ShapeMirror:
		if s.External != "" {
			return fmt.Sprintf("mirror of %s through %s", s.Upstream, s.External)
		}
		return "mirror of " + s.Upstream
	case ShapeParked:
		return "parked on " + strings.Join(s.Subjects, ", ")
	}
	return "bound to " + strings.Join(s.Subjects, ", ")
}

// Stamp is the mark that every write of ours leaves in a stream's metadata.
type Stamp struct {
	Write    WriteID `json:"write,omitempty"`
	Watchdog string  `json:"watchdog,omitempty"`
}

// The metadata keys of a Stamp.
const (
	metaWrite    = "understudy.write"
	metaEpoch    = "understudy.epoch"
	metaWatchdog = "understudy.watchdog"
)

// serverMeta begins the metadata keys that belong to the server: it adds them to every answer.
const serverMeta = "_nats."

const parkPrefix = "$devnull."

// ParkSubject is the subject that a parked member is bound to. It carries the site because leafnodes carry subjects
// across domains, and the stream because two streams of one account must not overlap.
func ParkSubject(id MemberID) string { return parkPrefix + id.Site + "." + id.Stream }

// rawConfig is a stream config as the server printed it, so that what this code does not know survives a rewrite.
type rawConfig map[string]json.RawMessage

func parseRaw(raw json.RawMessage) (rawConfig, error) {
	c := rawConfig{}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("stream config is not a JSON object: %w", err)
	}
	return c, nil
}

// get decodes one field; a missing or ill-typed one leaves v alone.
func (c rawConfig) get(key string, v any) {
	lenient(c[key], v)
}

// lenient decodes a field that may be missing. An ill-typed one counts as missing: the zero value is the safe reading.
func lenient(b json.RawMessage, v any) {
	if len(b) > 0 {
		_ = json.Unmarshal(b, v)
	}
}

func (c rawConfig) set(key string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("policy: config field does not marshal: " + err.Error()) // only plain types: cannot happen
	}
	c[key] = b
}

func (c rawConfig) bytes() json.RawMessage {
	b, err := json.Marshal(c)
	if err != nil {
		panic("policy: config does not marshal: " + err.Error()) // it was parsed from JSON: cannot happen
	}
	return b
}

// source is the part of a mirror's config that decides whether it is a whole copy.
type source struct {
	Name              string          `json:"name"`
	OptStartSeq       uint64          `json:"opt_start_seq"`
	OptStartTime      *string         `json:"opt_start_time"`
	FilterSubject     string          `json:"filter_subject"`
	SubjectTransforms json.RawMessage `json:"subject_transforms"`
	External          *struct {
		API string `json:"api"`
	} `json:"external"`
}

func (c rawConfig) mirror() *source {
	var m *source
	c.get("mirror", &m)
	return m
}

// shapeConfig is what a shape and a stamp are read from. Rounds ask for them again and again: the rest is passed over.
type shapeConfig struct {
	Name     json.RawMessage `json:"name"`
	Mirror   json.RawMessage `json:"mirror"`
	Subjects json.RawMessage `json:"subjects"`
	Metadata json.RawMessage `json:"metadata"`
}

func parseShape(raw json.RawMessage) (c shapeConfig, err error) {
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("stream config is not a JSON object: %w", err)
	}
	return c, nil
}

// ShapeOf reads the shape out of a raw stream config. A stream without mirror and subjects is bound to its own name,
// as the server has it.
func ShapeOf(raw json.RawMessage) (Shape, error) {
	c, err := parseShape(raw)
	if err != nil {
		return Shape{}, err
	}
	return c.shape(), nil
}

func (c shapeConfig) shape() Shape {
	var m *source
	if lenient(c.Mirror, &m); m != nil {
		s := Shape{Kind: ShapeMirror, Upstream: m.Name}
		if m.External != nil {
			s.External = m.External.API
		}
		return s
	}
	var subjects []string
	lenient(c.Subjects, &subjects)
	if len(subjects) == 0 {
		var name string
		lenient(c.Name, &name)
		subjects = []string{name}
	}
	slices.Sort(subjects)
	return Shape{Kind: kindOf(subjects), Subjects: subjects}
}

func kindOf(subjects []string) ShapeKind {
	for _, s := range subjects {
		if !strings.HasPrefix(s, parkPrefix) {
			return ShapeBound
		}
	}
	return ShapeParked
}

// StampOf reads our mark out of a raw stream config; the zero Stamp means that we never wrote it.
func StampOf(raw json.RawMessage) Stamp {
	c, err := parseShape(raw)
	if err != nil {
		return Stamp{}
	}
	return c.stamp()
}

func (c shapeConfig) stamp() Stamp {
	meta := map[string]string{}
	lenient(c.Metadata, &meta)
	return Stamp{Write: WriteID(meta[metaWrite]), Watchdog: meta[metaWatchdog]}
}

// SharesMeta reports whether a mirror with this config lives in its origin's meta group: the server then looks the
// origin up in its own account and domain, because no external API prefix is named.
func SharesMeta(mirrorConfig json.RawMessage) bool {
	s, err := ShapeOf(mirrorConfig)
	return err == nil && s.Kind == ShapeMirror && s.External == ""
}

// withStamp returns the metadata of c with our mark, the server's own `_nats.` keys left out.
func (c rawConfig) withStamp(s Stamp, inherit map[string]string) map[string]string {
	meta := map[string]string{}
	own := map[string]string{}
	c.get("metadata", &own)
	for _, m := range []map[string]string{inherit, own} {
		for k, v := range m {
			if !strings.HasPrefix(k, serverMeta) && !strings.HasPrefix(k, "understudy.") {
				meta[k] = v
			}
		}
	}
	meta[metaWrite] = string(s.Write)
	meta[metaEpoch] = strconv.FormatUint(s.Write.Epoch(), 10)
	meta[metaWatchdog] = s.Watchdog
	return meta
}
