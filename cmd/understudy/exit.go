package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
)

// The exit codes are an interface; those from 64 on are the ones of sysexits.h.
const (
	exitDone    = 0
	exitFailed  = 1
	exitRefused = 2
	exitUsage   = 64
	exitStore   = 74 // the store in data_dir is damaged: a restart does not mend it
	exitRetry   = 75
	exitConfig  = 78
)

// exit is an error with the code to leave by. Without an error it says nothing: all has been printed.
type exit struct {
	code int
	err  error
}

// Error returns the text to print, if any.
func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the error behind the code.
func (e *exit) Unwrap() error { return e.err }

// quiet keeps the code of an error that has been printed.
func quiet(err error) error {
	if err == nil {
		return nil
	}
	return &exit{code: exitCode(err)}
}

// usageError is a command line that cannot be understood.
func usageError(cmd *cobra.Command, err error) error {
	return &exit{exitUsage, fmt.Errorf("%w (see `%s --help`)", err, cmd.CommandPath())}
}

// args makes the complaint of an argument check a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
}

// oneStream asks for the name of a stream.
func oneStream(_ *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return errors.New("name the STREAM; `understudy status` lists them")
	case 1:
		return nil
	}
	return fmt.Errorf("name one STREAM, not %d", len(args))
}

// exitCode is the code that an error leaves by.
func exitCode(err error) int {
	var (
		e       *exit
		unknown *api.UnknownStreamError
		bad     config.Errors
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &unknown), errors.Is(err, api.ErrReadOnly):
		return exitUsage
	case errors.Is(err, api.ErrUnavailable), errors.Is(err, api.ErrTimeout):
		return exitRetry
	case errors.As(err, &bad), errors.Is(err, election.ErrOtherStore), errors.Is(err, election.ErrCertificate):
		return exitConfig
	case errors.Is(err, election.ErrDamaged):
		return exitStore
	}
	return exitFailed
}

// printError prints an error once. The problems of a config are printed as they are, one a line, so that an editor
// finds the place.
func printError(w io.Writer, err error) {
	var bad config.Errors
	switch {
	case errors.As(err, &bad):
		for _, p := range bad {
			fmt.Fprintln(w, p)
		}
	case err.Error() != "":
		fmt.Fprintln(w, "understudy:", err)
	}
}
