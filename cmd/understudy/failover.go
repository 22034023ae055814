package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func failoverCommand(a *app) *cobra.Command {
	var site, abandon string
	var allowLoss, yes bool
	cmd := &cobra.Command{
		Use:   "failover STREAM",
		Short: "Fail a stream over now, if the watchdogs agree that its origin is down",
		Long: `Fail over without waiting for the threshold, whatever the mode, the cool-down and the brake say. It never overrules a hold,
a config mismatch, a changed member, a lost meta quorum, the watchdogs' agreement that the origin is down, a mirror's
eligibility, or subjects that cannot be released. It is tried for 10 seconds, then it expires with its reason.

Once a promotion was sent, a failover keeps its target, even if that cannot be reached any more. With --abandon SITE a person
says that the target's site is gone for good: another mirror may be taken then, and the given-up one is fenced if it ever
answers. What it alone holds by then is left behind.`,
		Args:              args(oneStream),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			if abandon != "" && (site != "" || allowLoss) {
				return usageError(cmd, errors.New("--abandon ends what runs: give --to and --allow-loss in a command of their own"))
			}
			c, err := a.commander()
			if err != nil {
				return err
			}
			s, err := c.Stream(cmd.Context(), names[0])
			if err != nil {
				return err
			}
			if abandon != "" {
				return a.abandon(cmd, c, s, abandon, yes)
			}
			if err := knownSite(s, "to", site); err != nil {
				return usageError(cmd, err)
			}
			if err := a.confirm(cmd, failoverPlan(s, site, allowLoss), yes); err != nil {
				return err
			}
			return a.doBy(cmd.Context(), c, api.Request{Verb: api.VerbFailover, Stream: s.Name, Site: site, AllowLoss: allowLoss})
		},
	}
	cmd.Flags().StringVar(&site, "to", "", "promote the mirror at this `SITE`, not the best one")
	cmd.Flags().BoolVar(&allowLoss, "allow-loss", false, "go on although more than loss.max_messages, or an unknown number, would be left behind")
	cmd.Flags().StringVar(&abandon, "abandon", "", "give up the running failover's target at this `SITE`, which is gone for good")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// abandon gives the target of a running failover up.
func (a *app) abandon(cmd *cobra.Command, c *api.Client, s api.StreamStatus, site string, yes bool) error {
	if err := knownSite(s, "abandon", site); err != nil {
		return usageError(cmd, err)
	}
	if s.Attempt == nil {
		return &exit{exitRefused, fmt.Errorf("no failover of %s runs: there is no target to give up", s.Name)}
	}
	p := &page{}
	p.para("", fmt.Sprintf("Failover %d of %s is at %s: %s", s.Attempt.Epoch, s.Name, s.Attempt.Phase, reasonText(s.Attempt.Waiting)))
	p.para("", fmt.Sprintf("This gives %s up. It may have taken messages that nobody else has. It is fenced when it answers; until then, whoever "+
		"reaches it may go on writing to it.", s.Attempt.Target))
	if err := a.confirm(cmd, p.String(), yes); err != nil {
		return err
	}
	return a.doBy(cmd.Context(), c, api.Request{Verb: api.VerbFailover, Stream: s.Name, Site: site, Abandon: true})
}

// knownSite checks the site of a flag before anybody is asked, or anything is sent.
func knownSite(s api.StreamStatus, flag, site string) error {
	var sites []string
	for _, m := range s.Members {
		sites = append(sites, m.Site)
	}
	if site == "" || slices.Contains(sites, site) {
		return nil
	}
	slices.Sort(sites)
	return fmt.Errorf("--%s %q is none of the sites of %s: %s", flag, site, s.Name, strings.Join(slices.Compact(sites), ", "))
}

// failoverPlan says what is about to happen.
func failoverPlan(s api.StreamStatus, site string, allowLoss bool) string {
	to := "no mirror that can take over now"
	for _, m := range s.Members {
		if m.Eligible && (site == "" || m.Site == site) {
			to = fmt.Sprintf("%s/%s, at sequence %d", m.Site, m.Stream, m.LastSeq)
			break
		}
	}
	limit := fmt.Sprintf("no more than %d may be left behind", s.LossLimit)
	if allowLoss {
		limit = "any number may be left behind"
	}
	p := &page{}
	p.para("", fmt.Sprintf("%s is %s: %s", s.Name, s.State, reasonText(s.Reason)))
	p.para("", fmt.Sprintf("This takes its subjects from %s and promotes %s; a promoted mirror becomes one again only by being "+
		"deleted and made anew.", s.Primary, to))
	p.para("", fmt.Sprintf("Left behind: %s; %s.", lossText(s.Loss), limit))
	return p.String()
}

// confirm asks a person; without one, --yes must have said it.
func (a *app) confirm(cmd *cobra.Command, plan string, yes bool) error {
	fmt.Fprint(a.stderr, plan)
	if yes {
		return nil
	}
	if !screen.IsTerminal(a.stdin) {
		return usageError(cmd, errors.New("nobody is there to ask: give --yes"))
	}
	fmt.Fprint(a.stderr, "Go on? Type yes: ")
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return &exit{exitFailed, errors.New("not confirmed; nothing was done")}
	}
	return nil
}
