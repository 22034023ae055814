package natslab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// envCrash makes the test binary a program that starts a lab, prints the pids of
// its servers and waits to be killed.
const envCrash = "UNDERSTUDY_LAB_CRASH_TEST"

func crashingParent() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	l, err := Start(ctx, Options{Topology: Domains, Dir: os.Getenv(envCrash)})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	for _, s := range l.allServers() {
		fmt.Println(s.Pid())
	}
	if err := l.Site("east").Pause(); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

func TestParentCrashLeavesNoProcess(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe)
	parent.Env = append(os.Environ(), envCrash+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "ready"; {
		var pid int
		if _, err := fmt.Sscan(lines.Text(), &pid); err != nil {
			t.Fatalf("the parent says %q", strings.TrimSpace(lines.Text()))
		}
		pids = append(pids, pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed: not an exit code to look at
	if len(pids) != 4 {
		t.Fatalf("servers: %v, want 4", pids)
	}
	eventually(t, func(context.Context) error {
		for _, pid := range pids {
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("process %d outlives its parent: %v", pid, err)
			}
		}
		return nil
	})
}
