package policy

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// sourcesOf are the sources of a raw stream config, each as the server printed it.
func sourcesOf(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	mustParse(raw).get("sources", &list)
	return list
}

// HasSources reports whether a stream takes messages from others.
func HasSources(raw json.RawMessage) bool { return len(sourcesOf(raw)) > 0 }

// HaltConfig takes sources out of a stream. It gets a subject of its own meanwhile: without sources and subjects the server
// would bind its name, and a probe there shows when all that it took is stored.
func HaltConfig(raw json.RawMessage, id MemberID, former []FormerSource, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(sourcesOf(raw), func(src json.RawMessage) bool {
		return slices.ContainsFunc(former, func(f FormerSource) bool { return sourceIndex(f.Source) == sourceIndex(src) })
	})
	c.setSources(rest)
	subjects := c.subjects()
	if park := ParkSubject(id); !slices.Contains(subjects, park) {
		c.set("subjects", append(subjects, park))
	}
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}

// ResumeConfig gives a halted stream its sources back, now of upstream, and takes away what the halt added. external is the
// API prefix by which it reaches upstream, "" in the same meta group.
func ResumeConfig(raw json.RawMessage, id, upstream MemberID, external string, former []FormerSource, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	list := sourcesOf(raw)
	for _, f := range former {
		src, err := repointed(f, upstream, external)
		if err != nil {
			return nil, fmt.Errorf("the source of %s: %w", id, err)
		}
		if !slices.ContainsFunc(list, func(o json.RawMessage) bool { return sourceIndex(o) == sourceIndex(src) }) {
			list = append(list, src)
		}
	}
	c.setSources(list)
	c.set("subjects", slices.DeleteFunc(c.subjects(), func(sub string) bool { return sub == ParkSubject(id) }))
	if len(c.subjects()) == 0 {
		delete(c, "subjects")
	}
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}

func (c rawConfig) subjects() []string {
	var list []string
	c.get("subjects", &list)
	return list
}

func (c rawConfig) setSources(list []json.RawMessage) {
	if len(list) == 0 {
		delete(c, "sources")
		return
	}
	c.set("sources", list)
}

// repointed is a source that takes from upstream what it took from another, its filters and transforms kept.
func repointed(f FormerSource, upstream MemberID, external string) (json.RawMessage, error) {
	c, err := parseRaw(f.Source)
	if err != nil {
		return nil, err
	}
	c.set("name", upstream.Stream)
	e := rawConfig{}
	c.get("external", &e)
	if external == "" {
		delete(c, "external")
	} else {
		e.set("api", external)
		if e["deliver"] == nil {
			e.set("deliver", "")
		}
		c.set("external", e)
	}
	if f.Start > 0 {
		delete(c, "opt_start_time")
		c.set("opt_start_seq", f.Start)
	}
	return c.bytes(), nil
}

// sourceIndex is the name by which the server keeps a source: what it takes from, its filters and their destinations
// (nats-server, StreamSource.composeIName).
func sourceIndex(src json.RawMessage) string {
	var s source
	if json.Unmarshal(src, &s) != nil {
		return ""
	}
	name := s.Name
	if s.External != nil {
		name += ":" + serverHash(s.External.API)
	}
	return name + " " + filterIndex(s)
}

// SourceIndex is sourceIndex for those who read what a server says of a source.
func SourceIndex(src json.RawMessage) string { return sourceIndex(src) }

// filterIndex is the part of a source's index that its filters make.
func filterIndex(s source) string {
	var transforms []struct {
		Src  string `json:"src"`
		Dest string `json:"dest"`
	}
	_ = json.Unmarshal(s.SubjectTransforms, &transforms) // none, or unreadable, is none
	if len(transforms) == 0 {
		return orAll(s.FilterSubject) + " >"
	}
	var from, to []string
	for _, t := range transforms {
		from, to = append(from, orAll(t.Src)), append(to, orAll(t.Dest))
	}
	return strings.Join(from, "\f") + " " + strings.Join(to, "\f")
}

func filterOf(f FormerSource) string {
	var s source
	_ = json.Unmarshal(f.Source, &s) // it was read when it was found
	return filterIndex(s)
}

func orAll(subject string) string {
	if subject == "" {
		return ">"
	}
	return subject
}

// serverHash is the short hash that nats-server puts for an API prefix (getHash, of 8 characters).
func serverHash(text string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	const size = 8
	sum := sha256.Sum256([]byte(text))
	b := make([]byte, size)
	for i := range b {
		b[i] = digits[int(sum[i])%len(digits)]
	}
	return string(b)
}
