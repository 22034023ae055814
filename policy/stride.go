package policy

// Stride is what one reading is good for in a switchover, while publishers wait: what is known goes to the log together,
// before the one move that acts.
type Stride struct {
	// Before are the commands that come before the move, in their order; they may be committed as one, with the move's own.
	Before []Command
	Move   Move
	// State is the stream's once Before is committed: what the move was made from.
	State StreamState
}

// maxStride is far more than a switchover has phases.
const maxStride = 32

// MakeStride is Ensure for an attempt that replaces a living primary: it goes on, with the same views, over every phase
// that they show to be done. Of a failover, whose phases are to be read apart, it is the one move that Ensure makes.
func MakeStride(s State, name, node string, v Views) Stride {
	stride := Stride{State: s.Streams[name]}
	for range maxStride {
		stride.Move = Ensure(stride.State, node, v)
		c, passes := stride.Move.passes()
		if !passes || !stride.State.Attempt.planned() {
			break
		}
		next, err := Apply(s, c)
		if err != nil {
			break
		}
		s, stride.State = next, next.Streams[name]
		stride.Before = append(stride.Before, c)
	}
	return stride
}

// passes returns the command of a move after which the same views serve for the next one.
func (m Move) passes() (Command, bool) {
	switch {
	case m.Kind == MoveClose:
		return Command{Close: &m.Close}, true
	case m.Kind == MoveCarried:
		return Command{Carry: &m.Carry}, true
	case m.Kind == MoveResult && m.Result.Outcome == OutcomeDone:
		return Command{Result: &m.Result}, true
	}
	return Command{}, false
}

// Foresee is the state once the commands are committed that the log will take; it refuses the same ones.
func Foresee(s State, commands []Command) State {
	for _, c := range commands {
		if next, err := Apply(s, c); err == nil {
			s = next
		}
	}
	return s
}

// Together is one command that is taken as all of these in their order, or refused.
func Together(list []Command) Command {
	if len(list) == 1 {
		return list[0]
	}
	return Command{All: list}
}

func applyAll(s State, c Command) (State, error) {
	next := s
	for _, part := range c.All {
		if len(part.All) > 0 {
			return s, refuse("a command within a command holds others")
		}
		part.At, part.By = c.At, c.By
		var err error
		if next, err = Apply(next, part); err != nil {
			return s, err
		}
	}
	return next, nil
}
