package election

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Messages that claim more than a peer ever sends are refused before anything is allocated for them.
func TestInspectorRefusesClaims(t *testing.T) {
	huge := binary.BigEndian.AppendUint32(nil, 500<<20)
	for name, b := range map[string][]byte{
		"string":          append([]byte{0, 0xdb}, huge...),
		"binary":          append([]byte{0, 0xc6}, huge...),
		"extension":       append([]byte{0, 0xc9}, huge...),
		"list":            append([]byte{0, 0xdd}, huge...),
		"map":             append([]byte{0, 0xdf}, huge...),
		"nested field":    append([]byte("\x00\x81\xa7Entries\x91\x81\xa4Data\xdb"), huge...),
		"depth":           append([]byte{0}, bytes.Repeat([]byte{0x91}, maxDepth+1)...),
		"unknown tag":     {0, 0xc1},
		"snapshot size":   []byte("\x02\x81\xa4Size\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
		"size said twice": []byte("\x02\x82\xa4Size\x01\xa4Size\x02"),
	} {
		in := inspector{requests: true}
		if err := in.see(b); err == nil || !strings.Contains(err.Error(), "refused a message") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However a stream is cut into reads, the inspector judges it alike, and stands where a message begins at its end.
func TestInspectorFollowsMessages(t *testing.T) {
	stream := []byte("\x00\x83\xa4Term\x05\xa7Entries\x92\x81\xa4Data\xda\x00\x03abc\xc0\xa1x\xcb12345678" + // AppendEntries
		"\x02\x82\xa4Size\xd1\x00\x05\xa1y\xd6\x01abcd" + "\x01\xff\xdb\xc1\xdd" + // InstallSnapshot, and its snapshot
		"\x03\x80") // TimeoutNow
	rapid.Check(t, func(t *rapid.T) {
		in := inspector{requests: true}
		for rest := stream; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "read")
			if err := in.see(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if in.begun || in.raw+in.skip != 0 || in.need != 0 || len(in.stack) != 0 {
			t.Fatalf("in the middle of something: %+v", in)
		}
	})
}

func FuzzInspector(f *testing.F) {
	f.Add([]byte("\x00\x81\xa4Term\x05"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := inspector{requests: true}
		if in.see(b) == nil && len(in.stack) > maxDepth {
			t.Fatal("too deep")
		}
	})
}

// A claim sent to a running node costs it nothing, and ends the connection.
func TestClaimOverTheNetwork(t *testing.T) {
	g := newGroup(t, 3, nil)
	m := g.members[0]
	m.start()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := strangerPort(t, g.members[1].opts, nil)
	for range 10 {
		conn, err := p.dial(t.Context(), streamRaft, "wd-1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("\x00\x81\xa7Entries\x91\x81\xa4Data\xdb\x20\x00\x00\x00")); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("it was answered")
		}
		conn.Close()
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 100<<20 {
		t.Errorf("%d MiB were allocated", grown>>20)
	}
}
