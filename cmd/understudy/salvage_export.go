package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

func salvageExport(a *app) *cobra.Command {
	var w which
	var subject, file string
	cmd := &cobra.Command{
		Use:   "export STREAM",
		Short: "Write an archive as JSON, one message a line",
		Long: `Write every archived message as one line of JSON: seq, subject, time, headers, data (or data_base64, if it is not text)
and on_primary, the primary's sequence if that has it.`,
		Args: args(oneStream),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := salvage.CheckFilter(subject); err != nil {
				return usageError(cmd, err)
			}
			return a.withArchive(cmd.Context(), names[0], w, func(ctx context.Context, _ *places, _ salvage.Found, side salvage.Side) error {
				return a.writeTo(file, func(out io.Writer) error {
					n, err := salvage.Export(ctx, side, subject, out)
					if err == nil {
						fmt.Fprintf(a.stderr, "%d messages\n", n)
					}
					return err
				})
			})
		},
	}
	archiveFlags(cmd, &w, &subject)
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this `FILE`, which must not exist, instead of standard output")
	cmd.Flags().Bool("json", true, "print JSON; it always does")
	return cmd
}

// writeTo gives write a new file, or standard output without a name.
func (a *app) writeTo(file string, write func(io.Writer) error) error {
	if file == "" {
		return write(a.stdout)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	err = write(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
