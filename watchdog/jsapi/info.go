package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Info is the answer of STREAM.INFO. What is not listed here is not needed; the config is kept whole.
type Info struct {
	Config  json.RawMessage `json:"config"`
	Created time.Time       `json:"created"`
	State   State           `json:"state"`
	Cluster *Cluster        `json:"cluster"`
	Mirror  *Mirror         `json:"mirror"`
	// Sources are a stream's own accounts of its sources, each with what identifies it and, from API level 5 on, "seq": the
	// last sequence that it took from there and stored.
	Sources []json.RawMessage `json:"sources"`
	Domain  string            `json:"domain"`
	Time    time.Time         `json:"ts"` // the server's clock
}

// State is what a stream holds.
type State struct {
	Messages   uint64    `json:"messages"`
	Bytes      uint64    `json:"bytes"`
	FirstSeq   uint64    `json:"first_seq"`
	FirstTime  time.Time `json:"first_ts"`
	LastSeq    uint64    `json:"last_seq"`
	LastTime   time.Time `json:"last_ts"`
	NumDeleted uint64    `json:"num_deleted"`
	Consumers  int       `json:"consumer_count"`
	// Subjects counts the messages by subject, as far as InfoOf asked for them.
	Subjects map[string]uint64 `json:"subjects"`
}

// Cluster is who serves a stream.
type Cluster struct {
	Name     string `json:"name"`
	Leader   string `json:"leader"` // "" when the stream has no quorum
	Replicas []Peer `json:"replicas"`
}

// Peer is a replica other than the one that answered.
type Peer struct {
	Name    string        `json:"name"`
	Current bool          `json:"current"`
	Offline bool          `json:"offline"`
	Active  time.Duration `json:"active"`
	Lag     uint64        `json:"lag"`
}

// Mirror is a mirror's own account of its upstream.
type Mirror struct {
	Name string `json:"name"`
	Lag  uint64 `json:"lag"` // proves nothing by itself
	// Active is the time since the last frame from upstream; negative when there never was one.
	Active time.Duration `json:"active"`
	Error  *APIError     `json:"error"`
}

// Leader names the server that leads the stream, "" when there is none.
func (i *Info) Leader() string {
	if i.Cluster == nil {
		return ""
	}
	return i.Cluster.Leader
}

// Info asks for a stream's config and state.
func (c *Conn) Info(ctx context.Context, stream string) (*Info, error) {
	if err := checkName(stream); err != nil {
		return nil, err
	}
	info := &Info{}
	if err := c.call(ctx, "STREAM.INFO."+stream, nil, nil, info); err != nil {
		return nil, err
	}
	return info, nil
}

// InfoOf is Info with the number of messages on each subject that matches a filter.
func (c *Conn) InfoOf(ctx context.Context, stream, filter string) (*Info, error) {
	if err := checkName(stream); err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"subjects_filter": filter})
	if err != nil {
		return nil, fmt.Errorf("STREAM.INFO: %w", err)
	}
	info := &Info{}
	if err := c.call(ctx, "STREAM.INFO."+stream, nil, body, info); err != nil {
		return nil, err
	}
	return info, nil
}

// HoldsFrom asks whether a stream holds any message from a sequence on. One whose newest messages were removed may not,
// although its last sequence is greater.
func (c *Conn) HoldsFrom(ctx context.Context, stream string, seq uint64) (bool, error) {
	if err := checkName(stream); err != nil {
		return false, err
	}
	body, err := json.Marshal(map[string]any{"seq": max(seq, 1), "next_by_subj": ">"})
	if err != nil {
		return false, fmt.Errorf("STREAM.MSG.GET: %w", err)
	}
	var answer struct {
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	const noMessage = 10037
	err = c.call(ctx, "STREAM.MSG.GET."+stream, nil, body, &answer)
	if refused := (*APIError)(nil); errors.As(err, &refused) && refused.ErrCode == noMessage {
		return false, nil
	}
	return err == nil, err
}

// Names lists the streams that hold a subject, which may be a wildcard; "" lists all. In a cluster the meta leader alone
// answers, from its assignments: a stream is listed although all its servers are dead. There a mirror, which holds no
// subject, is listed when the subject matches the stream's *name*.
func (c *Conn) Names(ctx context.Context, subject string) ([]string, error) {
	names := []string{}
	for {
		req := struct {
			Subject string `json:"subject,omitempty"`
			Offset  int    `json:"offset"`
		}{subject, len(names)}
		body, err := json.Marshal(req)
		if err != nil {
			return nil, fmt.Errorf("STREAM.NAMES: %w", err)
		}
		var page struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		if err := c.call(ctx, "STREAM.NAMES", nil, body, &page); err != nil {
			return nil, err
		}
		names = append(names, page.Streams...)
		if len(page.Streams) == 0 || len(names) >= page.Total {
			return names, nil
		}
	}
}

// API asks for the API level and the domain of the server that answers: the meta leader, in a cluster.
func (c *Conn) API(ctx context.Context) (level int, domain string, err error) {
	var answer struct {
		Domain string `json:"domain"`
		API    struct {
			Level int `json:"level"`
		} `json:"api"`
	}
	if err := c.call(ctx, "INFO", nil, nil, &answer); err != nil {
		return 0, "", err
	}
	return answer.API.Level, answer.Domain, nil
}

// checkName refuses what would make another subject out of a stream's name.
func checkName(stream string) error { return checkToken("stream", stream) }

// checkToken refuses what is not one plain token of a subject. what says whose name it is.
func checkToken(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s name %q: must not be empty", what, name)
	}
	for _, r := range name {
		if r <= ' ' || r == '.' || r == '*' || r == '>' || r == '/' || r == '\\' || r == 0x7f {
			return fmt.Errorf("%s name %q: must be one subject token without wildcards", what, name)
		}
	}
	return nil
}
