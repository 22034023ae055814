package election

import (
	"fmt"
	"net"
)

// Limits of what another raft may send. Raft's decoder allocates by the lengths that a message claims, before the
// bytes arrive: 15 bytes can claim half a gigabyte.
const (
	maxField    = MaxCommand + 4096 // bytes of one string: a command in its envelope
	maxItems    = 256               // of one list or map
	maxDepth    = 8                 // of lists and maps in each other
	maxSnapshot = 1 << 40           // bytes; they go to disk, not to memory
)

// installSnapshot is the type of the one request that raw bytes follow, as many as its field Size says.
const installSnapshot = 2

// inspected reads for raft from a connection, and ends it when a message claims too much.
type inspected struct {
	net.Conn
	in inspector
}

// Read implements net.Conn.
func (c *inspected) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if refused := c.in.see(b[:n]); refused != nil {
		cut(c.Conn)
		return 0, refused
	}
	return n, err
}

// NetConn returns the connection below.
func (c *inspected) NetConn() net.Conn { return c.Conn }

// inspector follows a stream of raft's messages, which are MessagePack, without keeping them. It sees every byte
// before raft's decoder does. A request is a type byte, an object, and after an InstallSnapshot the snapshot; answers
// are objects only.
type inspector struct {
	requests bool

	kind  byte   // of the request
	begun bool   // its type was read
	stack []list // the lists and maps that are open
	tag   byte   // of the item whose length or number is being read
	need  int    // bytes of that still to come
	num   uint64 // what was read of it
	skip  uint64 // bytes of content to pass over
	key   []byte // the last map key, as far as it matters
	isKey bool   // the content passed over is a key
	size  uint64 // of the snapshot, by the request's field
	raw   uint64 // bytes of the snapshot still to come
}

// list is an open list or map.
type list struct {
	left  uint64 // items; a map has two for each pair
	isMap bool
}

// see follows the stream by b.
func (in *inspector) see(b []byte) error {
	for len(b) > 0 {
		switch {
		case in.raw > 0:
			n := min(in.raw, uint64(len(b)))
			in.raw -= n
			b = b[n:]
		case in.skip > 0:
			n := min(in.skip, uint64(len(b)))
			if in.isKey {
				in.key = append(in.key, b[:n]...)
			}
			if in.skip -= n; in.skip == 0 {
				in.done()
			}
			b = b[n:]
		case in.need > 0:
			in.num = in.num<<8 | uint64(b[0])
			b = b[1:]
			if in.need--; in.need == 0 {
				if err := in.length(); err != nil {
					return err
				}
			}
		case in.requests && !in.begun:
			in.kind, in.begun, in.size = b[0], true, 0
			b = b[1:]
		default:
			if err := in.item(b[0]); err != nil {
				return err
			}
			b = b[1:]
		}
	}
	return nil
}

// item begins an item by its tag.
func (in *inspector) item(tag byte) error {
	in.tag, in.num, in.isKey = tag, 0, false
	switch {
	case tag <= 0x7f:
		return in.number(uint64(tag))
	case tag <= 0x8f:
		return in.open(uint64(tag&0x0f), true)
	case tag <= 0x9f:
		return in.open(uint64(tag&0x0f), false)
	case tag <= 0xbf:
		return in.content(uint64(tag & 0x1f))
	case tag >= 0xe0, tag == 0xc0, tag == 0xc2, tag == 0xc3:
		in.done()
	case tag == 0xc1:
		return fmt.Errorf("refused a message: unknown tag %#x", tag)
	case tag == 0xca, tag == 0xcb: // floats
		return in.content(4 << (tag - 0xca))
	case tag >= 0xcc && tag <= 0xcf, tag >= 0xd0 && tag <= 0xd3: // integers
		in.need = 1 << (tag & 3)
	case tag >= 0xd4 && tag <= 0xd8: // extensions of fixed size, behind a type byte
		return in.content(1 + 1<<(tag-0xd4))
	default:
		in.need = lengthBytes(tag)
	}
	return nil
}

// lengthBytes tells how long the length behind a tag is.
func lengthBytes(tag byte) int {
	switch tag {
	case 0xc4, 0xc7, 0xd9:
		return 1
	case 0xc5, 0xc8, 0xda, 0xdc, 0xde:
		return 2
	default: // 0xc6, 0xc9, 0xdb, 0xdd, 0xdf
		return 4
	}
}

// length takes a whole length, or a whole number.
func (in *inspector) length() error {
	switch tag := in.tag; {
	case tag >= 0xcc && tag <= 0xd3:
		return in.number(in.num)
	case tag >= 0xc7 && tag <= 0xc9:
		return in.content(in.num + 1)
	case tag == 0xdc, tag == 0xdd:
		return in.open(in.num, false)
	case tag == 0xde, tag == 0xdf:
		return in.open(in.num, true)
	default:
		return in.content(in.num)
	}
}

func (in *inspector) content(n uint64) error {
	if n > maxField {
		return fmt.Errorf("refused a message: a field of %d bytes, %d at most", n, maxField)
	}
	if d := len(in.stack); d == 1 && in.stack[0].isMap && in.stack[0].left%2 == 0 {
		in.isKey, in.key = n <= 16, in.key[:0]
	}
	if in.skip = n; n == 0 {
		in.done()
	}
	return nil
}

func (in *inspector) open(n uint64, isMap bool) error {
	if n > maxItems || len(in.stack) >= maxDepth {
		return fmt.Errorf("refused a message: a list of %d items in %d others", n, len(in.stack))
	}
	if isMap {
		n *= 2
	}
	if n == 0 {
		in.done()
		return nil
	}
	in.stack = append(in.stack, list{left: n, isMap: isMap})
	return nil
}

// number takes an integer: the snapshot's size, if that is its key.
func (in *inspector) number(v uint64) error {
	if len(in.stack) == 1 && in.stack[0].left%2 == 1 && string(in.key) == "Size" {
		if in.size != 0 || v > maxSnapshot {
			return fmt.Errorf("refused a message: a snapshot of %d bytes", v)
		}
		in.size = v
	}
	in.done()
	return nil
}

// done ends an item, and the lists that it is the last of.
func (in *inspector) done() {
	for len(in.stack) > 0 {
		top := &in.stack[len(in.stack)-1]
		if top.left--; top.left > 0 {
			return
		}
		in.stack = in.stack[:len(in.stack)-1]
	}
	if in.requests && in.kind == installSnapshot {
		in.raw = in.size
	}
	in.begun = false
}
