package salvage

import "context"

// tally says what the primary holds of some messages of the tail. One tally is about as many messages as fit into
// memory; a longer tail has one after the other.
type tally struct {
	held map[key]*holding
}

// holding is what the primary has of one key.
type holding struct {
	first uint64 // the lowest sequence that has it
	times int
	spent int // copies that stand for earlier messages of the tail
}

// tallied is how many messages one tally is about: some 100 bytes each.
const tallied = 100_000

func newTally() *tally { return &tally{held: map[key]*holding{}} }

func (t *tally) want(k key) {
	if t.held[k] == nil {
		t.held[k] = &holding{}
	}
}

// look reads the primary in a range, and counts the keys that are wanted. What a replay put there is no copy of a content:
// it has an id in any case.
func (t *tally) look(ctx context.Context, primary Side, from, to uint64) error {
	return primary.read(ctx, from, to, func(m *message) error {
		k, _ := m.key()
		t.saw(k, m.seq)
		if mark := m.value(headerSalvage); mark != "" {
			t.saw(markKey(mark, m.value(headerTime)), m.seq)
		}
		return nil
	})
}

func (t *tally) saw(k key, seq uint64) {
	h := t.held[k]
	if h == nil {
		return
	}
	if h.times++; h.first == 0 {
		h.first = seq
	}
}

// spend is told of a message of the tail that comes before those of this tally: of several that nothing tells apart,
// the primary's copies belong to the first ones.
func (t *tally) spend(k key) {
	if h := t.held[k]; h != nil {
		h.spent++
	}
}

// contended says whether the primary has any copy that is told apart by counting only: else nothing is to be spent.
func (t *tally) contended(counted map[key]bool) bool {
	for k := range counted {
		if t.held[k].times > 0 {
			return true
		}
	}
	return false
}

// take says at which sequence the primary has a message of the tail; 0: it has none, or none left.
func (t *tally) take(k key, counted bool) uint64 {
	h := t.held[k]
	if h == nil || h.times == 0 {
		return 0
	}
	if !counted {
		return h.first
	}
	h.spent++
	if h.spent > h.times {
		return 0
	}
	return h.first
}

// markKey is the key of a replayed message: its Understudy-Salvage header, and the time at which the old origin stored it.
// So the archives of one failover know each other's messages: of a mirror that followed the old origin, the tail is the
// same one.
func markKey(mark, at string) key {
	return keyOf(bySalvage, []byte(mark), []byte(at))
}
