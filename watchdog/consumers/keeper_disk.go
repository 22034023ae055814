package consumers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

const (
	// fileKind begins the first line of a file; its version and the sum of the rest follow.
	fileKind    = "understudy-consumers"
	fileVersion = 1
	// suffix ends the name of a stream's file.
	suffix = ".json"
	// flushEvery is the time between two rounds of writing, and perFlush the most files of one round: positions change with
	// every snapshot of a busy stream, and a disk has better things to do.
	flushEvery = 5 * time.Second
	perFlush   = 50
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// write puts on disk what has changed, until ctx ends, and then all that is left.
func (k *Keeper) write(ctx context.Context) {
	for sleep(ctx, flushEvery) {
		k.flush(perFlush)
	}
	k.flush(-1)
}

// flush writes changed streams, at most so many of them if that is not negative. Those that are left out come first the
// next time.
func (k *Keeper) flush(most int) {
	for _, name := range k.changedStreams(most) {
		data, err := k.encode(name)
		if err == nil {
			err = replace(filepath.Join(k.o.Dir, name+suffix), data)
		}
		if err != nil {
			k.o.Log.Warn("snapshot of the consumers is not on disk", "stream", name, "error", err)
			k.setDirty(name)
		}
	}
}

// changedStreams takes some of the changed streams, those first that were not written for the longest time.
func (k *Keeper) changedStreams(most int) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []string
	for name, h := range k.kept {
		if h.dirty {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(k.kept[a].written.Compare(k.kept[b].written), cmp.Compare(a, b))
	})
	if most >= 0 && len(names) > most {
		names = names[:most]
	}
	for _, name := range names {
		k.kept[name].dirty, k.kept[name].written = false, time.Now()
	}
	return names
}

func (k *Keeper) setDirty(stream string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.kept[stream]; h != nil {
		h.dirty = true
	}
}

// encode is the content of a stream's file.
func (k *Keeper) encode(stream string) ([]byte, error) {
	k.mu.Lock()
	var all []policy.ConsumerSnapshot
	if h := k.kept[stream]; h != nil {
		for _, s := range h.members {
			all = append(all, s)
		}
	}
	k.mu.Unlock()
	slices.SortFunc(all, func(a, b policy.ConsumerSnapshot) int { return a.Stream.Compare(b.Stream) })
	body, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("%s %d %08x\n", fileKind, fileVersion, crc32.Checksum(body, castagnoli))
	return append([]byte(head), body...), nil
}

// decode reads the content of a file, or says why it cannot be trusted.
func decode(data []byte) ([]policy.ConsumerSnapshot, error) {
	head, body, _ := bytes.Cut(data, []byte("\n"))
	var kind string
	var version int
	var sum uint32
	if _, err := fmt.Sscanf(string(head), "%s %d %x", &kind, &version, &sum); err != nil || kind != fileKind {
		return nil, errors.New("it does not begin as such a file does")
	}
	if version != fileVersion {
		return nil, fmt.Errorf("its version is %d, this build reads %d", version, fileVersion)
	}
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("its checksum is %08x, it should be %08x", got, sum)
	}
	var all []policy.ConsumerSnapshot
	err := json.Unmarshal(body, &all)
	return all, err
}

// replace writes a file whole or not at all.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // or a crash may leave an empty file under the name
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// forget removes the file of a stream.
func (k *Keeper) forget(stream string) {
	if err := os.Remove(filepath.Join(k.o.Dir, stream+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.o.Log.Warn("snapshot of a stream that is not guarded any more stays on disk", "stream", stream, "error", err)
	}
}

// load reads all files.
func (k *Keeper) load() error {
	if err := os.MkdirAll(k.o.Dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(k.o.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), suffix); ok && f.Type().IsRegular() {
			k.loadFile(name)
		}
	}
	return nil
}

func (k *Keeper) loadFile(stream string) {
	data, err := os.ReadFile(filepath.Join(k.o.Dir, stream+suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var all []policy.ConsumerSnapshot
	if err == nil {
		all, err = decode(data)
	}
	if err != nil {
		k.o.Log.Warn("snapshot of the consumers cannot be read; it is taken anew", "stream", stream, "error", err)
		return
	}
	h := &held{members: map[policy.MemberID]policy.ConsumerSnapshot{}}
	for _, s := range all {
		h.members[s.Stream] = s
	}
	k.kept[stream] = h
}
