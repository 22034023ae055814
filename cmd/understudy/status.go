package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func statusCommand(a *app) *cobra.Command {
	var asJSON, follow, all bool
	cmd := &cobra.Command{
		Use:   "status [STREAM...]",
		Short: "Show the watchdogs and every guarded stream",
		Long: `Show who leads, whether the watchdogs have a quorum, whether they are held, and every guarded stream with its
members and what each watchdog says of its primary. Of many streams, the healthy ones get one line each.`,
		Args:              args(cobra.ArbitraryArgs),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			if asJSON && follow {
				return usageError(cmd, errors.New("give --json or --watch, not both"))
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if follow {
				return a.watchStatus(cmd.Context(), c, names, all)
			}
			s, err := statusOf(cmd.Context(), c, names)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, s)
			}
			_, err = io.WriteString(a.stdout, statusPage(s, screen.PaintFor(a.stdout), all || len(names) > 0))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "draw it anew every second, until ^C")
	cmd.Flags().BoolVar(&all, "all", false, "show healthy streams in full, too")
	return cmd
}

// statusOf asks for the status, with the named streams only; without a name all of them.
func statusOf(ctx context.Context, c *api.Client, names []string) (api.Status, error) {
	s, err := c.Status(ctx)
	if err != nil || len(names) == 0 {
		return s, err
	}
	var named []api.StreamStatus
	for _, name := range names {
		st, err := streamOf(s, name)
		if err != nil {
			return api.Status{}, err
		}
		named = append(named, st)
	}
	s.Streams = named
	return s, nil
}

// streamOf picks one stream, or says which there are.
func streamOf(s api.Status, name string) (api.StreamStatus, error) {
	st, ok := s.Stream(name)
	if !ok {
		return st, &api.UnknownStreamError{Name: name, Known: s.Names()}
	}
	return st, nil
}

// inFull is how many streams are few enough to show each in full.
const inFull = 5

// statusPage is the status for people.
func statusPage(s api.Status, paint screen.Paint, all bool) string {
	p := &page{Paint: paint}
	p.group(s)
	all = all || len(s.Streams) <= inFull
	var quiet []api.StreamStatus
	for _, st := range s.Streams {
		if !all && st.State == api.StateHealthy {
			quiet = append(quiet, st)
			continue
		}
		p.line("")
		p.stream(st)
	}
	if len(s.Streams) == 0 {
		p.line("")
		p.line("No stream is guarded: see `streams` in the config.")
	}
	if len(quiet) > 0 {
		p.line("")
		p.line("%s", p.Good(fmt.Sprintf("%d healthy streams:", len(quiet))))
		p.brief(quiet)
	}
	return p.String()
}

// group is the first line, which answers the first questions of whoever was woken, and one on the watchdogs.
func (p *page) group(s api.Status) {
	leader := p.Bad("no leader")
	if s.Leader != "" {
		leader = "leader " + p.Bold(s.Leader)
	}
	quorum := p.Good("quorum: yes")
	if !s.Quorum {
		quorum = p.Bad("quorum: NO, nothing can be decided")
	}
	held := "; not held"
	if s.Held {
		held = ""
	}
	p.line("Watchdog %s answers; %s (term %d); %s%s", p.Bold(s.Node), leader, s.Term, quorum, held)
	if s.Held {
		p.line("%s", p.Warn("HELD by "+screen.Clean(s.HeldBy)+": nothing is written"))
	}
	peers := make([]string, len(s.Peers))
	for i, peer := range s.Peers {
		peers[i] = p.peer(peer, s)
	}
	p.list("Watchdogs: ", peers)
}

func (p *page) peer(peer api.PeerStatus, s api.Status) string {
	notes := []string{peer.Site}
	if peer.Leader {
		notes = append(notes, "leader")
	}
	if !peer.Fresh {
		notes = append(notes, p.Warn("NOT HEARD FROM"))
	}
	if peer.ConfigHash != "" && peer.ConfigHash != s.Hash {
		notes = append(notes, p.Warn("OTHER CONFIG "+screen.Clean(peer.ConfigHash)))
	}
	return peer.Node + " (" + strings.Join(notes, ", ") + ")"
}

// eligible counts the members that could take over.
func eligible(s api.StreamStatus) int {
	n := 0
	for _, m := range s.Members {
		if m.Eligible {
			n++
		}
	}
	return n
}

// bestMirror is the member that a failover would promote: the target of a running one, else the first eligible one,
// since the watchdog lists the best first.
func bestMirror(s api.StreamStatus) (api.MemberStatus, bool) {
	i := slices.IndexFunc(s.Members, func(m api.MemberStatus) bool {
		if s.Target != nil {
			return m.Site == s.Target.Site && m.Stream == s.Target.Stream
		}
		return m.Eligible
	})
	if i < 0 {
		return api.MemberStatus{}, false
	}
	return s.Members[i], true
}
