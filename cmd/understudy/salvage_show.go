package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/salvage"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func salvageShow(a *app) *cobra.Command {
	var asJSON bool
	var w which
	var subject string
	var limit int
	cmd := &cobra.Command{
		Use:   "show STREAM",
		Short: "Show an archive and its messages",
		Args:  args(oneStream),
		RunE: func(cmd *cobra.Command, names []string) error {
			if limit < 0 {
				return usageError(cmd, errors.New("--limit is negative"))
			}
			if err := salvage.CheckFilter(subject); err != nil {
				return usageError(cmd, err)
			}
			return a.withArchive(cmd.Context(), names[0], w, func(ctx context.Context, _ *places, found salvage.Found, side salvage.Side) error {
				entries, more, err := firstEntries(ctx, side, subject, limit)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, shown{Archive: found, Messages: entries, More: more})
				}
				_, err = io.WriteString(a.stdout, archivePage(found, entries, more, screen.PaintFor(a.stdout)))
				return err
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	archiveFlags(cmd, &w, &subject)
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "how many messages; 0 is all")
	return cmd
}

// shown is the answer of show as JSON.
type shown struct {
	Archive  salvage.Found   `json:"archive"`
	Messages []salvage.Entry `json:"messages"`
	More     bool            `json:"more"`
}

// archiveFlags name an archive of a stream, and a part of it.
func archiveFlags(cmd *cobra.Command, w *which, subject *string) {
	cmd.Flags().Uint64Var(&w.epoch, "epoch", 0, "of which failover; needed when the stream has several archives")
	cmd.Flags().StringVar(&w.of, "of", "", "of the mirror at this `SITE`, not of the former primary")
	if subject != nil {
		cmd.Flags().StringVar(subject, "subject", "", "only messages on this `SUBJECT`, which may have wildcards")
	}
}

// firstEntries reads as many messages as asked for, 0 being all, and whether there are more.
func firstEntries(ctx context.Context, archive salvage.Side, subject string, limit int) ([]salvage.Entry, bool, error) {
	entries, more := []salvage.Entry{}, false
	err := salvage.Show(ctx, archive, subject, func(e salvage.Entry) error {
		if more = limit > 0 && len(entries) == limit; more {
			return salvage.ErrEnough
		}
		entries = append(entries, e)
		return nil
	})
	return entries, more, err
}

// archivePage is an archive for people.
func archivePage(f salvage.Found, entries []salvage.Entry, more bool, paint screen.Paint) string {
	p := &page{Paint: paint}
	p.labelled("archive", fmt.Sprintf("%s at %s, made %s", f.Stream, f.Site, at(f.Created)))
	p.labelled("tail of", fmt.Sprintf("%s, beyond sequence %d, up to which %s has the same", f.Origin, f.Fork, f.Primary))
	if f.Account == nil {
		p.labelled("state", "incomplete, or not verified yet")
	} else {
		p.labelled("state", fmt.Sprintf("verified: %d messages, of which the primary has %d; SHA-256 %.16s…", f.Account.Messages, f.Account.OnPrimary, f.Account.Digest))
	}
	p.line("")
	if len(entries) == 0 {
		p.line("No message.")
		return p.String()
	}
	columns := []column{{head: "seq", right: true}, {head: "stored (UTC)"}, {head: "subject", width: 24}, {head: "bytes", right: true},
		{head: "on primary", right: true}, {head: "data", width: 22}}
	var rows [][]string
	for _, e := range entries {
		on := ""
		if e.OnPrimary > 0 {
			on = strconv.FormatUint(e.OnPrimary, 10)
		}
		rows = append(rows, []string{strconv.FormatUint(e.Seq, 10), e.Time.UTC().Format("01-02 15:04:05.000"), screen.Clean(e.Subject),
			strconv.Itoa(len(e.Data)), on, snippet(e.Data, 22)})
	}
	p.grid(columns, rows)
	if more {
		p.line("There are more: --limit 0 shows all, `understudy salvage export` writes them in full.")
	}
	return p.String()
}

// snippet is the beginning of some data, or what it is.
func snippet(data []byte, width int) string {
	if !utf8.Valid(data) {
		return "(binary)"
	}
	runes := []rune(screen.Clean(string(data[:min(len(data), 4*width)])))
	if len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return string(runes)
}
