package election

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
)

// Bolt's file format, version 2, in the machine's byte order: pages of one size, each beginning with
//
//	id u64 | flags u16 | count u16 | overflow u32
//
// and, except for meta and freelist pages, count elements that say where in the page their keys and values are.
const (
	pageHeader = 16
	pageBranch = 0x01
	pageLeaf   = 0x02
	pageMeta   = 0x04
	pageFree   = 0x10

	elementSize  = 16 // of leaf and branch pages alike
	bucketHeader = 16 // root page u64 | sequence u64
	leafBucket   = 1  // flag of an element whose value is a bucket

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSummed  = 56 // bytes of a meta that its checksum covers
)

// The buckets of raft-boltdb: log entries by their index as eight bytes, and the stable store's keys.
const (
	logsBucket   = "logs"
	stableBucket = "conf"
)

var ne = binary.NativeEndian

// pageFile is a bolt file in memory, to be checked before bolt opens it. Bolt verifies its two meta pages only, and
// takes an older one for a damaged newer one, which undoes the last commit; on other damage it panics, faults,
// loops, or writes over live data. This reads every page with bounds, and holds each to the exact layout that bolt
// writes, so that a lost element or page is noticed as well.
type pageFile struct {
	b       []byte
	size    uint64          // of a page
	end     uint64          // the first page that was never used
	seen    map[uint64]bool // pages in use
	buckets int
	indexes []uint64 // of the log entries
}

// checkPages reads a whole bolt file and returns the indexes of the log entries. A missing or empty file is fine.
func checkPages(path string) ([]uint64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(b) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the log store: %w", err)
	}
	f := &pageFile{b: b, seen: map[uint64]bool{0: true, 1: true}}
	root, free, err := f.metas()
	if err == nil {
		err = f.bucket(root, "")
	}
	if err == nil {
		err = f.freelist(free)
	}
	if err == nil && f.buckets == 1 {
		err = errors.New("a bucket is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f.indexes, nil
}

// metas checks both meta pages and returns the newer one's root bucket and freelist page.
func (f *pageFile) metas() (root, free uint64, err error) {
	if len(f.b) < pageHeader+64 {
		return 0, 0, fmt.Errorf("it has %d bytes only", len(f.b))
	}
	f.size = uint64(ne.Uint32(f.b[pageHeader+8:]))
	if f.size < 512 || f.size > 1<<20 || 4*f.size > uint64(len(f.b)) {
		return 0, 0, fmt.Errorf("meta page 0: page size %d", f.size)
	}
	var newest uint64
	var tx [2]uint64
	for i := range uint64(2) {
		m := f.b[i*f.size+pageHeader:][:64]
		sum := fnv.New64a()
		sum.Write(m[:metaSummed])
		id, flags := ne.Uint64(f.b[i*f.size:]), ne.Uint16(f.b[i*f.size+8:])
		if ne.Uint32(m) != metaMagic || ne.Uint32(m[4:]) != metaVersion || ne.Uint64(m[metaSummed:]) != sum.Sum64() ||
			id != i || flags != pageMeta {
			return 0, 0, fmt.Errorf("meta page %d fails its checksum", i)
		}
		tx[i] = ne.Uint64(m[48:])
		if i == 0 || tx[i] > newest {
			newest, root, free, f.end = tx[i], ne.Uint64(m[16:]), ne.Uint64(m[32:]), ne.Uint64(m[40:])
		}
	}
	if tx[0]+1 != tx[1] && tx[1]+1 != tx[0] {
		return 0, 0, fmt.Errorf("meta pages of transactions %d and %d do not follow each other", tx[0], tx[1])
	}
	if f.end > uint64(len(f.b))/f.size {
		return 0, 0, fmt.Errorf("it was cut: %d of %d pages are there", uint64(len(f.b))/f.size, f.end)
	}
	return root, free, nil
}

// page returns a page with its overflow, marks it as used, and checks its header.
func (f *pageFile) page(id uint64) ([]byte, error) {
	if id < 2 || id >= f.end {
		return nil, fmt.Errorf("page %d is out of bounds", id)
	}
	p := f.b[id*f.size:]
	n := uint64(ne.Uint32(p[12:])) + 1
	if ne.Uint64(p) != id || n > f.end-id {
		return nil, fmt.Errorf("page %d: id %d, %d pages long", id, ne.Uint64(p), n)
	}
	for i := id; i < id+n; i++ {
		if f.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		f.seen[i] = true
	}
	return p[:n*f.size], nil
}

// bucket reads the pages of a bucket from its root on.
func (f *pageFile) bucket(root uint64, name string) error {
	p, err := f.page(root)
	if err != nil {
		return err
	}
	return f.tree(p, name)
}

// tree reads a page of a bucket, or the inline page of a small one, and those below it.
func (f *pageFile) tree(p []byte, name string) error {
	id, flags, count := ne.Uint64(p), ne.Uint16(p[8:]), uint64(ne.Uint16(p[10:]))
	if flags != pageLeaf && flags != pageBranch {
		return fmt.Errorf("page %d: flags %#x", id, flags)
	}
	end := pageHeader + count*elementSize // bolt writes keys and values one after the other behind the elements
	if end > uint64(len(p)) {
		return fmt.Errorf("page %d: %d elements do not fit", id, count)
	}
	var last []byte
	for i := range count {
		at := pageHeader + i*elementSize
		e := p[at:][:elementSize]
		var pos, ksize, vsize uint64
		if flags == pageLeaf {
			pos, ksize, vsize = uint64(ne.Uint32(e[4:])), uint64(ne.Uint32(e[8:])), uint64(ne.Uint32(e[12:]))
		} else {
			pos, ksize = uint64(ne.Uint32(e)), uint64(ne.Uint32(e[4:]))
		}
		if at+pos != end || end+ksize+vsize > uint64(len(p)) {
			return fmt.Errorf("page %d: element %d is out of place", id, i)
		}
		key, value := p[end:end+ksize], p[end+ksize:end+ksize+vsize]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return fmt.Errorf("page %d: element %d is out of order", id, i)
		}
		last, end = key, end+ksize+vsize
		if err := f.element(flags, e, key, value, name); err != nil {
			return err
		}
	}
	if inline := id == 0; !inline && (end+f.size-1)/f.size*f.size != uint64(len(p)) {
		return fmt.Errorf("page %d: %d bytes in %d", id, end, len(p))
	}
	return nil
}

// element follows an element to the page or bucket that it stands for, or judges its key.
func (f *pageFile) element(flags uint16, e, key, value []byte, name string) error {
	switch kind := ne.Uint32(e); {
	case flags == pageBranch:
		return f.bucket(ne.Uint64(e[8:]), name)
	case kind == leafBucket && name == "":
		return f.subBucket(string(key), value)
	case kind == 0 && name == logsBucket && len(key) == 8:
		f.indexes = append(f.indexes, binary.BigEndian.Uint64(key))
		return nil
	case kind == 0 && name == stableBucket && stableKeys[string(key)]:
		return nil
	default:
		return fmt.Errorf("unknown key %q of kind %d in bucket %q", key, kind, name)
	}
}

func (f *pageFile) subBucket(name string, value []byte) error {
	if name != logsBucket && name != stableBucket || len(value) < bucketHeader {
		return fmt.Errorf("unknown bucket %q of %d bytes", name, len(value))
	}
	f.buckets++
	if root := ne.Uint64(value); root != 0 {
		return f.bucket(root, name)
	}
	if inline := value[bucketHeader:]; len(inline) >= pageHeader && ne.Uint64(inline) == 0 {
		return f.tree(inline, name)
	}
	return fmt.Errorf("bucket %q is cut", name)
}

// freelist checks that every page is either in use or free.
func (f *pageFile) freelist(id uint64) error {
	p, err := f.page(id)
	if err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	count, ids := uint64(ne.Uint16(p[10:])), p[pageHeader:]
	if count == 0xFFFF {
		count, ids = ne.Uint64(ids), ids[8:]
	}
	if ne.Uint16(p[8:]) != pageFree || count > uint64(len(ids))/8 {
		return fmt.Errorf("freelist: flags %#x, %d pages", ne.Uint16(p[8:]), count)
	}
	last := uint64(1)
	for i := range count {
		free := ne.Uint64(ids[8*i:])
		if free <= last || free >= f.end || f.seen[free] {
			return fmt.Errorf("freelist: page %d is out of order or in use", free)
		}
		f.seen[free], last = true, free
	}
	if missing := f.end - uint64(len(f.seen)); missing != 0 {
		return fmt.Errorf("%d pages are neither used nor free", missing)
	}
	return nil
}
