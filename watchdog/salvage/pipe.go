package salvage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// answerPatience is how long the oldest request of a pipe may go without an answer.
const answerPatience = 10 * time.Second

// pipe has many requests under way at once, and gives their answers in the order of the requests. It belongs to one
// goroutine.
type pipe struct {
	conn  *nats.Conn
	sub   *nats.Subscription
	inbox string
	sent  uint64
	taken uint64
	early map[uint64]*nats.Msg // answers that came before an older one's
}

func openPipe(conn *nats.Conn) (*pipe, error) {
	p := &pipe{conn: conn, inbox: conn.NewInbox() + ".", early: map[uint64]*nats.Msg{}}
	sub, err := conn.SubscribeSync(p.inbox + "*")
	if err != nil {
		return nil, fmt.Errorf("subscribe to the answers: %w", kindOf(err))
	}
	p.sub = sub
	if err := sub.SetPendingLimits(-1, -1); err != nil { // whoever sends bounds them
		p.close()
		return nil, fmt.Errorf("subscribe to the answers: %w", kindOf(err))
	}
	return p, nil
}

func (p *pipe) close() { _ = p.sub.Unsubscribe() } // fails on a lost connection only

// waiting counts the requests without an answer.
func (p *pipe) waiting() int { return int(p.sent - p.taken) }

func (p *pipe) send(m *nats.Msg) error {
	m.Reply = p.inbox + strconv.FormatUint(p.sent, 10)
	if err := p.conn.PublishMsg(m); err != nil {
		return fmt.Errorf("send to %s: %w", m.Subject, kindOf(err))
	}
	p.sent++
	return nil
}

// take waits for the answer to the oldest request.
func (p *pipe) take(ctx context.Context) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	for {
		if m := p.early[p.taken]; m != nil {
			delete(p.early, p.taken)
			p.taken++
			if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
				return nil, jsapi.ErrNoResponders
			}
			return m, nil
		}
		m, err := p.sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, kindOf(err)
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, p.inbox), 10, 64)
		if err != nil {
			return nil, errors.New("an answer to nothing that was asked")
		}
		if n >= p.taken {
			p.early[n] = m
		}
	}
}
