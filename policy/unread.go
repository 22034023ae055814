package policy

import (
	"slices"
	"time"
)

// Unread is an origin that was deleted before anybody had read its tail (release: delete). What is lost with it is an estimate,
// until it is archived from a copy of its store.
type Unread struct {
	Epoch  uint64   `json:"epoch"`
	Member MemberID `json:"member"`
	// AtLeast is how many messages of it the new primary lacks, as far as anybody saw.
	AtLeast uint64 `json:"at_least"`
}

// SalvagedCommand says that a person has archived what a former primary held, from a copy of its store.
type SalvagedCommand struct {
	Stream string   `json:"stream"`
	By     string   `json:"by"`
	Member MemberID `json:"member"`
	Epoch  uint64   `json:"epoch"` // of the failover that replaced it
	Tail   Tail     `json:"tail"`  // verified
}

// leftUnread counts what was given up with an origin that was deleted.
func (st *StreamState) leftUnread(a Attempt) {
	st.Lost += a.Loss.AtLeast
	st.Unread = append(slices.Clone(st.Unread), Unread{Epoch: a.Epoch, Member: a.From, AtLeast: a.Loss.AtLeast})
}

// storeSalvaged takes in the account of such an archive. From then on the loss is known: all that the store holds beyond the
// primary is in it, and what the origin was seen to hold beyond that is lost.
func (st *StreamState) storeSalvaged(s *State, cmd Command) error {
	c := *cmd.Salvaged
	if !slices.ContainsFunc(st.Lineage, func(o Succession) bool { return o.Epoch == c.Epoch && o.From == c.Member }) {
		return refuse("the log does not know that %s was replaced as the primary of %s in failover %d", c.Member, st.Name, c.Epoch)
	}
	a := st.keepArchive(Archive{Tail: c.Tail, Member: c.Member, Epoch: c.Epoch})
	st.Unread = slices.DeleteFunc(slices.Clone(st.Unread), func(u Unread) bool {
		is := u.Member == c.Member && u.Epoch == c.Epoch
		if is {
			st.Lost -= min(st.Lost, u.AtLeast)
		}
		return is
	})
	st.noteSalvaged(s, cmd.At, a, c.By)
	return nil
}

func (st *StreamState) noteSalvaged(s *State, at time.Time, a Archive, by string) {
	reason := reasonf(Healthy, "the store of %s holds nothing above sequence %d, up to which %s has the same; read by %s",
		a.Member, a.Fork, st.Primary, by)
	if a.Stream != "" {
		reason = reasonf(InProgress, "%d messages of %s above sequence %d are archived in %s at %s, from a copy of its store, and verified, by %s; %s holds %d of them as well",
			a.Messages, a.Member, a.Fork, a.Tail.Stream, a.Site, by, st.Primary, a.OnPrimary)
	}
	s.note(at, st.Name, a.Epoch, "tail_salvaged", a.lostText(reason))
}
