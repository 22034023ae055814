//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// checkEnd asks the servers: west is the primary of all, its mirrors hold what it holds, and nothing is missing or doubled.
func (w *afterwards) checkEnd(ctx context.Context, t *testing.T) {
	t.Helper()
	archives := w.archives(ctx, t)
	for _, s := range w.streams {
		primary := w.read(ctx, t, "west", s.Mirrors["west"])
		if c := primary.config; c.Mirror != nil || !slices.Equal(c.Subjects, []string{s.Name + ".>"}) {
			t.Errorf("%s: the primary is bound to %v, mirror %v", s.Name, c.Subjects, c.Mirror)
		}
		w.checkFollowers(ctx, t, s, primary)
		w.checkArchives(t, s, primary, archives)
	}
	if len(archives) > 0 {
		t.Errorf("there are archives of nothing: %v", archives)
	}
	w.checkApplications(ctx, t)
	for name := range w.js(ctx, t, "eu").StreamNames(ctx).Name() {
		if strings.Contains(name, "_SPARE_") {
			t.Errorf("the spare copy %s is left", name)
		}
	}
}

// checkFollowers wants all other members to be whole mirrors of the primary, except the old origin of a repoint.
func (w *afterwards) checkFollowers(ctx context.Context, t *testing.T, s guarded, primary content) {
	t.Helper()
	members := map[string]string{"east": s.Name}
	if eu := s.Mirrors["eu"]; eu != "" {
		members["eu"] = eu
	}
	for site, stream := range members {
		got := w.read(ctx, t, site, stream)
		if site == "east" && strings.HasPrefix(s.Name, setRepoint+"-") {
			if !got.config.Sealed || len(got.subjects) != 1+ahead+tailLength {
				t.Errorf("%s: the old origin is %+v with %d messages; want it sealed, and as it was", s.Name, got.config, len(got.subjects))
			}
			continue
		}
		if m := got.config.Mirror; m == nil || m.Name != s.Mirrors["west"] || !slices.Equal(got.subjects, primary.subjects) {
			t.Errorf("%s: %s/%s is %+v, with %d messages; want a mirror of %s with its %d", s.Name, site, stream, got.config, len(got.subjects), s.Mirrors["west"], len(primary.subjects))
		}
	}
}

// checkArchives wants the stream's tail in one archive, that of its sibling in another, each message once; and every acked
// message there or on the primary, where none is twice. A sibling that was not made anew before the old origin came back has
// followed that further: it may have all of the tail. What it checked it takes out of archives.
func (w *afterwards) checkArchives(t *testing.T, s guarded, primary content, archives map[string]content) {
	t.Helper()
	want := map[string][]string{}
	if tail := w.tails[s.Name]; len(tail) > 0 {
		want[salvage.StreamName(s.Name, w.epochOf(s), "")] = tail
		if s.Mirrors["eu"] != "" {
			of := salvage.StreamName(s.Name, w.epochOf(s), "eu")
			want[of] = tail[:min(len(tail), max(ahead, w.heldAtDelete(s.Name)-1, len(archives[of].subjects)))]
			t.Logf("%s: its sibling held %d messages at its delete, %d are archived", s.Name, w.heldAtDelete(s.Name), len(archives[of].subjects))
		}
	}
	held := slices.Clone(primary.subjects)
	if s.replays() && len(held) != len(w.acked[s.Name]) {
		t.Errorf("%s: the primary holds %d messages after the replay, want all %d", s.Name, len(held), len(w.acked[s.Name]))
	}
	if n := len(held); n != len(unique(held)) {
		t.Errorf("%s: the primary holds messages twice: %v", s.Name, held)
	}
	for name, tail := range want {
		got := archives[name]
		delete(archives, name)
		if !slices.Equal(got.subjects, tail) {
			t.Errorf("%s: %s holds %d messages, want the %d of the tail, in order: %.10v", s.Name, name, len(got.subjects), len(tail), got.subjects)
		}
		held = append(held, got.subjects...)
	}
	for _, subject := range w.acked[s.Name] {
		if !slices.Contains(held, subject) {
			t.Errorf("%s: %s was acked, and is nowhere", s.Name, subject)
		}
	}
}

// epochOf is the epoch of the failover that a stream went through: the second attempt of those that were aborted before.
func (w *afterwards) epochOf(s guarded) uint64 {
	if strings.HasPrefix(s.Name, setAbort+"-") {
		return 2
	}
	return 1
}

// content is what a server says of a stream.
type content struct {
	config   jetstream.StreamConfig
	subjects []string // of all messages, in order; of an archive the original ones
}

// read reads a stream in full.
func (w *afterwards) read(ctx context.Context, t *testing.T, site, name string) content {
	t.Helper()
	stream, err := w.js(ctx, t, site).Stream(ctx, name)
	if err != nil {
		t.Fatalf("read %s at %s: %v", name, site, err)
	}
	c := content{config: stream.CachedInfo().Config}
	left := int(stream.CachedInfo().State.Msgs)
	if left == 0 {
		return c
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatalf("read %s at %s: %v", name, site, err)
	}
	batch, err := consumer.Fetch(left)
	if err != nil {
		t.Fatalf("read %s at %s: %v", name, site, err)
	}
	for m := range batch.Messages() {
		subject := m.Subject()
		if original := m.Headers().Get("Understudy-Origin-Subject"); original != "" {
			subject = original
		}
		c.subjects = append(c.subjects, subject)
	}
	if err := batch.Error(); err != nil || len(c.subjects) != left {
		t.Fatalf("read %s at %s: %d of %d messages: %v", name, site, len(c.subjects), left, err)
	}
	return c
}

// archives reads every archive at west.
func (w *afterwards) archives(ctx context.Context, t *testing.T) map[string]content {
	t.Helper()
	found := map[string]content{}
	names := w.js(ctx, t, "west").StreamNames(ctx)
	for name := range names.Name() {
		if strings.HasPrefix(name, "UNDERSTUDY_SALVAGE_") {
			found[name] = w.read(ctx, t, "west", name)
		}
	}
	if err := names.Err(); err != nil {
		t.Fatal(fmt.Errorf("list the streams at west: %w", err))
	}
	return found
}

func unique(list []string) []string {
	sorted := slices.Sorted(slices.Values(list))
	return slices.Compact(sorted)
}
