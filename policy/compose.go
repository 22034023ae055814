package policy

import (
	"encoding/json"
	"fmt"
)

// send is the write of a kind that the phase needs: the open one again if it may be repeated, else a new one.
func (e ensurer) send(kind WriteKind, id MemberID) Move {
	m := e.st.Members[id.String()]
	for _, w := range m.Writes {
		overtaken := kind == WriteBind && m.WantWrite != w.ID // by another promote: the log wants what that makes
		if w.Open() && w.Kind == kind && w.ID.Epoch() == e.a.Epoch && kind.repeatable() && !overtaken {
			w.Via = e.via(w)
			return Move{Kind: MoveSend, Write: w, Resend: true}
		}
	}
	w, err := compose(e.st, e.node, kind, id, e.raw(id), e.a)
	if err != nil {
		return e.wait(ChangedOutside, "%s: %v", id, err)
	}
	w.Via = e.via(w)
	return Move{Kind: MoveSend, Write: w}
}

// withBind adds to the first promote of a switchover the bind that will follow it. Publishers wait, and there is only forward
// from here on: the log takes both intents at once, and the bind is sent when its phase comes.
func (e ensurer) withBind(m Move) Move {
	if m.Kind != MoveSend || m.Resend {
		return m
	}
	st := e.st
	st.WriteSeq++ // of the promote
	if bind, err := compose(st, e.node, WriteBind, e.a.Target, m.Write.Config, e.a); err == nil {
		bind.Via = e.via(bind)
		m.Ahead = &bind
	}
	return m
}

// via is the site through which a write goes: that of a switchover to its primary goes where the primary answers, since the
// target's site may be what is gone.
func (e ensurer) via(w Write) string {
	switch {
	case !e.a.planned() || w.Member != e.a.From:
		return w.Via
	case e.from().Via != "":
		return e.from().Via
	}
	return w.Member.Site
}

// raw is the newest config of a member: just read, or else as the log has it.
func (e ensurer) raw(id MemberID) json.RawMessage {
	if s := e.v.Members[id.String()].Snapshot; s != nil && len(s.Config) > 0 {
		return s.Config
	}
	return e.st.Members[id.String()].Config
}

// compose makes a new write: its id, its whole desired config and the resulting shape.
func compose(st StreamState, node string, kind WriteKind, id MemberID, raw json.RawMessage, a *Attempt) (Write, error) {
	w := Write{ID: NewWriteID(st.Epoch, kind, int(st.WriteSeq)+1), Kind: kind, Member: id, Via: id.Site}
	if a != nil && a.Shared && id == a.From {
		w.Via = a.Target.Site // the origin's own site may be gone; its meta group is the target's
	}
	if kind == WriteDelete {
		return w, nil
	}
	stamp, m := Stamp{Write: w.ID, Watchdog: node}, st.Members[id.String()]
	var err error
	switch kind {
	case WritePark:
		w.Config, err = ParkConfig(raw, id, stamp)
	case WriteUnpark:
		w.Config, err = UnparkConfig(raw, m.Original, stamp)
	case WritePromote:
		w.Config, err = PromoteConfig(raw, a.Origin, id, stamp)
	case WriteBind:
		w.Config, err = BindConfig(raw, boundBefore(m, a), bindSubjects(m, a), stamp)
	default:
		err = fmt.Errorf("write kind %q is not known", kind)
	}
	if err != nil {
		return Write{}, err
	}
	w.Shape, err = ShapeOf(w.Config)
	return w, err
}

// boundBefore is the config of a promoted member's own earlier bind, when that is repaired.
func boundBefore(m MemberState, a *Attempt) json.RawMessage {
	if a != nil {
		return nil
	}
	return m.Original
}

// bindSubjects are those of the attempt or, when a bind is repaired, those that the log wants.
func bindSubjects(m MemberState, a *Attempt) []string {
	if a != nil {
		return a.Subjects
	}
	if m.Want == nil {
		return nil
	}
	return m.Want.Subjects
}
