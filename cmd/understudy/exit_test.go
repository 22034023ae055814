package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{errors.New("any"), exitFailed},
		{api.ErrReadOnly, exitUsage},
		{&api.UnknownStreamError{}, exitUsage},
		{api.ErrTimeout, exitRetry},
		{config.Errors{{Text: "bad"}}, exitConfig},
		{election.ErrOtherStore, exitConfig},
		{election.ErrCertificate, exitConfig},
		{election.ErrDamaged, exitStore},
		{election.ErrVersion, exitFailed}, // the next program may be newer
	} {
		wrapped := c.err
		if c.err != nil {
			wrapped = fmt.Errorf("run: %w", c.err)
		}
		if got := exitCode(wrapped); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestUnitRestarts holds the systemd unit to the codes that no restart mends.
func TestUnitRestarts(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/understudy.service")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(unit), "RestartPreventExitStatus=")
	line, _, _ := strings.Cut(rest, "\n")
	var want []string
	for _, code := range []int{exitUsage, exitStore, exitConfig} {
		want = append(want, strconv.Itoa(code))
	}
	if got := strings.Fields(line); !slices.Equal(got, want) {
		t.Errorf("RestartPreventExitStatus is %v, want %v", got, want)
	}
}
