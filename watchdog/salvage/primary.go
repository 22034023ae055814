package salvage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/understudy-ha/understudy/policy"
)

// ErrNoPrimary says that the members do not show which of them is the primary.
var ErrNoPrimary = errors.New("no single primary")

// FindPrimary tells which of a stream's members holds the subjects now, for when no watchdog can be asked: the one that is
// neither a mirror, nor parked, nor sealed. Members that do not answer are passed over. It returns ErrNoPrimary when
// that is not exactly one.
func FindPrimary(ctx context.Context, members []Side) (Side, error) {
	var (
		bound []Side
		said  []string
	)
	for _, m := range members {
		what, err := m.role(ctx)
		if err != nil {
			what = err.Error()
		}
		if said = append(said, fmt.Sprintf("%s: %s", m, what)); what == roleBound {
			bound = append(bound, m)
		}
	}
	if len(bound) != 1 {
		return Side{}, fmt.Errorf("%w: %s", ErrNoPrimary, strings.Join(said, "; "))
	}
	return bound[0], nil
}

const roleBound = "holds the subjects"

func (s Side) role(ctx context.Context) (string, error) {
	info, err := s.info(ctx)
	if err != nil {
		return "", err
	}
	var config struct {
		Sealed bool `json:"sealed"`
	}
	if err := json.Unmarshal(info.Config, &config); err != nil {
		return "", fmt.Errorf("unreadable config: %w", err)
	}
	shape, err := policy.ShapeOf(info.Config)
	switch {
	case err != nil:
		return "", err
	case config.Sealed:
		return "sealed", nil
	case shape.Kind != policy.ShapeBound:
		return shape.String(), nil
	}
	return roleBound, nil
}
