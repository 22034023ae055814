package dedup_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/watchdog/dedup"
)

// TestSkipped wants nothing to be published where it could not be checked or removed, or would be seen.
func TestSkipped(t *testing.T) {
	p := single(t)
	for i, c := range []struct {
		name string
		more settings
		want string // "": seeded
	}{
		{"no acks", settings{"no_ack": true}, "no_ack"},
		{"no purge", settings{"deny_purge": true}, "deny_purge"},
		{"no delete", settings{"deny_delete": true}, ""},
		{"transformed", settings{"subject_transform": settings{"src": ">", "dest": "else.>"}}, "subject_transform of >"},
		{"transformed elsewhere", settings{"subject_transform": settings{"src": "x.>", "dest": "else.>"}}, ""},
		{"republished", settings{"republish": settings{"src": ">", "dest": "again.>"}}, "republish of >"},
		{"republished devnull", settings{"republish": settings{"src": "$devnull.*.>", "dest": "again.>"}}, "republish of $devnull.*.>"},
		{"republished elsewhere", settings{"republish": settings{"src": "x.>", "dest": "again.>"}}, ""},
		{"refuses per subject", settings{"max_msgs_per_subject": 20, "discard": "new", "discard_new_per_subject": true}, "discard_new_per_subject"},
		{"as a bucket", settings{"max_msgs_per_subject": 20, "discard": "new", "allow_rollup_hdrs": true, "deny_delete": true}, ""},
		{"TTLs", settings{"allow_msg_ttl": true}, ""},
		{"ages", settings{"max_age": int64(time.Hour)}, ""},
		{"window within max_age", settings{"max_age": int64(time.Minute), "duplicate_window": int64(time.Minute)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := p.mirror(t, fmt.Sprint("SKIP", i), nil, nil, func(m *mirrored) { m.publish("a", 50) })
			before := m.state()
			m.promote(c.more)
			acc, want := m.seed(dedup.Job{}), 50
			if c.want != "" {
				want = 0
			}
			if acc.Seeded != want || !strings.Contains(acc.Skipped, c.want) || (acc.Skipped == "") != (c.want == "") {
				t.Errorf("got %+v, want %d seeded, skipped for %q", acc, want, c.want)
			}
			after := m.state()
			if after.Msgs != before.Msgs || !maps.Equal(after.Subjects, before.Subjects) || after.LastSeq != before.LastSeq+acc.Burned {
				t.Errorf("what the stream holds: got %+v, want %+v", after, before)
			}
		})
	}
	t.Run("nothing asked for", func(t *testing.T) {
		m := p.mirror(t, "NONE", nil, nil, func(m *mirrored) { m.publish("a", 5) })
		m.promote(nil)
		if acc, err := dedup.Seed(within(t), p.conn, dedup.Job{Member: m.member}); err != nil || acc.Skipped == "" || acc.Burned != 0 {
			t.Errorf("got %+v, %v", acc, err)
		}
	})
}

// TestFull wants every message to stay in a stream that is full, or has room for some seeds only.
func TestFull(t *testing.T) {
	p := single(t)
	for i, c := range []struct {
		name     string
		more     settings
		bytes    int // max_bytes, beyond what the stream holds; -1 for none
		min, max int // seeded
		want     string
	}{
		{"messages", settings{"max_msgs": 50}, -1, 0, 0, "max_msgs 50"},
		{"messages, discard new", settings{"max_msgs": 50, "discard": "new"}, -1, 0, 0, "max_msgs 50"},
		{"room for ten", settings{"max_msgs": 60}, -1, 10, 10, "max_msgs 60"},
		{"room for ten, discard new", settings{"max_msgs": 60, "discard": "new"}, -1, 10, 10, "max_msgs 60"},
		{"room for all", settings{"max_msgs": 100}, -1, 50, 50, ""},
		{"bytes", nil, 0, 0, 0, "max_bytes"},
		{"bytes for some", nil, 2_000, 5, 20, "max_bytes"},
		{"bytes for all", nil, 50_000, 50, 50, ""},
		{"small messages", settings{"max_msg_size": 40}, -1, 0, 0, "max_msg_size 40"},
		{"large enough messages", settings{"max_msg_size": 80}, -1, 50, 50, ""},
	} {
		for _, storage := range []string{"file", "memory"} {
			t.Run(c.name+" in "+storage, func(t *testing.T) {
				m := p.mirror(t, fmt.Sprint("FULL", i, storage), nil, settings{"storage": storage}, func(m *mirrored) { m.publish("a", 50) })
				before := m.state()
				if c.bytes >= 0 {
					c.more = settings{"max_bytes": before.Bytes + uint64(c.bytes)}
				}
				m.promote(c.more)
				acc := m.seed(dedup.Job{})
				if acc.Seeded < c.min || acc.Seeded > c.max || acc.Seeded+acc.LeftOut != 50 || acc.Missing != 0 {
					t.Errorf("got %+v, want %d to %d seeded", acc, c.min, c.max)
				}
				if acc.LeftOut > 0 && !strings.Contains(acc.Why, c.want) {
					t.Errorf("why: got %q, want %q", acc.Why, c.want)
				}
				after := m.state()
				if after.Msgs != before.Msgs || after.FirstSeq != before.FirstSeq || !maps.Equal(after.Subjects, before.Subjects) {
					t.Errorf("what the stream holds: got %+v, want %+v", after, before)
				}
			})
		}
	}
}

// TestRefused wants a refusal that the config does not foretell, here the account's limit, to be told and cleaned up.
func TestRefused(t *testing.T) {
	p := single(t)
	m := p.mirror(t, "REFUSED", nil, nil, func(m *mirrored) { m.publish("a", 2_000) })
	before := m.state()
	m.promote(nil)
	p.limitStore(t, before.Bytes+20_000)
	acc := m.seed(dedup.Job{})
	if acc.Seeded == 0 || acc.LeftOut == 0 || acc.Seeded+acc.LeftOut != 2_000 || !strings.Contains(acc.Why, "refuses") {
		t.Errorf("got %+v, want some seeded and a refusal", acc)
	}
	if after := m.state(); after.Msgs != before.Msgs || !maps.Equal(after.Subjects, before.Subjects) {
		t.Errorf("what the stream holds: got %+v, want %+v", after, before)
	}
}
