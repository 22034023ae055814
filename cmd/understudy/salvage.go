package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/salvage"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func salvageCommand(a *app) *cobra.Command {
	f := &fromStore{app: a}
	cmd := &cobra.Command{
		Use:   "salvage",
		Short: "Work with what failovers left behind: list, show, replay, export, drop",
		Long: `After a failover, the old origin may hold messages that the new primary never got. Once it is back, the watchdogs archive
them in a stream at the new primary's site; these commands work with such archives. They log in at the sites of the
config themselves, and need no watchdog.

With --from-store DIR, the archive is made from a copy of the store directory of a site whose stream is gone: DIR is a
server's store_dir, or holds one such folder for each server of a cluster. Always copy: it is written to. The last failover
is meant unless --epoch names another.`,
		Example: `  understudy salvage list
  understudy salvage replay EVENTS --dry-run
  understudy salvage EVENTS --from-store /tmp/copy-of-east`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(f.dirs) == 0 {
				return needCommand(cmd, names)
			}
			if err := oneStream(cmd, names); err != nil {
				return usageError(cmd, err)
			}
			return f.run(cmd, names[0])
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.dirs, "from-store", nil, "archive from a copy of a store directory, `DIR`; may be repeated")
	flags.Uint64Var(&f.epoch, "epoch", 0, "of which failover; else the last one, which the watchdog knows")
	flags.StringVar(&f.origin, "origin", "", "the `SITE` whose store it is; else what the watchdog says")
	flags.StringVar(&f.primary, "primary", "", "the `SITE` of the primary, if neither the watchdog nor the members tell")
	flags.StringVar(&f.account, "account", "", "the NATS account, if several in the store have a stream of that name")
	jsonFlag(cmd, &f.asJSON)
	cmd.AddCommand(salvageList(a), salvageShow(a), salvageReplay(a), salvageExport(a), salvageDrop(a))
	return cmd
}

// fromStore is the command's own work, without a subcommand.
type fromStore struct {
	*app
	dirs                     []string
	epoch                    uint64
	origin, primary, account string
	asJSON                   bool
}

func (f *fromStore) run(cmd *cobra.Command, name string) error {
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	p, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	job, origin, err := f.job(cmd, p, name)
	if err != nil {
		return err
	}
	if job.Primary, err = f.app.primary(ctx, p, name, f.primary); err != nil {
		return err
	}
	if job.Primary.String() == origin.String() {
		return &exit{exitUsage, fmt.Errorf("%s is the primary now: name the site that the store comes from with --origin", origin)}
	}
	store, err := salvage.OpenStore(ctx, origin.Stream, f.account, f.dirs...)
	if err != nil {
		return err
	}
	defer store.Close()
	bar := newProgress(f.stderr)
	job.Old, job.Origin, job.Progress = store.Side, origin.String(), bar.show
	account, err := salvage.Archive(ctx, job)
	bar.end()
	if err != nil {
		return err
	}
	f.tell(cmd.Context(), name, job.Epoch, origin, account.Tail(job.Primary.Site.Name))
	if f.asJSON {
		return printJSON(f.stdout, account)
	}
	page := &page{}
	page.para("", accountText(account, origin.String()))
	_, err = io.WriteString(f.stdout, page.String())
	return err
}

// tell lets the watchdogs count what is archived. The archive is whole without them, and the command may be repeated.
func (f *fromStore) tell(ctx context.Context, name string, epoch uint64, origin policy.MemberID, tail *policy.Tail) {
	ctx, cancel := context.WithTimeout(ctx, api.Timeout)
	defer cancel()
	c, err := f.commander()
	if err == nil {
		err = f.takes(ctx, c, api.Request{Verb: api.VerbSalvaged, By: caller(), Stream: name, Epoch: epoch, Member: origin, Tail: tail})
	}
	if err != nil {
		fmt.Fprintf(f.stderr, "understudy: warning: the watchdogs do not count it (%s); the archive is whole, and the command may be repeated to tell them\n", screen.Clean(err.Error()))
	}
}

// takes sends a command of which only a failure is told.
func (f *fromStore) takes(ctx context.Context, c *api.Client, r api.Request) error {
	resp, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	if decided, err := decision(resp); decided {
		return err
	}
	return errors.New(reasonText(resp.Reason))
}

// job says which failover is meant, and what its origin was: as the flags say, else as the watchdog knows.
func (f *fromStore) job(cmd *cobra.Command, p *places, name string) (salvage.Job, policy.MemberID, error) {
	job := salvage.Job{Name: name, Epoch: f.epoch}
	var origin policy.MemberID
	if s, ok := f.stream(cmd.Context(), name); ok && s.Last != nil && (f.epoch == 0 || f.epoch == s.Last.Epoch) {
		job.Epoch, job.UpTo, origin = s.Last.Epoch, s.Last.LastSeq, s.Last.From
	}
	if f.origin != "" {
		for _, id := range p.members(name) {
			if id.Site == f.origin {
				origin = id
			}
		}
		if origin.Site != f.origin {
			return job, origin, usageError(cmd, fmt.Errorf("--origin %q: the config has no member of %q there", f.origin, name))
		}
	}
	var missing []string
	if job.Epoch == 0 {
		missing = append(missing, "--epoch")
	}
	if origin.Stream == "" {
		missing = append(missing, "--origin")
	}
	if len(missing) > 0 {
		return job, origin, usageError(cmd, errors.New("no watchdog knows of a failover of "+name+": give "+strings.Join(missing, " and ")))
	}
	return job, origin, nil
}

// accountText says what an archive holds.
func accountText(a salvage.Account, origin string) string {
	if a.Stream == "" {
		return fmt.Sprintf("%s holds nothing beyond sequence %d, up to which the primary has the same: nothing to archive", origin, a.Fork)
	}
	return fmt.Sprintf("%s holds %d messages of %s, sequences %d to %d, verified; the primary has %d of them", a.Stream, a.Messages,
		origin, a.First, a.Last, a.OnPrimary)
}
