package deadstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const account = "ACME"

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// makeStore writes a store with one stream of some messages, and returns its
// folder.
func makeStore(t *testing.T, cfg jetstream.StreamConfig, messages int) string {
	t.Helper()
	ctx, dir := testContext(t), t.TempDir()
	c, err := serve(ctx, account, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	s, err := c.js.CreateStream(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "DUR", Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	for n := range messages {
		if _, err := c.js.Publish(ctx, cfg.Subjects[0], fmt.Append(nil, n+1)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func openStore(t *testing.T, dirs ...string) *Store {
	t.Helper()
	s, err := Open(testContext(t), account, dirs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestOpenRemovesNothing(t *testing.T) {
	dir := makeStore(t, jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s"}, Retention: jetstream.InterestPolicy, MaxAge: time.Hour,
	}, 3)
	// Make the messages too old, and the stream replicated.
	err := editMeta(filepath.Join(streamsDir(dir, account), "S"), "S", func(c map[string]rawJSON) {
		c["max_age"], c["num_replicas"] = rawJSON("1000000"), rawJSON("3")
	})
	if err != nil {
		t.Fatal(err)
	}
	st, nc, err := openStore(t, dir).Stream(testContext(t), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := st.CachedInfo().State.Msgs; got != 3 {
		t.Errorf("messages: %d, want 3", got)
	}
	if !nc.IsConnected() {
		t.Error("not connected")
	}
	if _, err := st.Consumer(testContext(t), "DUR"); err != nil {
		t.Errorf("the stream's consumer: %v", err)
	}
}

func TestStreamPicksTheLongestCopy(t *testing.T) {
	cfg := jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}
	short, long := makeStore(t, cfg, 1), makeStore(t, cfg, 4)
	store := openStore(t, short, long, t.TempDir())
	st, nc, err := store.Stream(testContext(t), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := st.CachedInfo().State.LastSeq; got != 4 {
		t.Errorf("last sequence: %d, want 4", got)
	}
	if conns := store.Conns(); len(conns) != 3 || conns[1] != nc {
		t.Errorf("not the connection of the second folder")
	}
	if _, _, err := store.Stream(testContext(t), "T"); !errors.Is(err, ErrNoSuchStream) {
		t.Errorf("got %v, want %v", err, ErrNoSuchStream)
	}
}

func TestOpenAddsTheLoggedTail(t *testing.T) {
	dir := makeStore(t, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}, 0)
	c, err := serve(testContext(t), account, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.js.Publish(testContext(t), "s.1", []byte("one")); err != nil {
		t.Fatal(err)
	}
	ends, err := c.ends(testContext(t))
	c.close()
	if err != nil {
		t.Fatal(err)
	}
	first := message{seq: 7, ts: ends[0].ts, subject: "s.1", data: []byte("one")} // 6 proposals failed before
	large := bytes.Repeat([]byte("x"), 9<<10)
	writeLog(t, dir, first,
		message{seq: 8, ts: first.ts + 1, subject: "s.2", hdr: []byte("NATS/1.0\r\nA: b\r\n\r\n"), data: []byte("two")},
		message{seq: 9, ts: first.ts + 2, subject: "s.3", data: large})

	st, _, err := openStore(t, dir).Stream(testContext(t), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := st.CachedInfo().State.LastSeq; got != 3 {
		t.Fatalf("last sequence: %d, want 3", got)
	}
	two, err := st.GetMsg(testContext(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	if two.Subject != "s.2" || string(two.Data) != "two" || two.Header.Get("A") != "b" ||
		two.Time.UnixNano() != first.ts+1 {
		t.Errorf("message 2: %+v", two)
	}
	three, err := st.GetMsg(testContext(t), 3)
	if err != nil || !bytes.Equal(three.Data, large) {
		t.Errorf("message 3: %d bytes (%v), want %d", len(three.Data), err, len(large))
	}
}

// writeLog writes a raft group's log as a clustered server does.
func writeLog(t *testing.T, dir string, msgs ...message) {
	t.Helper()
	const group = "S-R3F-test"
	msgDir := filepath.Join(dir, "jetstream", "SYS", "_js_", group, "msgs")
	if err := os.MkdirAll(msgDir, 0o700); err != nil {
		t.Fatal(err)
	}
	var records []message
	for i, m := range msgs {
		records = append(records, message{seq: uint64(i + 1), data: appendEntry(encodeOperation(m), nil)})
	}
	records = append(records,
		message{seq: 100 | erased, data: []byte("removed")},
		message{seq: 101, data: appendEntry([]byte{6, 1, 2, 3}, []byte("a snapshot"))}) // a delete; no message
	if err := writeBlock(msgDir, group, 1, records); err != nil {
		t.Fatal(err)
	}
}

// appendEntry encodes one normal entry, and one of another type if there is one.
func appendEntry(op, other []byte) []byte {
	le := binary.LittleEndian
	buf := make([]byte, entriesHead-2)
	count := uint16(1)
	if other != nil {
		count = 2
	}
	buf = le.AppendUint16(buf, count)
	buf = append(le.AppendUint32(buf, uint32(1+len(op))), normalEntry)
	buf = append(buf, op...)
	if other != nil {
		buf = append(le.AppendUint32(buf, uint32(1+len(other))), 1)
		buf = append(buf, other...)
	}
	return binary.AppendUvarint(buf, 3) // the leader's term, which newer servers add
}

// encodeOperation encodes a message as the server does: compressed when large.
func encodeOperation(m message) []byte {
	le := binary.LittleEndian
	buf := le.AppendUint64(nil, m.seq-1)
	buf = le.AppendUint64(buf, uint64(m.ts))
	buf = append(le.AppendUint16(buf, uint16(len(m.subject))), m.subject...)
	buf = append(le.AppendUint16(buf, 5), "reply"...)
	buf = append(le.AppendUint16(buf, uint16(len(m.hdr))), m.hdr...)
	buf = append(le.AppendUint32(buf, uint32(len(m.data))), m.data...)
	buf = binary.AppendUvarint(buf, 0)
	if len(buf) > 8<<10 {
		return append([]byte{opCompressedMessage}, s2.Encode(nil, buf)...)
	}
	return append([]byte{opMessage}, buf...)
}

func TestBeyond(t *testing.T) {
	at := func(seq uint64, ts int64) message { return message{seq: seq, ts: ts, subject: "s"} }
	for _, tc := range []struct {
		name string
		log  []message
		end  end
		want []uint64
	}{
		{"nothing more", []message{at(1, 10), at(2, 20)}, end{seq: 2, ts: 20}, nil},
		{"two more", []message{at(1, 10), at(2, 20), at(3, 30)}, end{seq: 1, ts: 10}, []uint64{2, 3}},
		{"another stream's log", []message{at(1, 11), at(2, 21)}, end{seq: 1, ts: 10}, nil},
		{"an empty stream", []message{at(1, 10)}, end{}, nil},
		{"ahead of the store", []message{at(5, 10), at(6, 20)}, end{seq: 3, ts: 10}, []uint64{4}},
		{"a sequence without message", []message{at(1, 10), {seq: 2}, at(3, 30)}, end{seq: 1, ts: 10}, []uint64{3}},
		{"logged twice", []message{at(1, 10), at(2, 20), at(2, 21), at(3, 30)}, end{seq: 1, ts: 10}, []uint64{2, 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []uint64
			for _, m := range beyond(tc.log, tc.end) {
				got = append(got, m.seq)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// A kill may cut the last record short; nothing that is read may panic on it.
func TestCutRecordsEndTheFile(t *testing.T) {
	const key = "S-1"
	whole := encodeRecord(key, message{seq: 3, ts: 4, subject: "s", hdr: []byte("h"), data: []byte("data")})
	m, size, ok := decodeRecord(key, whole)
	if !ok || size != len(whole) || string(m.data) != "data" || string(m.hdr) != "h" {
		t.Fatalf("got %+v, %d, %v", m, size, ok)
	}
	for n := range whole {
		if _, _, ok := decodeRecord(key, whole[:n]); ok {
			t.Errorf("%d of %d bytes taken for a record", n, len(whole))
		}
		changed := bytes.Clone(whole)
		changed[n] ^= 0x40
		if _, _, ok := decodeRecord(key, changed); ok && !unchecked(n) {
			t.Errorf("byte %d changed and not noticed", n)
		}
	}
	for n := range appendEntry(encodeOperation(message{seq: 1, subject: "s"}), nil) {
		op := appendEntry(encodeOperation(message{seq: 1, subject: "s"}), nil)[:n]
		_, _ = appendEntries(nil, op) // an error or a shorter log, never a panic
	}
}

// unchecked tells the bytes that the server's checksum leaves out: the lengths.
func unchecked(n int) bool { return n < 4 || n >= 20 && n < recordHead || n >= 23 && n < 27 }
