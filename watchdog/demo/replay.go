package demo

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// replayed are the archives that were replayed, by name.
type replayed map[string]bool

// replay publishes what the archives hold and the primary lacks, as the operator's command does.
func (st *story) replay(ctx context.Context) error {
	for _, a := range st.w.stream.Archives {
		if a.Stream == "" || st.replayed[a.Stream] {
			continue
		}
		st.tell.now("operator", "command", "understudy salvage replay "+streamName)
		var r salvage.Replayed
		primary := st.w.stream.Primary
		err := st.meanwhile(ctx, func(ctx context.Context) (err error) {
			r, err = st.replayOne(ctx, a, primary)
			return err
		})
		if err != nil {
			return err
		}
		st.replayed[a.Stream] = true
		st.tell.now("operator", "replayed", fmt.Sprintf("%s: %d messages published again, %d were on the primary already, %d failed",
			a.Stream, r.Replayed, r.OnPrimary+r.Already, r.Failed))
	}
	return nil
}

func (s *scene) replayOne(ctx context.Context, a policy.Archive, to policy.MemberID) (salvage.Replayed, error) {
	archive, err := s.side(ctx, policy.MemberID{Site: a.Site, Stream: a.Stream})
	if err != nil {
		return salvage.Replayed{}, err
	}
	defer archive.Conn.Close()
	primary, err := s.side(ctx, to)
	if err != nil {
		return salvage.Replayed{}, err
	}
	defer primary.Conn.Close()
	return salvage.Replay(ctx, salvage.ReplayJob{Archive: archive, Primary: primary})
}

// side connects to a stream as the salvage reads it. The caller closes the connection.
func (s *scene) side(ctx context.Context, id policy.MemberID) (salvage.Side, error) {
	site := s.lab.Site(id.Site)
	l := jsapi.Login{Name: "demo", Servers: site.URLs(), User: site.User(), Password: site.Password(), Domain: site.Domain}
	nc, err := jsapi.DialBulk(ctx, l)
	if err != nil {
		return salvage.Side{}, fmt.Errorf("connect to %s: %w", id, err)
	}
	return salvage.Side{Site: salvage.Site{Name: id.Site, Conn: nc, Domain: site.Domain}, Stream: id.Stream}, nil
}

// archived are the ids of all messages in the stream's archives.
func (st *story) archived(ctx context.Context) (map[string]bool, error) {
	ids := map[string]bool{}
	for _, a := range st.w.stream.Archives {
		if a.Stream == "" {
			continue
		}
		side, err := st.side(ctx, policy.MemberID{Site: a.Site, Stream: a.Stream})
		if err != nil {
			return nil, err
		}
		err = salvage.Show(ctx, side, "", func(e salvage.Entry) error {
			ids[e.Headers.Get(nats.MsgIdHdr)] = true
			return nil
		})
		side.Conn.Close()
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}
