package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Prepared is a consumer at the promoted stream, before it is let go.
type Prepared struct {
	policy.ConsumerOutcome
	// Reset says that it stands elsewhere than at From, and has to be reset.
	Reset bool
	// Err, when not nil, leaves open what became of it: Prepare it again.
	Err error
	// level is the API level of the server that leads it, which in a mixed cluster is not everyone's; 0 when not told.
	level int
}

// Prepare ensures that each consumer exists at the promoted stream, held by a pause of ours, and tells what is left to do
// with it. It may be called again, by another leader too: what is there already is taken. The context limits all together.
//
// A consumer whose server says no is failed; the others go on.
func (t Target) Prepare(ctx context.Context, all []policy.Consumer) []Prepared {
	done := make([]Prepared, len(all))
	each(len(all), func(i int) { done[i] = t.prepare(ctx, all[i]) })
	return done
}

func (t Target) prepare(ctx context.Context, c policy.Consumer) Prepared {
	from := Position(c, t.LastSeq)
	p := Prepared{ConsumerOutcome: policy.ConsumerOutcome{Name: c.Name, From: from, MayRedeliver: t.mayRedeliver(c, from)}}
	own, requires, note, err := t.ownConfig(c.Config)
	if err != nil {
		p.ConsumerOutcome = failed(c.Name, err)
		return p
	}
	p.note(note)
	w, err := t.wayOf(ctx, c, own, from)
	if err != nil {
		return p.failed(fmt.Errorf("look for the beginning of consumer %s: %w", c.Name, err))
	}
	config := own
	if p.From = w.from; w.start {
		config = own.at(w.from)
	}
	info, err := t.ensure(ctx, c.Name, config, requires)
	if err != nil {
		return p.failed(fmt.Errorf("create consumer %s on %s: %w", c.Name, t.Stream, err))
	}
	if gone := lost(config, info.Config); len(gone) > 0 {
		p.note("the server does not know " + strings.Join(gone, ", "))
	}
	p.judge(c, info)
	return p
}

// mayRedeliver counts no message that the target does not hold.
func (t Target) mayRedeliver(c policy.Consumer, from uint64) uint64 {
	return min(mayRedeliver(c, from), less(t.LastSeq+1, from))
}

// ensure creates a consumer, or finds the one of its name.
func (t Target) ensure(ctx context.Context, name string, config rawConfig, requires string) (*jsapi.ConsumerInfo, error) {
	info, err := t.Conn.CreateConsumer(ctx, t.Stream, name, config.bytes(), requires)
	if errors.Is(err, jsapi.ErrConsumerExists) {
		return t.Conn.ConsumerInfo(ctx, t.Stream, name)
	}
	return info, err
}

// judge says what the consumer that stands there is, however it came there.
func (p *Prepared) judge(c policy.Consumer, info *jsapi.ConsumerInfo) {
	is, was := settingsOf(info.Config), settingsOf(c.Config)
	p.level, _ = strconv.Atoi(is.Metadata[serverPrivate+"level"])
	switch {
	case !isMark(is.PauseUntil):
		p.How, p.MayRedeliver, p.From = policy.ConsumerExisting, 0, 0
		p.note("the stream has a consumer of this name that was not made by the failover: it is left as it is")
	case is.DeliverPolicy == byStartSequence && (was.DeliverPolicy != byStartSequence || is.OptStartSeq != was.OptStartSeq):
		p.How, p.From = policy.ConsumerStartSequence, is.OptStartSeq
		p.note(fmt.Sprintf("it begins by %s instead of %s: to update it with the latter is refused (10012)", is, was))
	case SeenReset(info, p.From) || !resettable(is):
		p.How = policy.ConsumerCreated
	default:
		p.How, p.Reset = policy.ConsumerReset, true
	}
}

// resettable tells the deliver policies that a reset is allowed with.
func resettable(s settings) bool {
	return s.DeliverPolicy == deliverAll || s.DeliverPolicy == byStartSequence || s.DeliverPolicy == byStartTime
}

// failed ends a consumer's preparation, for good if the server refuses it.
func (p Prepared) failed(err error) Prepared {
	if refused(err) {
		return Prepared{ConsumerOutcome: failed(p.Name, err)}
	}
	p.Err = err
	return p
}

func (p *Prepared) note(text string) {
	if p.Text != "" && text != "" {
		p.Text += "; "
	}
	p.Text += text
}
