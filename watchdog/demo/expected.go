package demo

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

//go:embed testdata/expected.txt
var expectedText string

// Expectation is what the table says of one cell.
type Expectation struct{ Outcome, Reason string }

// String is "outcome/reason".
func (e Expectation) String() string { return e.Outcome + "/" + e.Reason }

// Cell is one row of the table.
type Cell struct {
	Fault    Fault
	Topology natslab.Topology
	Mode     policy.Mode
	Want     Expectation
}

// Cells reads the table, in its order.
func Cells() ([]Cell, error) {
	var cells []Cell
	for line := range strings.Lines(expectedText) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 5 {
			return nil, fmt.Errorf("expected.txt: %q has %d fields, want fault topology mode outcome reason", line, len(f))
		}
		cells = append(cells, Cell{Fault(f[0]), natslab.Topology(f[1]), policy.Mode(f[2]), Expectation{f[3], f[4]}})
	}
	return cells, nil
}

// Expected looks a cell up. A mode changes only what would have failed over: where the table has no row for a mode, the
// row for unattended says what the mode leaves of it.
func Expected(f Fault, t natslab.Topology, m policy.Mode) (Expectation, error) {
	cells, err := Cells()
	if err != nil {
		return Expectation{}, err
	}
	var base Expectation
	for _, c := range cells {
		if c.Fault != f || c.Topology != t {
			continue
		}
		if c.Mode == m {
			return c.Want, nil
		}
		if c.Mode == policy.ModeUnattended {
			base = c.Want
		}
	}
	switch {
	case base == Expectation{}:
		return base, fmt.Errorf("expected.txt has no row for %s %s", f, t)
	case base.Outcome == FailedOver && m == policy.ModeManual:
		return Expectation{NoFailover, string(policy.AwaitingApproval)}, nil
	case base.Outcome == FailedOver && m == policy.ModeAlertOnly:
		return Expectation{NoFailover, string(policy.AlertOnly)}, nil
	}
	return base, nil
}
