package salvage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Found is one archive at a site.
type Found struct {
	Site    string    `json:"site"`
	Stream  string    `json:"stream"`
	Name    string    `json:"name"` // of the guarded stream
	Epoch   uint64    `json:"epoch"`
	Of      string    `json:"of,omitempty"` // as in Job
	Origin  string    `json:"origin"`       // site/stream whose tail it is
	Primary string    `json:"primary"`      // site/stream that was promoted
	Fork    uint64    `json:"fork"`
	Created time.Time `json:"created"`
	Stored  uint64    `json:"stored"` // messages of the archive itself; a large one of the tail takes several
	Bytes   uint64    `json:"bytes"`  // on disk
	// Account is nil while the archive is not complete and verified.
	Account *Account `json:"account,omitempty"`
}

// List finds the archives at a site. Streams of their names that are none are left out. An archive that does not answer
// is an error, after which the others are listed all the same.
func List(ctx context.Context, site Site) ([]Found, error) {
	names, err := site.streamsOn(ctx, subjectPrefix+">")
	if err != nil {
		return nil, fmt.Errorf("list the archives at %s: %w", site.Name, err)
	}
	var (
		all    []Found
		failed []error
	)
	for _, name := range names {
		f, err := Find(ctx, site.on(name))
		switch {
		case errors.Is(err, errForeign), errors.Is(err, jsapi.ErrNotFound):
		case err != nil:
			failed = append(failed, err)
		default:
			all = append(all, f)
		}
	}
	return all, errors.Join(failed...)
}

// Find reads what an archive says of itself. An error matches jsapi.ErrNotFound when there is no such stream.
func Find(ctx context.Context, archive Side) (Found, error) {
	info, err := archive.info(ctx)
	if err != nil {
		return Found{}, err
	}
	m, err := readMeta(info)
	if err != nil || !strings.HasPrefix(archive.Stream, streamPrefix) {
		return Found{}, fmt.Errorf("%s: %w", archive, errForeign)
	}
	return Found{
		Site: archive.Name, Stream: archive.Stream, Name: m.Name, Epoch: m.Epoch, Of: m.Of, Origin: m.Origin, Primary: m.Primary, Fork: m.Fork,
		Created: info.Created, Stored: info.State.Messages, Bytes: info.State.Bytes, Account: m.Account,
	}, nil
}

// streamsOn are the streams that hold a subject, which may have wildcards.
func (s Site) streamsOn(ctx context.Context, subject string) ([]string, error) {
	var names []string
	for {
		question := struct {
			Subject string `json:"subject"`
			Offset  int    `json:"offset"`
		}{subject, len(names)}
		var page struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		if err := s.ask(ctx, "STREAM.NAMES", question, &page); err != nil {
			return nil, err
		}
		names = append(names, page.Streams...)
		if len(page.Streams) == 0 || len(names) >= page.Total {
			return names, nil
		}
	}
}
