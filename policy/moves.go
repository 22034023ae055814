package policy

import "time"

// View is a live reading of one member by the leader, through the site that its write would go through.
type View struct {
	Evidence Evidence
	// Snapshot is the answer, when there is one (Answered, AnsweredParked, NoLeader).
	Snapshot *Snapshot
	// Via is the site through which it was read; "" is the member's own.
	Via string
}

func (v View) answered() bool { return v.Evidence == Answered || v.Evidence == AnsweredParked }

// shape returns what an answering member is; unreadable configs count as not answered.
func (v View) shape() (Shape, bool) {
	if !v.answered() || v.Snapshot == nil {
		return Shape{}, false
	}
	s, err := ShapeOf(v.Snapshot.Config)
	return s, err == nil
}

// Views is what a step has read just now.
type Views struct {
	Members map[string]View
	// Owners are the streams that hold any of the attempt's subjects, as the target's meta group has it;
	// OwnersEvidence is Answered when that is known.
	Owners         []string
	OwnersEvidence Evidence
	// Ready says that a write probe on the target's parked subject was answered by a leader; Still that its last sequence
	// was the same in an earlier reading of this phase.
	Ready, Still bool
	// Running is the time since the attempt began, Silent that since its origin answered last, as far as this leader saw.
	Running, Silent time.Duration
	// Drained is the last sequence that the parked primary of a switchover gave to a message, by its own word after the
	// park; DrainedKnown says that it was given.
	Drained      uint64
	DrainedKnown bool
	// Newest is the sequence of the target at which the primary of a switchover was read, after the view of it, to hold
	// nothing beyond; nil when it does, or that is not known. What it gave to messages that are gone, as seeds are, its
	// mirrors may not hear of before the next message.
	Newest *uint64
	// Seed is what came of this step's seeding; nil before it.
	Seed *SeedRecord
	// NoneAt is when the parked primary of a switchover was read to have no durable consumers; zero when that is not known.
	NoneAt time.Time
	// Released says that this step has ended the pauses of the carried consumers.
	Released bool
}

// MoveKind is what a step does next.
type MoveKind string

// The kinds of move. Send means a write that is open already, or that is to be logged open first.
const (
	MoveSend   MoveKind = "send"
	MoveClose  MoveKind = "close"
	MoveResult MoveKind = "result"
	MoveNone   MoveKind = "none"
	// MoveCare logs what a phase of a member's care came to; MoveArchive has its tail archived.
	MoveCare    MoveKind = "care"
	MoveArchive MoveKind = "archive"
	// MoveReplay has an archive published again to the primary.
	MoveReplay MoveKind = "replay"
	// MoveSeed has the promoted target learn the newest message ids that it holds, at most MaxIDs; with 0 it only has removed what
	// an earlier seeding left.
	MoveSeed MoveKind = "seed"
	// MoveCarried logs what is known of the consumers without anything being done.
	MoveCarried MoveKind = "carried"
	// MoveFreeze has the newest snapshot of the consumers put into the log, MoveCarry the consumers created and reset at the
	// target, MoveRelease their pauses ended.
	MoveFreeze  MoveKind = "freeze"
	MoveCarry   MoveKind = "carry"
	MoveRelease MoveKind = "release"
	// MoveSource logs what came of a sourcing stream, MoveTrace has its messages read for how far it got.
	MoveSource MoveKind = "source"
	MoveTrace  MoveKind = "trace"
	// MoveSpare logs what came of a spare copy.
	MoveSpare MoveKind = "spare"
)

// Move is one move of a step: exactly what its kind names is set.
type Move struct {
	Kind   MoveKind
	Write  Write
	Resend bool // the write is in the log already
	// Seen goes into the log with Write; see OpenCommand.
	Seen *Snapshot
	// Ahead, when set, is a write that will follow in a later phase, and is logged open together with Write.
	Ahead  *Write
	Close  CloseCommand
	Result ResultCommand
	Care   CareCommand
	Carry  CarryCommand
	Source SourceCommand
	Spare  SpareCommand
	MaxIDs int
}
