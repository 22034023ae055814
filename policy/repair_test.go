package policy

import "testing"

// TestRepairLeavesOthersWrites: a repair that was begun before a care, or an attempt, sends nothing of theirs: they count their
// copy as the only one, and a refusal of it as the word that it did nothing.
func TestRepairLeavesOthersWrites(t *testing.T) {
	east, west := memberOf("east/EVENTS"), memberOf("west/W")
	parked := Shape{Kind: ShapeParked, Subjects: []string{ParkSubject(east)}}
	raw := []byte(`{"name":"EVENTS","subjects":["` + ParkSubject(east) + `"],"metadata":{"understudy.write":"3.park.4"}}`)
	view := View{Evidence: AnsweredParked, Snapshot: &Snapshot{Config: raw}}
	open := func(kind WriteKind, id WriteID) Write { return Write{ID: id, Kind: kind, Member: east, Shape: parked} }
	for _, c := range []struct {
		name    string
		writes  []Write
		attempt *Attempt
		want    WriteID
	}{
		{"an older park", []Write{open(WritePark, "1.park.1")}, nil, "1.park.1"},
		{"the seal of its care", []Write{open(WriteSeal, "3.seal.5")}, nil, ""},
		{"the older park beside the seal", []Write{open(WriteSeal, "3.seal.5"), open(WritePark, "1.park.1")}, nil, "1.park.1"},
		{"the park of an attempt", []Write{open(WritePark, "4.park.6")}, &Attempt{From: east, Target: west}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := StreamState{Name: "EVENTS", Primary: west, Epoch: 3, Attempt: c.attempt,
				Members: map[string]MemberState{east.String(): {ID: east, Retired: 3, Want: &parked, WantWrite: "3.park.4", Config: raw, Writes: c.writes}}}
			if m := Repair(st, "wd-west", east, "east", view); m.Write.ID != c.want {
				t.Errorf("sends %q, want %q", m.Write.ID, c.want)
			}
		})
	}
}
