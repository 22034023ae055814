package policy

import (
	"fmt"
)

// AdoptCommand takes the streams as they are for the new state, by the word of a person: the way out of what somebody
// else has changed, and of a log that is older than the streams.
type AdoptCommand struct {
	Stream string `json:"stream"`
	By     string `json:"by"`
	// Epoch is StreamState.Epoch as the person was shown it.
	Epoch uint64 `json:"epoch"`
	// Site is the primary's, for when no stream holds the subjects.
	Site string `json:"site,omitempty"`
	// Rules are the stream's, as the leader has them: they name its members.
	Rules StreamRules `json:"rules"`
	// Members is what the leader's newest round has read of each, raw configs included.
	Members map[string]MemberRound `json:"members"`
}

// Role is what an adoption makes of a member.
type Role string

// The roles. A retired member is fenced whenever it answers; an unseen one stays as the log has it; a forgotten one was
// deleted, and counts for nothing until it comes back; of one that is cared for since a failover, the care goes on.
const (
	RolePrimary   Role = "primary"
	RoleMirror    Role = "mirror"
	RoleRetired   Role = "retired"
	RoleForgotten Role = "forgotten"
	RoleUnseen    Role = "unseen"
	RoleCared     Role = "cared_for"
)

// Adopted is what an adoption makes of one member.
type Adopted struct {
	ID   MemberID `json:"member"`
	Role Role     `json:"role"`
	Text string   `json:"text"`
}

// Adoption is what an AdoptCommand comes to.
type Adoption struct {
	Primary MemberID  `json:"primary"`
	Epoch   uint64    `json:"epoch"` // that it uses up
	Members []Adopted `json:"members"`
	// Closed are the open writes that the person answers for from here on.
	Closed []WriteID `json:"closed,omitempty"`
	// Ends names an attempt that had promoted nothing yet.
	Ends string `json:"ends,omitempty"`
}

// adoptedBare stands for the write that asked for an adopted shape which bears no mark of ours.
const adoptedBare WriteID = "adopted"

// PlanAdoption says what an adoption would come to. A refusal wraps ErrRefused and names what to put right first.
func PlanAdoption(s State, c AdoptCommand) (Adoption, error) {
	st, ok := s.Streams[c.Stream]
	if !ok {
		return Adoption{}, refuse("stream %q is not known", c.Stream)
	}
	a, err := newAdopter(st, c)
	return a.plan, err
}

// String tells the adoption in one line.
func (p Adoption) String() string {
	parts := make([]string, 0, len(p.Members))
	for _, m := range p.Members {
		parts = append(parts, fmt.Sprintf("%s %s", m.ID, m.Role))
	}
	return list(parts)
}

// adopter judges one adoption.
type adopter struct {
	st       StreamState
	c        AdoptCommand
	ids      []MemberID
	shapes   map[MemberID]Shape // of those that answer
	subjects []string           // that the primary is to hold, as far as the log knows
	plan     Adoption
}

func newAdopter(st StreamState, c AdoptCommand) (adopter, error) {
	a := adopter{st: st, c: c, ids: watched(st, c.Rules), shapes: map[MemberID]Shape{}}
	a.look()
	if err := a.mayAdopt(); err != nil {
		return a, err
	}
	if err := a.findPrimary(); err != nil {
		return a, err
	}
	if err := a.mayLead(a.plan.Primary); err != nil {
		return a, err
	}
	for _, id := range a.ids {
		role, text := a.role(id)
		if role == "" {
			return a, refuse("%s", text)
		}
		a.plan.Members = append(a.plan.Members, Adopted{ID: id, Role: role, Text: text})
	}
	a.plan.Epoch = a.epoch()
	for _, w := range st.openWrites() {
		if a.read(w.Member) && !a.alone(w.Member) {
			a.plan.Closed = append(a.plan.Closed, w.ID)
		}
	}
	if at := st.Attempt; at != nil {
		a.plan.Ends = fmt.Sprintf("%s %d", at.Kind, at.Epoch)
	}
	return a, nil
}

// mayAdopt refuses what would leave a promise behind half kept.
func (a adopter) mayAdopt() error {
	at := a.st.Attempt
	if at == nil {
		at = &Attempt{}
	}
	switch {
	case a.c.Rules.Name != a.st.Name:
		return refuse("the rules are not those of %s", a.st.Name)
	case a.c.Epoch != a.st.Epoch:
		return refuse("%s has gone on meanwhile (epoch %d, not %d): look again", a.st.Name, a.st.Epoch, a.c.Epoch)
	case at.PromoteOpened && at.Waiting.Code == InProgress:
		return refuse("%s %d is at %s, and goes on by itself", at.Kind, at.Epoch, at.Phase)
	case at.PromoteOpened && !a.isOwn(at.Target) && !a.remade(*at):
		return refuse("%s %d has sent a promote of %s, which may still take effect: it goes on when that answers; if its site is gone for good: `understudy failover %s --abandon %s`",
			at.Kind, at.Epoch, at.Target, a.st.Name, at.Target.Site)
	case at.DeleteOpened && !a.read(at.From):
		return refuse("a delete of %s was sent and may still take effect: %s %d goes on once it has", at.From, at.Kind, at.Epoch)
	}
	return nil
}

// look takes in what answers, and which subjects this is about.
func (a *adopter) look() {
	for _, id := range a.ids {
		r := a.c.Members[id.String()]
		if !r.Reachable() || r.Now == nil {
			continue
		}
		if shape, err := ShapeOf(r.Now.Config); err == nil {
			a.shapes[id] = shape
		}
	}
	if at := a.st.Attempt; at != nil {
		a.subjects = at.Subjects
	} else if shape, err := ShapeOf(a.st.Members[a.st.Primary.String()].Original); err == nil {
		a.subjects = shape.Subjects
	}
}

// findPrimary finds the one stream that holds the subjects; where that is not clear, the person says which.
func (a *adopter) findPrimary() error {
	var bound []MemberID
	for _, id := range a.ids {
		if !a.isBound(id) {
			continue
		}
		for _, other := range bound {
			if overlap(a.shapes[id].Subjects, a.shapes[other].Subjects) {
				return refuse("%s and %s both hold %s: take it from one (`nats stream edit NAME --subjects '$devnull.SITE.NAME'`) or delete that, then adopt",
					other, id, list(a.shapes[id].Subjects))
			}
		}
		bound = append(bound, id)
	}
	switch {
	case a.c.Site != "":
		return a.givenPrimary(bound)
	case len(bound) == 1 && (len(a.subjects) == 0 || overlap(a.shapes[bound[0]].Subjects, a.subjects)):
		a.plan.Primary = bound[0]
		return nil
	}
	return a.unclear(bound)
}

// isBound reports whether a member answers bound to subjects of somebody's choice: a stream that was promoted without any
// has its name for one.
func (a adopter) isBound(id MemberID) bool {
	shape, ok := a.shapes[id]
	nameless := len(shape.Subjects) == 1 && shape.Subjects[0] == id.Stream
	return ok && shape.Kind == ShapeBound && !(nameless && len(a.subjects) > 0 && !overlap(shape.Subjects, a.subjects))
}

// isOwn reports whether a member answers as a stream of its own, no mirror.
func (a adopter) isOwn(id MemberID) bool {
	shape, ok := a.shapes[id]
	return ok && shape.Kind != ShapeMirror
}

// remade reports that what answers under the name of an attempt's target was made there since: no promote of ours waits for it.
func (a adopter) remade(at Attempt) bool {
	now := a.c.Members[at.Target.String()].Now
	_, seen := a.shapes[at.Target]
	return seen && at.remade(*now)
}

// mayLead refuses a primary that may be taken away again, or that takes no message any more.
func (a adopter) mayLead(id MemberID) error {
	if w, open := a.st.Members[id.String()].openOf(WriteDelete); open && a.c.Site == "" {
		return refuse("a delete of %s (write %s) was sent through %s and may still take effect; if you know that it cannot any more: `understudy adopt %s --primary %s`",
			id, w.ID, w.Via, a.st.Name, id.Site)
	}
	if now := a.c.Members[id.String()].Now; now != nil && Sealed(now.Config) {
		return refuse("%s is sealed, and takes no message any more", id)
	}
	return nil
}

// unclear asks for the primary, and tells what there is.
func (a adopter) unclear(bound []MemberID) error {
	what := "no stream that answers holds " + orSubjects(a.subjects)
	if len(bound) > 0 {
		parts := make([]string, 0, len(bound))
		for _, id := range bound {
			parts = append(parts, fmt.Sprintf("%s holds %s", id, list(a.shapes[id].Subjects)))
		}
		what = fmt.Sprintf("%s was about %s, and %s", a.st.Name, orSubjects(a.subjects), list(parts))
	}
	if r := a.c.Members[a.st.Primary.String()]; !a.read(a.st.Primary) {
		what += fmt.Sprintf("; nobody sees %s, the primary in the log (%s)", a.st.Primary, r.Evidence)
	}
	return refuse("%s: say which one is the primary: `understudy adopt %s --primary SITE`", what, a.st.Name)
}

// givenPrimary is the member that the person names: a stream of its own, which lacks at most the subjects.
func (a *adopter) givenPrimary(bound []MemberID) error {
	var own []MemberID
	for _, id := range a.ids {
		if id.Site == a.c.Site && a.isOwn(id) {
			own = append(own, id)
		}
	}
	switch {
	case len(own) == 0:
		return refuse("no stream of its own answers at %s: a mirror must be promoted first (`nats stream edit`)", a.c.Site)
	case len(own) > 1:
		return refuse("%s and %s at %s are both no mirrors: delete one, then adopt", own[0], own[1], a.c.Site)
	}
	a.plan.Primary = own[0]
	if a.isBound(own[0]) {
		return nil
	}
	if Sealed(a.c.Members[own[0].String()].Now.Config) {
		return refuse("%s is sealed for good, and takes no subjects: promote a mirror of it (`nats stream edit`), or make a stream anew", own[0])
	}
	if len(a.subjects) == 0 {
		return refuse("nobody knows the subjects of %s: give them to %s (`nats stream edit`), then adopt", a.st.Name, own[0])
	}
	for _, id := range bound {
		if overlap(a.shapes[id].Subjects, a.subjects) {
			return refuse("%s holds %s: take them from it (`nats stream edit %s --subjects '%s'`), or adopt it as the primary", id, list(a.shapes[id].Subjects), id.Stream, ParkSubject(id))
		}
	}
	return nil
}

func orSubjects(subjects []string) string {
	if len(subjects) == 0 {
		return "subjects"
	}
	return list(subjects)
}

// role says what becomes of one member; "" refuses, and the text says why.
func (a adopter) role(id MemberID) (Role, string) {
	m, r := a.st.Members[id.String()], a.c.Members[id.String()]
	shape, seen := a.shapes[id]
	replaced := id == a.st.Primary && id != a.plan.Primary
	switch {
	case a.alone(id):
		return RoleCared, fmt.Sprintf("is taken care of since failover %d, and goes on so", max(m.Retired, m.Stray, a.st.Aftercare[id.String()].Epoch))
	case id == a.plan.Primary && a.isBound(id):
		return RolePrimary, "holds " + list(shape.Subjects)
	case id == a.plan.Primary:
		return RolePrimary, fmt.Sprintf("is %s, and will be bound to %s", shape, list(a.subjects))
	case seen && shape.Kind == ShapeMirror:
		return RoleMirror, "is a " + shape.String()
	case seen && shape.Kind == ShapeParked:
		return RoleRetired, "is parked, and stays so"
	case seen && (replaced || m.Retired > 0 || m.Abandoned > 0):
		return RoleRetired, fmt.Sprintf("is %s, and will be parked", shape)
	case seen:
		return "", fmt.Sprintf("%s is %s, beside %s: it becomes a mirror again only by being deleted and made anew. Delete it, then adopt", id, shape, a.plan.Primary)
	case r.Evidence == NotFound:
		return RoleForgotten, "was deleted; it is forgotten until it comes back"
	case replaced:
		return RoleRetired, fmt.Sprintf("is not seen (%s); it was the primary, and will be parked when it answers", r.Evidence)
	}
	return RoleUnseen, fmt.Sprintf("is not seen (%s); it stays as the log has it", r.Evidence)
}

// epoch is above that of every mark of ours: no old one counts as newer from here on.
func (a adopter) epoch() uint64 {
	top := a.st.Epoch
	for _, id := range a.ids {
		top = max(top, StampOf(a.st.Members[id.String()].Config).Write.Epoch())
		if now := a.c.Members[id.String()].Now; now != nil {
			top = max(top, StampOf(now.Config).Write.Epoch())
		}
	}
	return top + 1
}

// read reports whether it is known what there is of a member.
func (a adopter) read(id MemberID) bool {
	_, seen := a.shapes[id]
	return seen || a.c.Members[id.String()].Evidence == NotFound
}
