package election

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The golden files pin the format: what one version of the program wrote, every later one must read.
func TestEnvelopesAreAsPinned(t *testing.T) {
	for name, k := range map[string]kind{"command": kindCommand, "snapshot": kindSnapshot} {
		t.Run(name, func(t *testing.T) {
			payload := []byte("payload of a " + name)
			path := filepath.Join("testdata", name+".golden.hex")
			if *update {
				writeFile(t, path, []byte(hex.Dump(seal(k, payload))))
			}
			if got, want := hex.Dump(seal(k, payload)), string(readFile(t, path)); got != want {
				t.Errorf("sealed:\n%swant:\n%s", got, want)
			}
			pinned := undump(t, string(readFile(t, path)))
			if got, err := unseal(k, pinned); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("unsealed: %q, %v", got, err)
			}
		})
	}
}

// undump reverses hex.Dump.
func undump(t *testing.T, dump string) (b []byte) {
	t.Helper()
	for line := range strings.Lines(dump) {
		_, line, _ = strings.Cut(line, "  ")
		digits, _, _ := strings.Cut(line, "|")
		chunk, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, chunk...)
	}
	return b
}

// withVersion changes the version of an envelope and makes its checksum right again, as a newer program would.
func withVersion(envelope []byte, v uint16) []byte {
	b := bytes.Clone(envelope)
	binary.BigEndian.PutUint16(b[4:], v)
	binary.BigEndian.PutUint32(b[crcOffset:], envelopeSum(b))
	return b
}

func TestUnsealRefuses(t *testing.T) {
	good := seal(kindCommand, []byte("payload"))
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":         {nil, ErrDamaged},
		"short header":  {good[:envelopeHeader-1], ErrDamaged},
		"cut":           {good[:len(good)-1], ErrDamaged},
		"longer":        {append(bytes.Clone(good), 0), ErrDamaged},
		"other kind":    {seal(kindSnapshot, []byte("payload")), ErrDamaged},
		"newer version": {withVersion(good, envelopeVersion+1), ErrVersion},
		"version 0":     {withVersion(good, 0), ErrVersion},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := unseal(kindCommand, c.b); !errors.Is(err, c.want) {
				t.Errorf("error = %v, want %v", err, c.want)
			}
		})
	}
}

func TestOneFlippedBitIsDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := seal(kindCommand, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload"))
		bit := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := unseal(kindCommand, b); !errors.Is(err, ErrDamaged) {
			t.Fatalf("error = %v, want ErrDamaged", err)
		}
	})
}
