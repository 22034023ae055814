package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// WriteID is "<epoch>.<step>.<n>": unique within a guarded stream, and stamped into what it wrote.
type WriteID string

// NewWriteID composes an id.
func NewWriteID(epoch uint64, kind WriteKind, n int) WriteID {
	return WriteID(fmt.Sprintf("%d.%s.%d", epoch, kind, n))
}

// Epoch returns the first part, 0 when the id is not one of ours.
func (w WriteID) Epoch() uint64 {
	first, _, _ := strings.Cut(string(w), ".")
	n, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Kind returns the second part, "" when the id is not one of ours.
func (w WriteID) Kind() WriteKind {
	_, rest, _ := strings.Cut(string(w), ".")
	kind, _, _ := strings.Cut(rest, ".")
	return WriteKind(kind)
}

// WriteKind is what a write does to its member.
type WriteKind string

// The kinds of write.
const (
	WritePark    WriteKind = "park"
	WriteUnpark  WriteKind = "unpark"
	WritePromote WriteKind = "promote"
	WriteBind    WriteKind = "bind"
	WriteDelete  WriteKind = "delete"
	WriteSeal    WriteKind = "seal"
	WriteCreate  WriteKind = "create"
	// Of a stream that sources from a replaced primary: the source is taken out, and put back for the new one.
	WriteHalt   WriteKind = "halt"
	WriteResume WriteKind = "resume"
	// Of a spare copy: it is made, and deleted.
	WriteSpare   WriteKind = "spare"
	WriteUnspare WriteKind = "unspare"
)

// repeatable reports whether the same write may be sent again while its outcome is unknown. A late second copy of
// these is put right by repair; a late second delete could not be.
func (k WriteKind) repeatable() bool { return k != WriteDelete }

// CloseHow says why a write can no longer change anything that the log does not know of.
type CloseHow string

// The ways in which a write is closed.
const (
	ClosedReplied  CloseHow = "replied"  // the server said that it is done
	ClosedRefused  CloseHow = "refused"  // the server said that it is not
	ClosedSeen     CloseHow = "seen"     // its effect was read back
	ClosedNotSent  CloseHow = "not_sent" // its sender knows that it never left
	ClosedOperator CloseHow = "operator" // a person took the responsibility
)

// Write is one write to NATS, in the log before it is sent.
type Write struct {
	ID     WriteID         `json:"id"`
	Kind   WriteKind       `json:"kind"`
	Member MemberID        `json:"member"`
	Via    string          `json:"via"`              // the site it is sent through
	Config json.RawMessage `json:"config,omitempty"` // the whole desired config; none for a delete
	Shape  Shape           `json:"shape"`            // of Config
	Seq    uint64          `json:"seq"`              // order of opening within the stream
	Repair bool            `json:"repair,omitempty"`
	Closed CloseHow        `json:"closed,omitempty"` // "" while open
	Detail string          `json:"detail,omitempty"` // the server's words, when refused
}

// Open reports whether the write may still take effect.
func (w Write) Open() bool { return w.Closed == "" }

// beforeBegin reports whether a failover from primary has to wait for the write while it is open: it could give a stream
// subjects, or take one away, beside what the failover does.
func (w Write) beforeBegin(primary MemberID) bool {
	return w.Kind == WriteUnpark || (w.Kind == WriteBind || w.Kind == WriteDelete) && w.Member == primary
}

func compareWrites(a, b Write) int { return cmp.Compare(a.Seq, b.Seq) }
