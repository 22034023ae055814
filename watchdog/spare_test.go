package watchdog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestOnlySibling loses an origin for good. Its only other mirror is made one of the new primary beside a spare copy: at no time is
// the primary the only one that holds the messages, and no spare copy is left.
func TestOnlySibling(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			onlySibling(t, topology)
		})
	}
}

func onlySibling(t *testing.T, topology natslab.Topology) {
	w := start(t, setup{topology: topology, streams: []stream{{name: "ONLY", onlyWest: true, extra: "repoint: auto"}}})
	last := w.publish(t, "east", "ONLY", 50).Sequence
	w.await(t, soon, func() error { return w.copied("ONLY_EU", last) })
	w.loseEast(t)
	spare := ""
	w.pause = time.Millisecond
	w.await(t, outage, func() error {
		held := w.copied("ONLY_EU", last)
		names, err := w.spareCopies("eu")
		if err != nil {
			return err
		}
		if len(names) > 0 {
			spare = names[0]
		}
		if lacks(held) && lacks(w.copied(spare, last)) && lacks(w.copied("ONLY_EU", last)) {
			t.Fatalf("nobody beside the primary holds all: neither %q nor %v", spare, held)
		}
		switch {
		case len(names) > 0:
			return fmt.Errorf("%s is there", spare)
		case spare == "":
			return errors.New("there was no spare copy")
		}
		return w.follows("eu/ONLY_EU", "ONLY_WEST")
	})
	w.pause = 0
	s := w.awaitStatus(t, soon, "ONLY", func(s api.StreamStatus) bool {
		return s.State == api.StateFailedOver && len(s.Aftercare) == 0 && len(s.Spares) == 0
	})
	for _, m := range s.Members {
		if strings.Contains(m.Stream, "_SPARE_") || m.Site == "eu" && (!m.Eligible && m.Reason != string(policy.PromoteNever) || m.LastSeq < last) {
			t.Errorf("member %+v", m)
		}
	}
	if begun, removed := w.count(t, "ONLY", "spare_begun"), w.count(t, "ONLY", "spare_removed"); begun != 1 || removed != 1 {
		t.Errorf("%d spare copies were begun, %d removed, want one", begun, removed)
	}
	ack := w.publish(t, "eu", "ONLY", 3)
	w.await(t, soon, func() error { return w.copied("ONLY_EU", ack.Sequence) })
}

// errLacks is wrapped where a stream is known not to hold what it should.
var errLacks = errors.New("does not hold it")

func lacks(err error) bool { return errors.Is(err, errLacks) }

// copied reports that a stream at eu holds all up to a sequence.
func (w *world) copied(stream string, last uint64) error {
	i, err := w.info("eu", stream)
	var refused *jetstream.APIError
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%s %w: %w", stream, errLacks, err)
	case err == nil && i.State.Msgs < last:
		return fmt.Errorf("%s %w: %d messages of %d", stream, errLacks, i.State.Msgs, last)
	}
	return err
}

// spareCopies lists the spare copies at a site.
func (w *world) spareCopies(site string) (list []string, err error) {
	var names struct {
		Streams []string `json:"streams"`
	}
	if err := w.ask(site, "STREAM.NAMES", struct{}{}, &names); err != nil {
		return nil, err
	}
	for _, name := range names.Streams {
		if strings.Contains(name, "_SPARE_") {
			list = append(list, name)
		}
	}
	return list, nil
}
