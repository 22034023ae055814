package demo

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestTail accounts for messages that only the dead origin's store holds: acked while the site was cut off.
func TestTail(t *testing.T) {
	for _, o := range []Options{{Topology: natslab.Domains}, {Topology: natslab.Supercluster}} {
		t.Run(string(o.Topology), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), playTime)
			defer cancel()
			o.Mode = policy.ModeAlertOnly
			o = o.withDefaults()
			s := &scene{o: o, tell: newTeller(o)}
			defer func() {
				if err := s.close(); err != nil {
					t.Error(err)
				}
			}()
			if err := s.build(ctx); err != nil {
				t.Fatal(err)
			}
			const both, alone = 30, 20
			acked := map[string]bool{}
			publishAt(ctx, t, s, acked, both)
			mirror := policy.MemberID{Site: "west", Stream: mirrorOf["west"]}
			if err := poll(ctx, func(ctx context.Context) error {
				held, err := s.readStream(ctx, mirror)
				if err == nil && held.last != both {
					err = fmt.Errorf("the mirror is at %d, want %d", held.last, both)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := s.lab.Cut(origin, natslab.BlackHole); err != nil {
				t.Fatal(err)
			}
			publishAt(ctx, t, s, acked, alone)
			acked["never stored"] = true
			r := Result{Outcome: FailedOver}
			if err := s.find(ctx, mirror, acked, &r); err != nil {
				t.Fatal(err)
			}
			if r.OnPrimary != both || r.Tail != alone || r.Lost != 1 || r.Duplicates != 0 {
				t.Errorf("%d on the primary, %d in the tail, %d lost, %d duplicates, want %d, %d, 1, 0", r.OnPrimary, r.Tail, r.Lost, r.Duplicates, both, alone)
			}
		})
	}
}

// publishAt publishes n messages inside of the origin's site, and notes their ids.
func publishAt(ctx context.Context, t *testing.T, s *scene, acked map[string]bool, n int) {
	t.Helper()
	nc, err := s.connect(ctx, origin)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	p := &publishers{conns: []*nats.Conn{nc}, acks: []map[string]int{{}}}
	for range n {
		id := fmt.Sprintf("m%d", len(acked)+1)
		if err := poll(ctx, func(ctx context.Context) error {
			if end := p.try(ctx, 0, nc, id); end != ackOK {
				return fmt.Errorf("%s: %s", id, end)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		acked[id] = true
	}
}
