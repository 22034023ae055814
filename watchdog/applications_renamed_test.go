package watchdog_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

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
