package policy

// Phase is where an attempt stands.
type Phase string

// The phases, in the order of the table below.
const (
	PhaseConfirm   Phase = "confirm"
	PhaseFence     Phase = "fence"
	PhaseFenced    Phase = "fenced"
	PhaseDrain     Phase = "drain"
	PhasePromote   Phase = "promote"
	PhaseSeed      Phase = "seed"
	PhaseConsumers Phase = "consumers"
	PhaseBind      Phase = "bind"
	PhaseVerify    Phase = "verify"
	PhaseDone      Phase = "done"
	PhaseAborting  Phase = "aborting"
	PhaseAborted   Phase = "aborted"
)

// The phases of the care of one member after the primary has changed.
const (
	PhaseSeal     Phase = "seal"
	PhaseArchive  Phase = "archive"
	PhaseReplay   Phase = "replay"
	PhaseArchived Phase = "archived"
	PhaseDelete   Phase = "delete"
	PhaseCreate   Phase = "create"
	PhaseCatchUp  Phase = "catch_up"
	PhaseRejoined Phase = "rejoined"
)

// PhaseRow is one row of the phase table.
type PhaseRow struct {
	Phase Phase
	// Next follows when the phase is done.
	Next Phase
	// Abortable phases may lead to aborting instead.
	Abortable bool
	// HoldStops phases do not start while held: a hold stops a running failover before promote or after verify.
	HoldStops bool
	// SwitchoverOnly rows are skipped by a failover.
	SwitchoverOnly bool
	// FenceOnly rows are those of a fence ahead of the threshold alone.
	FenceOnly bool
	// Seeding rows are skipped by an attempt that seeds no message ids.
	Seeding bool
	// Carrying rows are skipped by a failover that knows of no consumers.
	Carrying bool
	// Final phases end the attempt.
	Final bool
}

var phaseTable = []PhaseRow{
	{Phase: PhaseConfirm, Next: PhaseFence, Abortable: true, HoldStops: true},
	{Phase: PhaseFence, Next: PhaseFenced, Abortable: true, HoldStops: true},
	{Phase: PhaseFenced, Next: PhaseDrain, Abortable: true, FenceOnly: true},
	{Phase: PhaseDrain, Next: PhasePromote, Abortable: true, SwitchoverOnly: true},
	{Phase: PhasePromote, Next: PhaseSeed, Abortable: true}, // until a promote is logged, see Apply
	{Phase: PhaseSeed, Next: PhaseConsumers, Seeding: true},
	{Phase: PhaseConsumers, Next: PhaseBind, Carrying: true},
	{Phase: PhaseBind, Next: PhaseVerify},
	{Phase: PhaseVerify, Next: PhaseDone},
	{Phase: PhaseDone, Final: true},
	{Phase: PhaseAborting, Next: PhaseAborted, HoldStops: true},
	{Phase: PhaseAborted, Final: true},

	{Phase: PhaseSeal, Next: PhaseArchive, HoldStops: true},
	{Phase: PhaseArchive, Next: PhaseArchived, HoldStops: true}, // or replay, if the config wants that
	{Phase: PhaseReplay, Next: PhaseArchived, HoldStops: true},
	{Phase: PhaseArchived, Next: PhaseDelete, HoldStops: true},
	{Phase: PhaseDelete, Next: PhaseCreate, HoldStops: true},
	{Phase: PhaseCreate, Next: PhaseCatchUp, HoldStops: true},
	{Phase: PhaseCatchUp, Next: PhaseRejoined, HoldStops: true},
	{Phase: PhaseRejoined, Final: true},
}

// Row returns the table's row of a phase; an unknown phase has the zero row.
func (p Phase) Row() PhaseRow {
	for _, r := range phaseTable {
		if r.Phase == p {
			return r
		}
	}
	return PhaseRow{}
}

// next is the phase that follows in an attempt.
func (a *Attempt) next() Phase {
	n := a.Phase.Row().Next
	for r := n.Row(); r.FenceOnly && a.Kind != KindFence || r.SwitchoverOnly && !a.planned() || r.Seeding && a.Seeds() == 0 || r.Carrying && !a.carries(); r = n.Row() {
		n = r.Next
	}
	return n
}

// Phases returns the table, for those who draw or check it.
func Phases() []PhaseRow { return append([]PhaseRow(nil), phaseTable...) }
