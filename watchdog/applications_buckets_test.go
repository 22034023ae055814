package watchdog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// at is the name of a bucket's copy at a site: in domains it is everywhere the same.
func (a *applications) at(site, bucket string) string { return copyName(a.shared, site, bucket) }

func copyName(shared bool, site, bucket string) string {
	if shared && site != "east" {
		return mirrorName(bucket, site)
	}
	return bucket
}

// makeBucket makes a key-value bucket and its mirrors as the client itself makes them.
func makeBucket(t *testing.T, w *world) grouplab.Stream {
	t.Helper()
	g := grouplab.Stream{Name: "KV_settings", Origin: "east", Mirrors: map[string]string{}, Extra: "    " + afterwards + "\n"}
	a := &applications{w: w, shared: w.lab.Topology() != natslab.Domains}
	for _, site := range w.lab.Sites() {
		c := jetstream.KeyValueConfig{Bucket: a.at(site.Name, "settings"), History: 5}
		if a.shared {
			c.Placement = &jetstream.Placement{Cluster: site.Name}
		}
		if site.Name != "east" {
			c.Mirror = &jetstream.StreamSource{Name: "settings"}
			if !a.shared {
				c.Mirror.Domain = "east"
			}
			g.Mirrors[site.Name] = neverButWest(site.Name, "KV_"+c.Bucket)
		}
		w.await(t, soon, func() error {
			_, err := a.js(t, site.Name, "").CreateOrUpdateKeyValue(w.ctx, c)
			return err
		})
	}
	return g
}

// neverButWest has only west promoted.
func neverButWest(site, name string) string {
	if site != "west" {
		name += ", promote: never" // the template writes a flow mapping around it
	}
	return name
}

// bucket is a program of east, one of west and one elsewhere that use a key-value bucket.
type bucket struct {
	*applications
	// Handles from before: of the bucket as east has it, of west's copy, and of the former as opened from eu.
	east, west, eu jetstream.KeyValue
	watch          jetstream.KeyWatcher // of west's copy
	promoted       jetstream.KeyValue   // west's, opened after the failover
}

func (b *bucket) open(t *testing.T, site, domain, name string) (kv jetstream.KeyValue) {
	t.Helper()
	b.w.await(t, soon, func() (err error) {
		kv, err = b.js(t, site, domain).KeyValue(b.w.ctx, name)
		return err
	})
	return kv
}

func (b *bucket) before(t *testing.T) {
	b.east, b.eu = b.open(t, "east", "", "settings"), b.open(t, "eu", "east", "settings")
	b.west = b.open(t, "west", "", b.at("west", "settings"))
	watched := b.west
	if b.shared {
		watched = b.eu
	}
	var err error
	if b.watch, err = watched.WatchAll(b.w.ctx, jetstream.UpdatesOnly()); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1", "2", "3"} {
		b.put(t, b.east, "counter", v)
	}
	b.put(t, b.west, "from-west", "1") // goes to east
	b.put(t, b.eu, "deleted", "1")
	b.put(t, b.eu, "purged", "1")
	if err := errors.Join(b.east.Delete(b.w.ctx, "deleted"), b.east.Purge(b.w.ctx, "purged")); err != nil {
		t.Fatal(err)
	}
	b.hear(t, "counter=1", "counter=2", "counter=3", "from-west=1", "deleted=1", "purged=1", "deleted=-", "purged=-")
	b.awaitCopies(t)
	if b.shared { // the client makes the subjects from the name, and writes to those of the origin
		if got := read(b.w.ctx, b.west, "counter"); got != jetstream.ErrKeyNotFound.Error() {
			t.Errorf("by the mirror's own name one reads %s", got)
		}
		return
	}
	for _, site := range []string{"west", "eu"} {
		kv := b.open(t, site, "", "settings")
		b.w.await(t, soon, func() error {
			if got := fmt.Sprint(b.history(kv, "counter"), b.history(kv, "from-west"), b.history(kv, "deleted")); got != "[1 2 3] [1] [1 -]" {
				return fmt.Errorf("the copy at %s holds %s", site, got)
			}
			_, err := kv.Get(b.w.ctx, "purged")
			return wants(err, jetstream.ErrKeyNotFound)
		})
	}
}

// awaitCopies waits until the mirrors hold what the bucket holds.
func (b *bucket) awaitCopies(t *testing.T) {
	t.Helper()
	last := b.w.mustInfo(t, "east", "KV_settings").State.LastSeq
	for _, site := range []string{"west", "eu"} {
		b.w.await(t, soon, func() error {
			i, err := b.w.info(site, "KV_"+b.at(site, "settings"))
			if err == nil && i.State.LastSeq < last {
				err = fmt.Errorf("%s is at %d of %d", site, i.State.LastSeq, last)
			}
			return err
		})
	}
}

// history is the values of a key, oldest first; "-" stands for a deletion.
func (b *bucket) history(kv jetstream.KeyValue, key string) (values []string) {
	list, err := kv.History(b.w.ctx, key)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range list {
		values = append(values, value(e))
	}
	return values
}

func value(e jetstream.KeyValueEntry) string {
	if e.Operation() != jetstream.KeyValuePut {
		return "-"
	}
	return string(e.Value())
}

func (b *bucket) put(t *testing.T, kv jetstream.KeyValue, key, value string) (revision uint64) {
	t.Helper()
	b.w.await(t, soon, func() (err error) {
		revision, err = kv.PutString(b.w.ctx, key, value)
		return err
	})
	return revision
}

// hear wants the watcher of before to tell these updates next.
func (b *bucket) hear(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for len(got) < len(want) {
		select {
		case e := <-b.watch.Updates():
			if e != nil {
				got = append(got, e.Key()+"="+value(e))
			}
		case <-time.After(soon):
			t.Fatalf("the watcher tells %q, want %q", got, want)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the watcher tells %q, want %q", got, want)
	}
}

func (b *bucket) failedOver(t *testing.T) {
	b.promoted = b.open(t, "west", "", b.at("west", "settings"))
	if b.shared {
		b.underAnotherName(t)
	} else {
		b.underItsName(t)
	}
}

// underItsName finds all as it was in west's domain. What was opened before, there or elsewhere, writes to east's.
func (b *bucket) underItsName(t *testing.T) {
	if got := fmt.Sprint(b.history(b.promoted, "counter"), b.history(b.promoted, "deleted")); got != "[1 2 3] [1 -]" {
		t.Errorf("west holds %s", got)
	}
	b.use(t, b.promoted)
	b.hear(t, "counter=4", "new=1", "counter=-", "counter=5")
	if got := read(b.w.ctx, b.west, "counter"); got != "5" {
		t.Errorf("west's handle of before reads %s, want 5", got)
	}
	for name, kv := range map[string]jetstream.KeyValue{"west's handle": b.west, "eu's handle of east": b.eu} {
		if _, err := kv.PutString(b.w.ctx, "lost", "1"); err == nil {
			t.Errorf("%s of before writes, to whom?", name)
		}
	}
	if got := read(b.w.ctx, b.open(t, "eu", "west", "settings"), "counter"); got != "5" {
		t.Errorf("from eu, west's domain reads %s, want 5", got)
	}
}

// use goes through what a program does with a key "counter" whose value is 3.
func (b *bucket) use(t *testing.T, kv jetstream.KeyValue) {
	t.Helper()
	e, err := kv.Get(b.w.ctx, "counter")
	if err != nil || string(e.Value()) != "3" {
		t.Fatalf("the last value is %v, %v, want 3", e, err)
	}
	_, deleted := kv.Get(b.w.ctx, "deleted")
	_, purged := kv.Get(b.w.ctx, "purged")
	_, stale := kv.Update(b.w.ctx, "counter", []byte("x"), e.Revision()-1)
	_, exists := kv.Create(b.w.ctx, "counter", []byte("x"))
	if err := errors.Join(wants(deleted, jetstream.ErrKeyNotFound), wants(purged, jetstream.ErrKeyNotFound), wants(exists, jetstream.ErrKeyExists)); err != nil || stale == nil {
		t.Errorf("%v; a stale update: %v", err, stale)
	}
	if _, err := kv.Update(b.w.ctx, "counter", []byte("4"), e.Revision()); err != nil {
		t.Errorf("an update of the last revision: %v", err)
	}
	_, err = kv.Create(b.w.ctx, "new", []byte("1"))
	if err := errors.Join(err, kv.Delete(b.w.ctx, "counter")); err != nil {
		t.Error(err)
	}
	b.put(t, kv, "counter", "5")
	if got := fmt.Sprint(b.history(kv, "counter")); got != "[2 3 4 - 5]" {
		t.Errorf("the history is %s", got)
	}
}

func wants(err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("got %v, want %w", err, want)
	}
	return nil
}

// read is a key's value, or the error.
func read(ctx context.Context, kv jetstream.KeyValue, key string) string {
	asked, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	e, err := kv.Get(asked, key)
	if err != nil {
		return err.Error()
	}
	return string(e.Value())
}

// underAnotherName finds a bucket that is written by its old name, and read by none: the client makes the subjects from the
// name. Its stream can be read as any other.
func (b *bucket) underAnotherName(t *testing.T) {
	revision, value := b.stored(t, "counter")
	if value != "3" {
		t.Errorf("the new primary holds %s", value)
	}
	if _, err := b.eu.Update(b.w.ctx, "counter", []byte("x"), revision-1); err == nil {
		t.Error("a stale update is taken")
	}
	if _, err := b.eu.Update(b.w.ctx, "counter", []byte("4"), revision); err != nil {
		t.Errorf("an update of the last revision: %v", err)
	}
	if err := b.eu.Delete(b.w.ctx, "counter"); err != nil {
		t.Error(err)
	}
	b.put(t, b.west, "counter", "5") // a handle of the copy from when it was a mirror writes to the same subject
	if _, value := b.stored(t, "counter"); value != "5" {
		t.Errorf("the new primary holds %s, want 5", value)
	}
	old := read(b.w.ctx, b.eu, "counter")
	if t.Logf("the old name reads: %s", old); old == "5" {
		t.Error("the old name reads what is in the new primary only")
	}
	for name, kv := range map[string]jetstream.KeyValue{"before": b.west, "now": b.promoted} {
		if got := read(b.w.ctx, kv, "counter"); got != jetstream.ErrKeyNotFound.Error() {
			t.Errorf("the new name, opened %s, reads %s", name, got)
		}
	}
	if _, err := b.promoted.PutString(b.w.ctx, "lost", "1"); err == nil {
		t.Error("the new name, opened now, takes a value")
	}
}

// stored is the last message of a key in west's stream.
func (b *bucket) stored(t *testing.T, key string) (revision uint64, value string) {
	t.Helper()
	b.w.await(t, soon, func() error {
		s, err := b.js(t, "eu", "west").Stream(b.w.ctx, "KV_"+b.at("west", "settings"))
		if err != nil {
			return err
		}
		m, err := s.GetLastMsgForSubject(b.w.ctx, "$KV.settings."+key)
		if err == nil {
			revision, value = m.Sequence, string(m.Data)
		}
		return err
	})
	return revision, value
}

// rejoined reads by the old name what was written meanwhile, from the old primary that is a mirror now.
func (b *bucket) rejoined(t *testing.T) {
	b.w.await(t, soon, func() error {
		if got := read(b.w.ctx, b.east, "counter"); got != "5" {
			return fmt.Errorf("east reads %s", got)
		}
		return nil
	})
	if b.shared {
		b.hear(t, "counter=4", "counter=-", "counter=5") // the watcher of the old name has found it again
		b.put(t, b.east, "counter", "6")
		return
	}
	if _, err := b.east.PutString(b.w.ctx, "lost", "1"); err == nil {
		t.Error("east's handle of before writes, to whom?")
	}
	b.put(t, b.open(t, "east", "", "settings"), "counter", "6") // goes to west
}

// back has the bucket under its name where it was: the handles of before do all.
func (b *bucket) back(t *testing.T) {
	for _, c := range []struct {
		name string
		kv   jetstream.KeyValue
	}{{"7", b.east}, {"8", b.eu}, {"9", b.west}, {"10", b.open(t, "west", "", b.at("west", "settings"))}} {
		b.put(t, c.kv, "counter", c.name)
		reads := c.kv
		if b.shared {
			reads = b.eu // only the bucket's own name reads
		}
		b.w.await(t, soon, func() error {
			if got := read(b.w.ctx, reads, "counter"); got != c.name {
				return fmt.Errorf("handle %s reads %s", c.name, got)
			}
			return nil
		})
	}
	if got := fmt.Sprint(b.history(b.east, "counter")); got != "[6 7 8 9 10]" {
		t.Errorf("the history is %s", got)
	}
}
