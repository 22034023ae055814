package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// listTimeout is for one page: the server waits 4 s for streams whose servers are silent.
const listTimeout = 8 * time.Second

// List is the answer of STREAM.LIST, all pages of it.
type List struct {
	Streams []*Info
	// Missing are the streams that are assigned, and of which nobody answered.
	Missing []string
}

// List asks for the streams that keep accepts. A page with silent streams takes 4 s (nats-facts), so it is nothing for a
// regular look.
func (c *Conn) List(ctx context.Context, keep func(*Info) bool) (*List, error) {
	all, missing := &List{}, map[string]bool{}
	for offset := 0; ; {
		page, err := c.listPage(ctx, offset)
		if err != nil {
			return nil, err
		}
		for _, i := range page.Streams {
			if i != nil && keep(i) {
				all.Streams = append(all.Streams, i)
			}
		}
		for _, name := range page.Missing {
			missing[name] = true
		}
		for name := range page.Offline {
			missing[name] = true
		}
		if offset += page.Limit; page.Limit == 0 || offset >= page.Total {
			all.Missing = slices.Sorted(maps.Keys(missing))
			return all, nil
		}
	}
}

// listed is one page.
type listed struct {
	Total   int               `json:"total"`
	Limit   int               `json:"limit"`
	Streams []*Info           `json:"streams"`
	Missing []string          `json:"missing"`
	Offline map[string]string `json:"offline"`
}

func (c *Conn) listPage(ctx context.Context, offset int) (page listed, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]int{"offset": offset})
	if err != nil {
		return page, fmt.Errorf("STREAM.LIST: %w", err)
	}
	return page, c.call(ctx, "STREAM.LIST", nil, body, &page)
}
