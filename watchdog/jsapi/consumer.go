package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Sentinels of the consumers' API, for errors.Is.
var (
	// ErrConsumerNotFound: the stream has no consumer of this name.
	ErrConsumerNotFound error = &kind{text: "consumer not found", codes: []int{10014, 10149}}
	// ErrConsumerExists: the name is taken by a consumer of another config.
	ErrConsumerExists error = &kind{text: "consumer exists with another config", codes: []int{10013, 10105, 10106, 10148}}
	// ErrResetRefused: the consumer's deliver policy does not allow it to be put at this sequence.
	ErrResetRefused error = &kind{text: "consumer cannot be reset to this sequence", codes: []int{10204}}
)

// ConsumerInfo is how the leader of a consumer describes it. The config is kept whole.
type ConsumerInfo struct {
	Stream    string          `json:"stream_name"`
	Name      string          `json:"name"`
	Created   time.Time       `json:"created"`
	Config    json.RawMessage `json:"config"`
	Delivered SequencePair    `json:"delivered"`
	// AckFloor is the last message up to which everything that was delivered is acknowledged. On replicas it stays 0
	// until the first acknowledgement, wherever the consumer began.
	AckFloor       SequencePair `json:"ack_floor"`
	NumAckPending  int          `json:"num_ack_pending"`
	NumRedelivered int          `json:"num_redelivered"`
	NumPending     uint64       `json:"num_pending"` // that match its filters and were not delivered yet
	Paused         bool         `json:"paused"`      // its pause_until is in the future, by the server's clock
	Cluster        *Cluster     `json:"cluster"`
	Time           time.Time    `json:"ts"` // the server's clock
}

// SequencePair is one place in a consumer's life.
type SequencePair struct {
	Consumer uint64 `json:"consumer_seq"` // counts its deliveries, redeliveries included
	Stream   uint64 `json:"stream_seq"`
}

// ConsumerPage is one page of a stream's consumers.
type ConsumerPage struct {
	Total     int             `json:"total"`
	Offset    int             `json:"offset"`
	Consumers []*ConsumerInfo `json:"consumers"`
	// Missing are those whose leaders did not answer the server in time (4 s); it asks them in a cluster only.
	Missing []string `json:"missing"`
}

// ConsumerPage lists a stream's consumers, as many as the server likes to show at once (256), from an offset on.
func (c *Conn) ConsumerPage(ctx context.Context, stream string, offset int) (*ConsumerPage, error) {
	if err := checkName(stream); err != nil {
		return nil, err
	}
	body, err := json.Marshal(struct {
		Offset int `json:"offset"`
	}{offset})
	if err != nil {
		return nil, fmt.Errorf("CONSUMER.LIST: %w", err)
	}
	page := &ConsumerPage{}
	if err := c.call(ctx, "CONSUMER.LIST."+stream, nil, body, page); err != nil {
		return nil, err
	}
	return page, nil
}

// Consumers lists all of a stream's consumers, page by page, and the names of those that are missing in them. One that two
// pages show, since the list changed between them, is taken as it was last.
func (c *Conn) Consumers(ctx context.Context, stream string) (all []*ConsumerInfo, missing []string, err error) {
	at := map[string]int{}
	for offset := 0; ; {
		page, err := c.ConsumerPage(ctx, stream, offset)
		if err != nil {
			return nil, nil, err
		}
		for _, info := range page.Consumers {
			if i, twice := at[info.Name]; twice {
				all[i] = info
				continue
			}
			at[info.Name] = len(all)
			all = append(all, info)
		}
		missing = append(missing, page.Missing...)
		offset += len(page.Consumers) + len(page.Missing)
		if len(page.Consumers)+len(page.Missing) == 0 || offset >= page.Total {
			return all, missing, nil
		}
	}
}

// ConsumerInfo asks for one consumer's config and position.
func (c *Conn) ConsumerInfo(ctx context.Context, stream, name string) (*ConsumerInfo, error) {
	verb, err := consumerVerb("INFO", stream, name)
	if err != nil {
		return nil, err
	}
	info := &ConsumerInfo{}
	if err := c.call(ctx, verb, nil, nil, info); err != nil {
		return nil, err
	}
	return info, nil
}

// consumerVerb is the subject of a question about one consumer, behind "API.".
func consumerVerb(what, stream, name string) (string, error) {
	if err := checkName(stream); err != nil {
		return "", err
	}
	if err := checkToken("consumer", name); err != nil {
		return "", err
	}
	return "CONSUMER." + what + "." + stream + "." + name, nil
}
